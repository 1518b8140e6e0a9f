"""Numbers by hand and by SciPy."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from wcord.benchmark.statistics import Difference, against_number, deviation, mean, paired, standard_error

NUMBERS = st.lists(st.floats(0, 100), min_size=2, max_size=8)


def test_by_hand() -> None:
    values = [70.0, 71.0, 75.0]
    assert mean(values) == 72.0
    assert deviation(values) == pytest.approx(math.sqrt(7))
    assert standard_error(values) == pytest.approx(math.sqrt(7 / 3))
    assert against_number(values, 71.5) == Difference(0.5, pytest.approx(math.sqrt(7 / 3)), None, 3)


def test_too_few_values_have_no_error() -> None:
    assert mean([]) is deviation([]) is standard_error([]) is against_number([], 1.0) is None
    assert deviation([1.0]) is standard_error([1.0]) is None
    assert against_number([71.0], 70.0) == Difference(1.0, None, None, 1)


def test_pairs_are_seeds_in_common() -> None:
    ours, theirs = {0: 71.0, 1: 72.0, 2: 74.0, 7: 99.0}, {2: 71.5, 0: 70.5, 1: 71.0, 3: 0.0}
    found = paired(ours, theirs)
    # Differences 0.5, 1.0, 2.5: mean 4/3, deviation sqrt(13/12), t = 4/3 / sqrt(13/36) with 2 degrees of freedom.
    assert found is not None
    assert found.value == pytest.approx(4 / 3)
    assert found.error == pytest.approx(math.sqrt(13) / 6)
    t = (4 / 3) / (math.sqrt(13) / 6)
    assert found.p == pytest.approx(1 - t / math.sqrt(t**2 + 2))
    assert found.n == 3


def test_pairs_without_a_test() -> None:
    assert paired({0: 1.0}, {1: 1.0}) is None
    assert paired({0: 2.0}, {0: 1.0}) == Difference(1.0, None, None, 1)
    assert paired({0: 2.0, 1: 3.0}, {0: 1.0, 1: 2.0}) == Difference(1.0, 0.0, None, 2)


@given(NUMBERS, st.randoms(use_true_random=False))
def test_as_scipy_has_it(values: list[float], random: "st.Random") -> None:
    others = [value + random.uniform(-1, 1) for value in values]
    assert standard_error(values) == pytest.approx(float(stats.sem(values)), abs=1e-9)
    found = paired(dict(enumerate(values)), dict(enumerate(others)))
    assert found is not None
    if found.p is not None:
        assert found.p == pytest.approx(
            float(stats.ttest_1samp([a - b for a, b in zip(values, others, strict=True)], 0).pvalue)
        )


def test_splits_of_the_same_samples_are_not_independent() -> None:
    """Nadeau and Bengio's correction: the variance is larger by 1 + n·n_test/n_train, here 1 + 4/4."""
    ours, theirs = {0: 72.0, 1: 73.0, 2: 75.0, 3: 74.0}, {0: 71.0, 1: 71.5, 2: 74.5, 3: 72.0}
    plain, corrected = paired(ours, theirs), paired(ours, theirs, overlap=0.25)
    assert plain is not None
    assert corrected is not None
    assert plain.error is not None
    assert corrected.value == plain.value
    assert corrected.error == pytest.approx(math.sqrt(2) * plain.error)
    assert plain.p == pytest.approx(stats.ttest_rel([*ours.values()], [*theirs.values()]).pvalue)
    t = corrected.value / corrected.error
    assert corrected.p == pytest.approx(2 * stats.t.sf(t, 3))
