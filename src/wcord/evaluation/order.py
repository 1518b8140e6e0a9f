"""Whether a network numbers its classes in a different order than the data."""

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
"""A matching of classes is evidence of a different order if its accuracy is three times the share of the commonest
class, or two thirds; below that, the network does not know these samples."""


@dataclass(frozen=True)
class OtherOrder:
    """An order of the classes in which a network is clearly more accurate.

    Attributes:
        by: order by the classes' names as numbers, as text, or by matching predictions to classes.
        top1: accuracy in the data's order, in percent.
        reached: accuracy in this order; classes are matched on samples other than those that are counted.
    """

    by: Literal["number", "name", "match"]
    top1: float
    reached: float

    @property
    def text(self) -> str:
        """A verb phrase to follow the network's name."""
        reached = f"{self.reached:.2f} %"
        orders = {
            "number": f"with the classes in the order of their numbers it reaches {reached}",
            "name": f"with the classes in the order of their names as text it reaches {reached}",
            "match": f"with each of its classes matched to the class that it fits best it reaches {reached}",
        }
        return f"reaches {self.top1:.2f} % with the classes as they are numbered; {orders[self.by]}"

    @property
    def remedy(self) -> str:
        """How to use this order."""
        if self.by == "match":
            return (
                "bring the classes of the data into the network's order, or save its weights with the names of its "
                "classes"
            )
        return f"add --class-order {self.by}"


def other_order(predictions: Predictions, classes: Sequence[str] = ()) -> OtherOrder | None:
    """Return an order in which predictions are clearly better than in the data's, or None.

    Clearly: it halves the errors or doubles the accuracy, over samples and as the mean over classes, by more than three
    standard errors of the difference. Names that are whole numbers are tried in numeric and in text order. Otherwise
    the classes are matched one to one by the confusions on half of the samples; on the other half, the accuracy must
    reach `EVIDENCE` or `ENOUGH`.

    Args:
        predictions: of samples of a test split.
        classes: names of the data's classes.

    >>> logits, targets = torch.eye(3).repeat(20, 1), torch.arange(60) % 3
    >>> order = other_order(Predictions(logits, (targets + 1) % 3, torch.zeros(60, 1)))
    >>> order.by, order.top1, order.reached
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
    """Return the other order of whole numbers as names, and the class at each position of it."""
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

    None if the classes fit as they are, or if there are too few samples to match them.
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


def _fits(confusions: Confusions) -> bool:
    """Return whether each class is predicted correctly at least as often as it is predicted as any other."""
    most, correct = (np.zeros(confusions.classes, np.int64) for _ in range(2))
    np.maximum.at(most, confusions.true, confusions.counts)
    same = confusions.true == confusions.predicted
    correct[confusions.true[same]] = confusions.counts[same]
    return bool((correct >= most).all())


def _matching(confusions: Confusions) -> NDArray[np.int64]:
    """Return the class that each predicted class is matched to, so that most samples are right.

    The best matching leaves classes without a partner if they share no sample with a free one. To make the matching
    full, every class gets a dummy on the other side, at no gain; the dummies of a matched pair match each other. Of
    equally good matchings, the one in which most classes keep their numbers is preferred.
    """
    count = confusions.classes
    numbers = np.arange(count)
    gain = csr_array((confusions.counts.astype(float), (confusions.true, confusions.predicted)), (count, count))
    gain = (gain + csr_array((np.full(count, 1e-3), (numbers, numbers)), (count, count))).tocoo()
    rows = np.concatenate([gain.row, numbers, count + numbers, count + gain.col])
    columns = np.concatenate([gain.col, count + numbers, numbers, count + gain.row])
    # The solver ignores entries of 0; adding 1 to each of the 2 C pairs of a matching does not change the optimum.
    values = np.concatenate([gain.data, np.zeros(2 * count + gain.nnz)]) + 1.0
    graph = csr_array((values, (rows, columns)), (2 * count, 2 * count))
    true, predicted = min_weight_full_bipartite_matching(graph, maximize=True)
    matched = (true < count) & (predicted < count)
    number = np.full(count, -1)
    number[predicted[matched]] = true[matched]
    number[number < 0] = np.setdiff1d(numbers, number)
    return number


def _clearly_better(other: Tensor, current: Tensor, targets: Tensor) -> bool:
    """Return whether accuracy and mean recall both rise: a constant prediction raises only the former."""
    won, lost = int((other & ~current).sum()), int((current & ~other).sum())
    balanced = [float((targets[right].bincount(minlength=int(targets.max()) + 1) / targets.bincount()).nanmean())
                for right in (other, current)]  # fmt: skip
    plain = [float(right.double().mean()) for right in (other, current)]
    return won - lost > 3 * (won + lost) ** 0.5 and all(
        would >= 2 * is_now or 1 - would <= (1 - is_now) / 2 for would, is_now in (plain, balanced)
    )


def _percent(right: Tensor) -> float:
    return 100.0 * float(right.double().mean())
