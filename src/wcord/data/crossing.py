"""Whether the labels of student and teacher go together in pairs, where their classes have other names."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from wcord.data.names import SHOWN

WRONG_LABELS = 0.01
"""Share of the pairs whose labels may be wrong where the classes go together."""


@dataclass(frozen=True)
class Crossing:
    """How the classes of one side meet those of the other.

    Attributes:
        text: says it, of the pairs of a split.
        apart: whether no side's classes follow from the other's.
    """

    text: str
    apart: bool


def crossing(split: str, own: Tensor, theirs: Tensor, classes: Sequence[str], others: Sequence[str]) -> Crossing | None:
    """Return how the classes of pairs meet, or None where there is nothing to say.

    Which names mean the same thing is not known; a reader sees from the names that are joined whether the pairs are
    right. Numbers that follow the order of the names need no reader.

    >>> import torch
    >>> labels = torch.tensor([0, 0, 1])
    >>> print(crossing("train", labels, labels, ["cat", "dog"], ["hund", "katze"]).text)
    classes of student and teacher have other names; the train pairs join 'cat' with 'hund', 'dog' with 'katze': ...

    Args:
        split: its name.
        own: class numbers of the student's samples.
        theirs: those of their partners.
        classes: names of the student's classes.
        others: names of the teacher's.
    """
    if not len(own) or not classes or not others or set(classes) == set(others):
        return None
    table = (own * len(others) + theirs).bincount(minlength=len(classes) * len(others))
    table = table.reshape(len(classes), len(others))
    follow = [int(table.amax(dim).sum()) for dim in (0, 1)]  # pairs that the commonest partner class explains
    wrong = len(own) - max(follow)
    if wrong > WRONG_LABELS * len(own):
        first = int((table.sum(1) - table.amax(1)).argmax())
        met = sorted(range(len(others)), key=lambda number: -int(table[first, number]))[:SHOWN]
        with_ = ", ".join(f"{others[number]!r} ({int(table[first, number])})" for number in met if table[first, number])
        return Crossing(
            f"the labels of at least {wrong} of {len(own)} {split} pairs do not go together: samples of "
            f"{classes[first]!r} are paired with those of {with_}",
            apart=True,
        )
    partner = table.argmax(1).tolist()
    present = [number for number in range(len(classes)) if int(table[number].sum())]
    numbers = any(all(name.isdecimal() for name in names) for names in (classes, others))
    if numbers and partner == sorted(partner):
        return None
    joined = ", ".join(f"{classes[number]!r} with {others[partner[number]]!r}" for number in present[:SHOWN])
    return Crossing(
        f"classes of student and teacher have other names; the {split} pairs join {joined}"
        f"{', …' if len(present) > SHOWN else ''}: where these are not the same things, the pairs are wrong",
        apart=False,
    )
