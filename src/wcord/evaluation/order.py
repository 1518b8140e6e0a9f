"""Whether a network numbers its classes in another order than the data: right answers under wrong numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from torch import Tensor

from wcord.evaluation.accuracy import Predictions
from wcord.evaluation.confusions import Confusions

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
    if _fits(_confusions(predicted, targets, classes)):
        return None
    by_class = targets.argsort(stable=True)
    right = torch.zeros(len(targets), dtype=torch.bool)
    for half in (0, 1):
        fitted, measured = by_class[half::2], by_class[1 - half :: 2]
        number = torch.from_numpy(_matching(_confusions(predicted[fitted], targets[fitted], classes)))
        right[measured] = number[predicted[measured]] == targets[measured]
    return right


def _confusions(predicted: Tensor, targets: Tensor, classes: int) -> Confusions:
    return Confusions.of(targets.numpy(), predicted.numpy(), classes)


def _fits(found: Confusions) -> bool:
    """Tell whether no class is taken for another one more often than for itself."""
    most, own = (np.zeros(found.classes, np.int64) for _ in range(2))
    np.maximum.at(most, found.true, found.counts)
    same = found.true == found.predicted
    own[found.true[same]] = found.counts[same]
    return bool((own >= most).all())


def _matching(found: Confusions) -> NDArray[np.int64]:
    """Return for each class that a network may name the class that it is matched to, so that most samples are right.

    The best matching leaves classes free that share no sample with a free one. So that each finds a partner, every
    class is given a stand-in on the other side, at no gain, and where both of a pair are matched their stand-ins are
    each other's. Of equally good ones, that in which classes keep their numbers is preferred.
    """
    count = found.classes
    numbers = np.arange(count)
    gain = csr_array((found.counts.astype(float), (found.true, found.predicted)), (count, count))
    gain = (gain + csr_array((np.full(count, 1e-3), (numbers, numbers)), (count, count))).tocoo()
    rows = np.concatenate([gain.row, numbers, count + numbers, count + gain.col])
    columns = np.concatenate([gain.col, count + numbers, numbers, count + gain.row])
    # The solver takes an entry of 0 for none; 1 more for each of the 2 C pairs of a matching changes nothing.
    values = np.concatenate([gain.data, np.zeros(2 * count + gain.nnz)]) + 1.0
    graph = csr_array((values, (rows, columns)), (2 * count, 2 * count))
    true, said = min_weight_full_bipartite_matching(graph, maximize=True)
    matched = (true < count) & (said < count)
    number = np.full(count, -1)
    number[said[matched]] = true[matched]
    number[number < 0] = np.setdiff1d(numbers, number)
    return number


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
