"""Subsets and held-out parts take the same share of every class, by seed."""

import numpy as np
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


@given(st.integers(0, 50), st.data())
def test_a_group_is_on_the_same_side_whoever_else_is_there(seed: int, data: st.DataObject) -> None:
    """A teacher may have been trained on a table of other subjects, too."""
    names = np.array([f"s{i}" for i in range(60)])
    present = data.draw(st.lists(st.integers(0, 59), unique=True, min_size=1))
    _, all_held = held_out(torch.zeros(60, dtype=torch.long), 0.2, seed=seed, groups=names)
    few = names[present]
    _, held = held_out(torch.zeros(len(few), dtype=torch.long), 0.2, seed=seed, groups=few)
    among = set(names[all_held.numpy()]) & set(few)
    assert set(few[held.numpy()]) == among or (len(held) == 1 and not among)


def test_about_the_share_that_is_asked_for_is_held_out() -> None:
    names = np.array([f"s{i}" for i in range(5000)])
    _, held = held_out(torch.zeros(5000, dtype=torch.long), 0.2, seed=3, groups=names)
    assert abs(len(held) - 1000) < 4 * (5000 * 0.2 * 0.8) ** 0.5
