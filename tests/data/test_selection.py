"""Subsets and held-out parts take the same share of every class, by seed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.data.selection import held_out, subset


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(5, 30), min_size=1, max_size=6), st.floats(0.1, 0.7), st.integers(0, 9))
def test_held_out_is_a_partition_with_each_class_on_both_sides(sizes: list[int], fraction: float, seed: int) -> None:
    targets = torch.cat([torch.full((size,), label) for label, size in enumerate(sizes)])
    kept, held = held_out(targets, fraction, seed=seed)
    assert torch.cat([kept, held]).sort().values.tolist() == list(range(len(targets)))
    for label, size in enumerate(sizes):
        assert abs(int((targets[held] == label).sum()) - fraction * size) <= 1
    again = held_out(targets, fraction, seed=seed)
    assert torch.equal(again[0], kept)


def test_subsets_by_number_and_by_fraction() -> None:
    targets = torch.tensor([0] * 20 + [1] * 10)
    assert targets[subset(targets, 4.0, ("a", "b"), seed=0)].bincount().tolist() == [4, 4]
    assert targets[subset(targets, 0.5, ("a", "b"), seed=0)].bincount().tolist() == [10, 5]
    assert not torch.equal(subset(targets, 4.0, ("a", "b"), seed=0), subset(targets, 4.0, ("a", "b"), seed=1))
    with pytest.raises(UsageError, match="class 'b' has 10: ask for at most that many"):
        subset(targets, 11.0, ("a", "b"), seed=0)
    with pytest.raises(UsageError, match="must be a whole number"):
        subset(targets, 2.5, ("a", "b"), seed=0)
