"""Whether a network numbers its classes in another order than the data: right answers under wrong numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from wcord.evaluation.accuracy import Predictions

EVIDENCE, ENOUGH = 3.0, 2 / 3
"""A matching of classes says something of their order where it reaches three times the share of the commonest class, or
two thirds; one that itself reaches little says that the network does not know these samples."""


@dataclass(frozen=True)
class OtherOrder:
    """An order of the classes in which a network would clearly be right more often.

    Attributes:
        by: the order of the classes' names as numbers, or as text, or that to which its answers are matched.
        top1: percent that are right as the classes are numbered.
        reached: percent that would be right; classes are matched on other samples than those that are counted.
    """

    by: Literal["number", "name", "match"]
    top1: float
    reached: float

    @property
    def text(self) -> str:
        """What is said of it, to go on after the network's name."""
        reached = f"{self.reached:.2f} %"
        orders = {
            "number": f"with the classes in the order of their numbers it reaches {reached}",
            "name": f"with the classes in the order of their names as text it reaches {reached}",
            "match": f"with each of its classes matched to the class that it fits best it reaches {reached}",
        }
        return f"reaches {self.top1:.2f} % with the classes as they are numbered; {orders[self.by]}"

    @property
    def remedy(self) -> str:
        """What brings that order about."""
        if self.by == "match":
            return (
                "bring the classes of the data into the network's order, or save its weights with the names of its "
                "classes"
            )
        return f"give --class-order {self.by}"


def other_order(predictions: Predictions, classes: Sequence[str] = ()) -> OtherOrder | None:
    """Return the order in which predictions are clearly better than in that of the data, if there is one.

    Clearly: it halves the errors or doubles the hits, of the samples and of the classes on the mean, by more than three
    standard errors of the difference. Names that are whole numbers are tried in the order of the numbers and of the
    text. Else the classes are matched one to one by the confusions on half of the samples, and measured on the other
    half, where they have to reach `EVIDENCE` or `ENOUGH`.

    Args:
        predictions: of samples of a test split.
        classes: names of the data's classes.

    >>> logits, targets = torch.eye(3).repeat(20, 1), torch.arange(60) % 3
    >>> found = other_order(Predictions(logits, (targets + 1) % 3, torch.zeros(60, 1)))
    >>> found.by, found.top1, found.reached
    ('match', 0.0, 100.0)
    """
    predicted, targets = predictions.top1, predictions.targets
    right = predicted == targets
    by, numbers = _other_sorting(classes)
    if by is not None and len(classes) == predictions.num_classes:
        resorted = numbers[predicted] == targets
        if _clearly_better(resorted, right, targets):
            return OtherOrder(by, _percent(right), _percent(resorted))
    matched = _matched(predicted, targets, predictions.num_classes)
    commonest = float(targets.bincount().max()) / len(targets)
    reaches = matched is not None and float(matched.double().mean()) >= min(EVIDENCE * commonest, ENOUGH)
    if matched is not None and reaches and _clearly_better(matched, right, targets):
        return OtherOrder("match", _percent(right), _percent(matched))
    return None


def _other_sorting(classes: Sequence[str]) -> tuple[Literal["number", "name"] | None, Tensor]:
    """Return the sorting of whole numbers that the classes do not have, and the class that each place then means."""
    if not classes or not all(name.isdecimal() for name in classes):
        return None, torch.empty(0, dtype=torch.long)
    by_name, by_number = sorted(classes), sorted(classes, key=int)
    place = {name: number for number, name in enumerate(classes)}
    if list(classes) == by_name != by_number:
        return "number", torch.tensor([place[name] for name in by_number])
    if list(classes) == by_number != by_name:
        return "name", torch.tensor([place[name] for name in by_name])
    return None, torch.empty(0, dtype=torch.long)


def _matched(predicted: Tensor, targets: Tensor, classes: int) -> Tensor | None:
    """Return which samples are right once classes are matched on the other half of the samples.

    None where the classes fit as they are, or too few samples are there to match them.
    """
    if len(targets) < 2 * classes:
        return None
    confusion = _confusion(predicted, targets, classes)
    if bool((confusion.argmax(dim=1) == torch.arange(classes))[confusion.sum(dim=1) > 0].all()):
        return None
    by_class = targets.argsort(stable=True)
    right = torch.zeros(len(targets), dtype=torch.bool)
    for half in (0, 1):
        fitted, measured = by_class[half::2], by_class[1 - half :: 2]
        counts = _confusion(predicted[fitted], targets[fitted], classes) + 1e-3 * torch.eye(classes)
        true, said = linear_sum_assignment(counts.numpy(), maximize=True)
        number = torch.empty(classes, dtype=torch.long)
        number[torch.from_numpy(said)] = torch.from_numpy(true)
        right[measured] = number[predicted[measured]] == targets[measured]
    return right


def _confusion(predicted: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Return how many samples of a class (row) are taken for each class (column)."""
    return (targets * classes + predicted).bincount(minlength=classes**2).reshape(classes, classes)


def _clearly_better(other: Tensor, own: Tensor, targets: Tensor) -> bool:
    """Tell whether more samples are right, and more of each class on the mean: a constant fits the commonest class."""
    won, lost = int((other & ~own).sum()), int((own & ~other).sum())
    balanced = [float((targets[right].bincount(minlength=int(targets.max()) + 1) / targets.bincount()).nanmean())
                for right in (other, own)]  # fmt: skip
    plain = [float(right.double().mean()) for right in (other, own)]
    return won - lost > 3 * (won + lost) ** 0.5 and all(
        would >= 2 * is_now or 1 - would <= (1 - is_now) / 2 for would, is_now in (plain, balanced)
    )


def _percent(right: Tensor) -> float:
    return 100.0 * float(right.double().mean())
