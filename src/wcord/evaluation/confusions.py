"""How often each class is taken for which: counts of the pairs that occur, since a table of all would be C×C."""

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
        """Return the C×C table, true classes down."""
        table = np.zeros((self.classes, self.classes), np.int64)
        table[self.true, self.predicted] = self.counts
        return table

    def most_confused(self, limit: int) -> list[tuple[int, int, int, int]]:
        """Return the pairs of classes that are most often taken for each other, the worst first.

        Returns:
            Of each pair the smaller class, the larger, and how often the smaller is taken for the larger and back.

        >>> Confusions.of(np.array([0, 0, 2, 1]), np.array([0, 1, 0, 0]), 3).most_confused(1)
        [(0, 1, 1, 1)]
        """
        wrong = self.true != self.predicted
        true, predicted, counts = self.true[wrong], self.predicted[wrong], self.counts[wrong]
        small, large = np.minimum(true, predicted), np.maximum(true, predicted)
        pairs, place = np.unique(small * self.classes + large, return_inverse=True)
        there = np.bincount(place, counts * (true == small), minlength=len(pairs)).astype(int)
        back = np.bincount(place, counts * (true == large), minlength=len(pairs)).astype(int)
        worst = np.argsort(-(there + back), kind="stable")[:limit]
        return [(*divmod(int(pairs[i]), self.classes), int(there[i]), int(back[i])) for i in worst]
