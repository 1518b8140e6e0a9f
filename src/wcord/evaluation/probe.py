"""What a frozen representation is worth on other data: a linear probe, nearest neighbours, and a few labels a class."""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wcord.checks import UsageError, require_counts, require_finite, require_matrix, require_number, require_same_rows

ITERATIONS = 1000
"""Steps of L-BFGS at most: without weight decay a separable set has no optimum, only ever larger weights."""
DRAWS = 10
"""Draws of a few samples a class."""


@dataclass(frozen=True)
class Representation:
    """Embeddings of labelled samples, computed once by a network in eval mode.

    Raises:
        UsageError: no or unequally many samples, NaN, a single class, or a test class that no training sample has.

    Attributes:
        train: embeddings of the samples that a probe is fitted on, N×D.
        train_targets: their class numbers, N.
        test: embeddings of the samples that it is measured on, M×D.
        test_targets: their class numbers, M.
    """

    train: Tensor
    train_targets: Tensor
    test: Tensor
    test_targets: Tensor

    def __post_init__(self) -> None:
        for name, x, y in (("train", self.train, self.train_targets), ("test", self.test, self.test_targets)):
            require_matrix(name, x)
            require_same_rows(name, x, f"{name}_targets", y)
            require_finite(name, x)
        if self.train_targets.unique().numel() < 2:
            raise UsageError("a probe needs training samples of at least 2 classes")
        strange = self.test_targets[~torch.isin(self.test_targets, self.train_targets)].unique().tolist()
        if strange:
            raise UsageError(
                f"{len(strange)} classes of the test samples have no training sample, which no probe can learn: "
                f"{', '.join(map(str, strange[:5]))}"
            )


def linear_probe(seen: Representation) -> float:
    """Return the top-1 accuracy, in percent, of multinomial logistic regression on the embeddings.

    min over W, b of the mean cross-entropy of softmax(W x + b), without weight decay, as in the transfer table of the
    CRD paper (Tian et al., ICLR 2020, table 4); fitted by L-BFGS where theirs is by SGD. Embeddings are standardized
    by the training samples, which does not move the optimum and lets L-BFGS find it.

    >>> x, y = torch.tensor([[0.0], [1.0], [10.0], [11.0]]), torch.tensor([0, 0, 1, 1])
    >>> linear_probe(Representation(x, y, x + 0.5, y))
    100.0
    """
    from sklearn.linear_model import LogisticRegression  # scikit-learn takes a second to load

    train, test = _standardized(seen)
    fitted: Any = LogisticRegression(C=math.inf, max_iter=ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the last step was not converged, which separable sets cannot be
        fitted.fit(train, seen.train_targets.numpy())
    return _accuracy(fitted.predict(test), seen)


def nearest_neighbours(seen: Representation, *, neighbours: int = 20) -> float:
    """Return the top-1 accuracy, in percent, of a vote of the nearest training samples by cosine.

    A vote weighs exp(cos / 0.07), as in Wu et al. (CVPR 2018) and after them in self-supervised learning.

    Raises:
        UsageError: fewer training samples than neighbours.
    """
    require_number("neighbours", neighbours, low=1, high=len(seen.train), whole=True)
    from sklearn.neighbors import KNeighborsClassifier

    fitted: Any = KNeighborsClassifier(
        neighbours,
        metric="cosine",
        weights=lambda distance: np.exp(-distance / 0.07),  # pyright: ignore[reportArgumentType]  # may be a function
    )
    fitted.fit(seen.train.double().numpy(), seen.train_targets.numpy())
    return _accuracy(fitted.predict(seen.test.double().numpy()), seen)


def few_shot(seen: Representation, shots: int, *, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """Return mean and standard deviation, in percent, of linear probes on `shots` samples a class, over several draws.

    Raises:
        UsageError: a class has fewer training samples.
    """
    require_counts(shots=shots, draws=draws)
    require_number("seed", seed, low=-(2**63), high=2**63 - 1, whole=True)
    counts = torch.bincount(seen.train_targets)
    poorest = int(torch.where(counts > 0, counts, counts.max()).argmin())
    if not 1 <= shots <= int(counts[poorest]):
        raise UsageError(f"shots must lie between 1 and {int(counts[poorest])}, the samples of class {poorest}")
    generator = torch.Generator().manual_seed(seed)
    reached = []
    for _ in range(draws):
        chosen = torch.cat(
            [
                rows[torch.randperm(len(rows), generator=generator)[:shots]]
                for rows in (torch.where(seen.train_targets == label)[0] for label in seen.train_targets.unique())
            ]
        )
        drawn = Representation(seen.train[chosen], seen.train_targets[chosen], seen.test, seen.test_targets)
        reached.append(linear_probe(drawn))
    return float(np.mean(reached)), float(np.std(reached, ddof=1)) if draws > 1 else 0.0


def _standardized(seen: Representation) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    train, test = seen.train.double().numpy(), seen.test.double().numpy()
    spread = train.std(axis=0)
    spread[spread < 1e-12] = 1.0
    mean = train.mean(axis=0)
    return (train - mean) / spread, (test - mean) / spread


def _accuracy(predicted: NDArray[np.int64], seen: Representation) -> float:
    return 100.0 * float((predicted == seen.test_targets.numpy()).mean())
