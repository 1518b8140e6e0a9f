"""Whether a network is better than chance, also with rare classes and few samples."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from wcord.evaluation.accuracy import Predictions, class_recall

SHUFFLES, LUCK = 999, 0.002
"""Number of shuffles of the labels, and the rate at which a network at chance may pass as informed."""
UNBALANCED = 1.5
"""Classes are unbalanced if the commonest has at least this many times its share among equals."""
COMPARED = 5000
"""Most samples on which predictions are compared with shuffled labels."""
ONE_CLASS = 0.99
"""Share of the samples from which a network counts as predicting a single class."""


@dataclass(frozen=True)
class Standing:
    """How predictions compare with chance; shares are fractions in [0, 1].

    Attributes:
        samples: number of samples.
        kinds: number of classes among the targets.
        top1: share of the samples that are right.
        balanced: mean recall over the classes among the targets.
        commonest: share of the commonest class, the top-1 of a constant prediction.
        informed: whether the predictions depend on the targets: `top1` is above the middle between `commonest` and
            1, or `top1` or `balanced` exceeds what the same predictions reach with shuffled targets.
        weak: whether they are near chance: not informed, or below both bars. The bar of `top1` is the commonest
            class's share plus three standard errors, or 2/C for C > 2 classes where that is more; the bar of
            `balanced` is 2/K of the K > 2 classes among the targets, or 1/2; none lies above the middle between chance
            and 1.
        unbalanced: whether the commonest class has far more than its share, so that top-1 is not informative.
        named: the class that is predicted most often.
        named_share: how often it is predicted.
        true_share: its true share.
    """

    samples: int
    kinds: int
    top1: float
    balanced: float
    commonest: float
    informed: bool
    weak: bool
    unbalanced: bool
    named: int
    named_share: float
    true_share: float

    @property
    def one_class(self) -> bool:
        """Whether (nearly) all predictions are one class, and at least half of the other classes' samples are wrong."""
        return self.named_share >= ONE_CLASS and 1 - self.named_share < (1 - self.true_share) / 2


def standing(predictions: Predictions, shares: Tensor | None = None) -> Standing:
    """Return how predictions compare with chance.

    Args:
        predictions: of samples of a test split.
        shares: share of each class in the whole split, if the samples were drawn by class.

    >>> always_first = torch.tensor([[1.0, 0.0]]).expand(100, 2)
    >>> result = standing(Predictions(always_first, torch.arange(100) // 95, always_first))
    >>> result.top1, result.balanced, result.informed, result.one_class
    (0.95, 0.5, False, True)
    """
    targets, predicted = predictions.targets, predictions.top1
    counts = targets.bincount(minlength=predictions.num_classes).double()
    present = counts > 0
    shares = counts if shares is None else torch.where(present, shares.double(), 0.0)
    shares = shares / shares.sum()
    top1, balanced = (float(value) for value in _accuracies(predicted, targets, shares))
    weight = (shares / counts.clamp_min(1))[targets]  # of each sample in the whole split
    named_shares = torch.zeros_like(counts).index_add(0, predicted, weight)
    named = int(named_shares.argmax())
    classes, kinds = predictions.num_classes, int(present.sum())
    commonest = float(shares.max()) if kinds > 1 else 1 / classes  # a single class has no other baseline
    informed = top1 >= (1 + commonest) / 2 or _beats_shuffled(predicted, targets, shares)
    noise = 3 * math.sqrt(commonest * (1 - commonest) / len(targets))
    bar = min(max(2 / classes if classes > 2 else 0, commonest + noise), (1 + commonest) / 2)
    balanced_bar = min(2 / kinds, (1 + 1 / kinds) / 2) if kinds > 2 else 0.5
    return Standing(
        samples=len(targets),
        kinds=kinds,
        top1=top1,
        balanced=balanced,
        commonest=commonest,
        informed=informed,
        weak=not informed or (top1 < bar and balanced < balanced_bar),
        unbalanced=commonest * classes >= UNBALANCED,
        named=named,
        named_share=float(named_shares[named]),
        true_share=float(shares[named]),
    )


def even_rows(targets: Tensor, limit: int) -> Tensor:
    """Return at most `limit` random rows, with the classes as balanced as possible.

    >>> even_rows(torch.tensor([0] * 500 + [1] * 3), 10).ge(500).sum()
    tensor(3)
    """
    if len(targets) <= limit:
        return torch.arange(len(targets))
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(targets), generator=generator)
    order = order[targets[order].argsort(stable=True)]
    counts = targets.bincount()
    rank = torch.arange(len(targets)) - (counts.cumsum(0) - counts)[targets[order]]
    turn = rank + torch.rand(len(targets), generator=generator, dtype=torch.float64)
    return order[turn.argsort()[:limit]].sort().values


def _accuracies(predicted: Tensor, targets: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Return top-1 in the whole split, and balanced accuracy."""
    recall = class_recall(predicted, targets).double()
    return (recall.nan_to_num() * shares[: len(recall)]).sum(), recall.nanmean()


def _beats_shuffled(predicted: Tensor, targets: Tensor, shares: Tensor) -> bool:
    """Return whether hardly any shuffle of the targets lets the same predictions reach as much.

    This permutation test is exact for any number of samples and classes, unlike a standard error.
    """
    rows = even_rows(targets, COMPARED)
    predicted, targets = predicted[rows], targets[rows]
    reached = _accuracies(predicted, targets, shares)
    generator = torch.Generator().manual_seed(0)
    as_good = [0, 0]
    for _ in range(SHUFFLES):
        shuffled = _accuracies(predicted, targets[torch.randperm(len(targets), generator=generator)], shares)
        for number, (value, actual) in enumerate(zip(shuffled, reached, strict=True)):
            as_good[number] += bool(value >= actual - 1e-12)
        if min(as_good) >= LUCK * (SHUFFLES + 1):
            return False
    return True
