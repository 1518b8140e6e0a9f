"""Means and differences over seeds, with their uncertainty."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats


@dataclass(frozen=True)
class Difference:
    """A difference of two means.

    Attributes:
        value: the difference.
        error: its standard error; None for a single value.
        p: two-sided probability of a difference this large by chance; None if not tested.
        n: number of seeds.
    """

    value: float
    error: float | None
    p: float | None
    n: int

    def __str__(self) -> str:
        """Return the value and its error: `+1.20 ± 0.15`."""
        error = "" if self.error is None else f" ± {self.error:.2f}"
        return f"{self.value:+.2f}{error}".replace("-", "−")


def mean(values: Sequence[float]) -> float | None:
    """Return the mean, or None without values."""
    return statistics.fmean(values) if values else None


def deviation(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation, or None for fewer than two values."""
    return statistics.stdev(values) if len(values) > 1 else None


def standard_error(values: Sequence[float]) -> float | None:
    """Return the standard error of the mean, s/√n, or None for fewer than two values.

    >>> standard_error([1.0, 2.0, 3.0])
    0.577...
    """
    spread = deviation(values)
    return None if spread is None else spread / math.sqrt(len(values))


def against_number(values: Sequence[float], number: float) -> Difference | None:
    """Return the mean minus a published number, which is taken as exact, because its deviation is rarely published.

    >>> against_number([72.0, 73.0], 72.0)
    Difference(value=0.5, error=0.5, p=None, n=2)
    """
    average = mean(values)
    return None if average is None else Difference(average - number, standard_error(values), None, len(values))


def paired(values: Mapping[int, float], baseline: Mapping[int, float], *, overlap: float = 0.0) -> Difference | None:
    """Return the mean difference over common seeds, with its paired t-test; None without a common seed.

    Runs of one seed have the same initial weights and the same batches, so their differences vary less than the runs.
    If the differences do not vary at all, the test is undefined and p is None.

    Args:
        values: seed → value.
        baseline: seed → value to compare with.
        overlap: n_test / n_train, if each seed splits the same samples again. Such runs share samples and are not
            independent; the variance of the mean is then s²·(1/n + n_test/n_train) instead of s²/n (Nadeau and Bengio,
            Machine Learning 2003).
    """
    seeds = sorted(values.keys() & baseline.keys())
    if not seeds:
        return None
    differences = [values[seed] - baseline[seed] for seed in seeds]
    value, n, p = statistics.fmean(differences), len(seeds), None
    spread = deviation(differences)
    error = None if spread is None else spread * math.sqrt(1 / n + overlap)
    if error and max(differences) - min(differences) > 1e-9:
        p = float(2 * stats.t.sf(abs(value) / error, n - 1))
    return Difference(value, error, p, n)
