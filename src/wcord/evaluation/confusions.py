"""Counts of the pairs of true and predicted class that occur, without the C×C table."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Confusions:
    """Pairs of a true and a predicted class, each with the number of its samples.

    Attributes:
        true: class numbers, P, in ascending order.
        predicted: class numbers, P.
        counts: samples of each pair, P, at least 1.
        classes: number of classes, C.
    """

    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    counts: NDArray[np.int64]
    classes: int

    @classmethod
    def of(cls, targets: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> "Confusions":
        """Count the pairs of samples.

        >>> found = Confusions.of(np.array([0, 0, 2, 2]), np.array([0, 1, 0, 0]), 3)
        >>> found.true.tolist(), found.predicted.tolist(), found.counts.tolist()
        ([0, 0, 2], [0, 1, 0], [1, 1, 2])
        """
        pairs, counts = np.unique(targets.astype(np.int64) * classes + predicted, return_counts=True)
        return cls(*np.divmod(pairs, classes), counts, classes)

    def table(self) -> NDArray[np.int64]:
        """Return the C×C table; rows are true classes."""
        table = np.zeros((self.classes, self.classes), np.int64)
        table[self.true, self.predicted] = self.counts
        return table

    def most_confused(self, limit: int) -> list[tuple[int, int, int, int]]:
        """Return the pairs of classes that are most often confused, the worst first.

        Returns:
            For each pair the smaller class, the larger, and the counts of smaller as larger and of larger as smaller.

        >>> Confusions.of(np.array([0, 0, 2, 1]), np.array([0, 1, 0, 0]), 3).most_confused(1)
        [(0, 1, 1, 1)]
        """
        wrong = self.true != self.predicted
        true, predicted, counts = self.true[wrong], self.predicted[wrong], self.counts[wrong]
        small, large = np.minimum(true, predicted), np.maximum(true, predicted)
        pairs, place = np.unique(small * self.classes + large, return_inverse=True)
        forward = np.bincount(place, counts * (true == small), minlength=len(pairs)).astype(int)
        backward = np.bincount(place, counts * (true == large), minlength=len(pairs)).astype(int)
        worst = np.argsort(-(forward + backward), kind="stable")[:limit]
        return [(*divmod(int(pairs[i]), self.classes), int(forward[i]), int(backward[i])) for i in worst]
