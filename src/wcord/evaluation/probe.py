"""Probes of a frozen representation on other data: linear, nearest neighbors, and a few labels per class."""

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
"""Most steps of L-BFGS; without weight decay the weights of a separable set grow forever."""
DRAWS = 10
"""Draws of a few samples per class."""


@dataclass(frozen=True)
class Representation:
    """Embeddings of labeled samples by a network in eval mode.

    Raises:
        UsageError: no samples, unequal numbers of them, NaN, a single class, or a test class without training samples.

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
        untrained = self.test_targets[~torch.isin(self.test_targets, self.train_targets)].unique().tolist()
        if untrained:
            raise UsageError(
                f"{len(untrained)} classes of the test samples have no training sample: "
                f"{', '.join(map(str, untrained[:5]))}"
            )


def linear_probe(samples: Representation) -> float:
    """Return the top-1 accuracy, in percent, of multinomial logistic regression on the embeddings.

    min over W, b of the mean cross-entropy of softmax(W x + b), without weight decay, as in the transfer table of the
    CRD paper (Tian et al., ICLR 2020, table 4); fitted by L-BFGS instead of SGD. Embeddings are standardized
    by the training samples, which keeps the optimum and helps L-BFGS converge.

    >>> x, y = torch.tensor([[0.0], [1.0], [10.0], [11.0]]), torch.tensor([0, 0, 1, 1])
    >>> linear_probe(Representation(x, y, x + 0.5, y))
    100.0
    """
    from sklearn.linear_model import LogisticRegression  # slow to import

    train, test = _standardized(samples)
    model: Any = LogisticRegression(C=math.inf, max_iter=ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # separable sets do not converge
        model.fit(train, samples.train_targets.numpy())
    return _accuracy(model.predict(test), samples)


def nearest_neighbours(samples: Representation, *, neighbours: int = 20) -> float:
    """Return the top-1 accuracy, in percent, of a vote of the nearest training samples by cosine.

    A vote weighs exp(cos / 0.07), as in Wu et al. (CVPR 2018).

    Raises:
        UsageError: fewer training samples than neighbors.
    """
    require_number("neighbours", neighbours, low=1, high=len(samples.train), whole=True)
    from sklearn.neighbors import KNeighborsClassifier

    model: Any = KNeighborsClassifier(
        neighbours,
        metric="cosine",
        weights=lambda distance: np.exp(-distance / 0.07),  # pyright: ignore[reportArgumentType]  # a function is valid
    )
    model.fit(samples.train.double().numpy(), samples.train_targets.numpy())
    return _accuracy(model.predict(samples.test.double().numpy()), samples)


def few_shot(samples: Representation, shots: int, *, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """Return mean and standard deviation, in percent, of linear probes on `shots` samples per class over several draws.

    Raises:
        UsageError: a class has fewer training samples.
    """
    require_counts(shots=shots, draws=draws)
    require_number("seed", seed, low=-(2**63), high=2**63 - 1, whole=True)
    counts = torch.bincount(samples.train_targets)
    smallest = int(torch.where(counts > 0, counts, counts.max()).argmin())
    if not 1 <= shots <= int(counts[smallest]):
        raise UsageError(f"shots must be between 1 and {int(counts[smallest])}, the samples of class {smallest}")
    generator = torch.Generator().manual_seed(seed)
    accuracies = []
    for _ in range(draws):
        chosen = torch.cat(
            [
                rows[torch.randperm(len(rows), generator=generator)[:shots]]
                for rows in (torch.where(samples.train_targets == label)[0] for label in samples.train_targets.unique())
            ]
        )
        few = Representation(samples.train[chosen], samples.train_targets[chosen], samples.test, samples.test_targets)
        accuracies.append(linear_probe(few))
    return float(np.mean(accuracies)), float(np.std(accuracies, ddof=1)) if draws > 1 else 0.0


def _standardized(samples: Representation) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    train, test = samples.train.double().numpy(), samples.test.double().numpy()
    spread = train.std(axis=0)
    spread[spread < 1e-12] = 1.0
    mean = train.mean(axis=0)
    return (train - mean) / spread, (test - mean) / spread


def _accuracy(predicted: NDArray[np.int64], samples: Representation) -> float:
    return 100.0 * float((predicted == samples.test_targets.numpy()).mean())
