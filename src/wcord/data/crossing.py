"""Whether the labels of student and teacher go together in pairs, where their classes have other names."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
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
    # Only the pairs of classes that occur are counted: a table of all of them would be C×C'.
    met, counts = (own * len(others) + theirs).unique(return_counts=True)
    ours, partners = met // len(others), met % len(others)
    most = _largest(ours, counts, len(classes))
    wrong = len(own) - max(int(most.sum()), int(_largest(partners, counts, len(others)).sum()))
    if wrong > WRONG_LABELS * len(own):
        first = int((own.bincount(minlength=len(classes)) - most).argmax())
        of_first = torch.where(ours == first)[0]
        commonest = of_first[counts[of_first].argsort(descending=True, stable=True)][:SHOWN].tolist()
        with_ = ", ".join(f"{others[int(partners[place])]!r} ({int(counts[place])})" for place in commonest)
        return Crossing(
            f"the labels of at least {wrong} of {len(own)} {split} pairs do not go together: samples of "
            f"{classes[first]!r} are paired with those of {with_}",
            apart=True,
        )
    best = counts == most[ours]
    partner = dict(
        zip(ours[best].flip(0).tolist(), partners[best].flip(0).tolist(), strict=True)
    )  # the first of equals
    present = sorted(partner)
    numbers = any(all(name.isdecimal() for name in names) for names in (classes, others))
    if numbers and [partner[number] for number in present] == sorted(partner.values()):
        return None
    joined = ", ".join(f"{classes[number]!r} with {others[partner[number]]!r}" for number in present[:SHOWN])
    return Crossing(
        f"classes of student and teacher have other names; the {split} pairs join {joined}"
        f"{', …' if len(present) > SHOWN else ''}: where these are not the same things, the pairs are wrong",
        apart=False,
    )


def _largest(groups: Tensor, counts: Tensor, number: int) -> Tensor:
    """Return the largest count of each group, 0 where it has none."""
    return counts.new_zeros(number).scatter_reduce(0, groups, counts, "amax")
