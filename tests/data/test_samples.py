"""Samples keep what belongs to them together, and names are names however they are stored."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.data.samples import Samples, Source, all_rows, forget_labels, named_by


@given(st.lists(st.integers(0, 9), max_size=20))
def test_taking_some_keeps_rows_targets_keys_and_groups_together(chosen: list[int]) -> None:
    samples = Samples(
        torch.zeros(20, 1, 1, 1),
        torch.arange(10, 20),
        torch.arange(10) % 3,
        keys=np.array([f"k{i}" for i in range(10)]),
        groups=np.array([f"g{i // 2}" for i in range(10)]),
    )
    taken = samples.take(torch.tensor(chosen, dtype=torch.long))
    assert len(taken) == len(chosen)
    assert taken.rows.tolist() == [10 + i for i in chosen]
    assert taken.targets.tolist() == [i % 3 for i in chosen]
    assert taken.keys is not None
    assert taken.groups is not None
    assert taken.keys.tolist() == [f"k{i}" for i in chosen]
    assert taken.groups.tolist() == [f"g{i // 2}" for i in chosen]


def test_labels_are_forgotten_on_both_splits() -> None:
    split = all_rows(torch.zeros(4, 1, 1, 1), torch.tensor([0, 1, 2, 1]))
    for test in (None, split):
        blind = forget_labels(Source(split, test, ("a", "b", "c"), "x"))
        assert blind.classes == ()
        assert blind.train.targets.tolist() == [0] * 4
        assert (blind.test is None) == (test is None)
        assert blind.test is None or blind.test.targets.tolist() == [0] * 4
    assert split.targets.tolist() == [0, 1, 2, 1]


def test_whole_numbers_are_one_name_however_they_are_stored() -> None:
    assert named_by("id", [7, 7.0, "7", 7.5]).tolist() == ["7", "7", "7", "7.5"]
    for missing in (None, float("nan")):
        with pytest.raises(UsageError, match=r"1 rows have no value in column 'id'"):
            named_by("id", ["a", missing])
