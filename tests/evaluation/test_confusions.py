"""Confusions are counted as a loop counts them, and cost what the samples cost, however many classes there are."""

import tracemalloc

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from wcord.evaluation.confusions import Confusions
from wcord.evaluation.order import _matched

samples = st.integers(2, 6).flatmap(
    lambda classes: st.tuples(
        st.just(classes),
        st.lists(st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1)), min_size=1, max_size=30),
    )
)


@given(samples)
def test_the_table_is_that_of_a_loop(case: tuple[int, list[tuple[int, int]]]) -> None:
    classes, pairs = case
    expected = np.zeros((classes, classes), int)
    for true, said in pairs:
        expected[true, said] += 1
    found = Confusions.of(*np.array(pairs).T, classes)
    np.testing.assert_array_equal(found.table(), expected)
    worst = found.most_confused(3)
    both = sorted((expected[i, j] + expected[j, i] for i in range(classes) for j in range(i)), reverse=True)
    assert [there + back for *_, there, back in worst] == [count for count in both[:3] if count]
    assert all((there, back) == (expected[i, j], expected[j, i]) and i < j for i, j, there, back in worst)


def test_ten_thousand_classes_are_matched_without_a_table_of_them() -> None:
    classes = 10_000
    targets = torch.arange(classes).repeat(4)
    order = torch.randperm(classes, generator=torch.Generator().manual_seed(0))
    tracemalloc.start()
    right = _matched(order[targets], targets, classes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert right is not None
    assert bool(right.all())
    assert peak < 50e6, "a table of 10,000 by 10,000 takes 800 MB"
