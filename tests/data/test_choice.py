"""What is held out does not depend on classes taken together, and always leaves something of each to train on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.data.choice import choose, held_out, subset
from wcord.data.config import DataConfig
from wcord.data.opening import open_data
from wcord.data.sources.arrays import array_source


def written(frame: pd.DataFrame, path: Path) -> str:
    frame.to_csv(path, index=False)
    return f"table:{path}"


def test_groups_that_leave_nothing_of_a_class_to_train_on_are_told(tmp_path: Path) -> None:
    frame = pd.DataFrame({"who": ["a"] * 8, "x": range(8), "label": [0, 1] * 4})
    with pytest.raises(UsageError, match="the groups that are held out have all samples, so"):
        open_data(DataConfig(data=written(frame, tmp_path / "one.csv"), group_by="who"))
    # Each subject is of one class; of the class with a single subject nothing is left where that one is held out.
    frame = pd.DataFrame({"who": [f"s{i}" for i in range(12)], "x": range(12), "label": [0] * 11 + [1]})
    source = written(frame, tmp_path / "rare.csv")
    told = []
    for seed in range(12):
        try:
            data = open_data(DataConfig(data=source, group_by="who", split_seed=seed))
        except UsageError as error:
            told.append(str(error))
        else:
            assert 1 in data.train.targets
    assert told
    assert all("all samples of class '1', so that none is left for training" in line for line in told)


@pytest.mark.parametrize("labels", ["merge", "none"])
def test_what_is_made_of_the_labels_is_told_apart_from_what_is_held_out(labels: str) -> None:
    whole = open_data(DataConfig(data="sklearn:iris"))
    settings: dict[str, Any] = {"merge": ("other=versicolor+virginica",)} if labels == "merge" else {"no_labels": True}
    changed = open_data(DataConfig(data="sklearn:iris", **settings))
    same = torch.equal(*(data.test.read(torch.arange(len(data.test))) for data in (whole, changed)))
    assert same == (whole.cut == changed.cut)
    assert same == (labels == "merge")


def test_a_cut_is_told_where_training_samples_are_held_out() -> None:
    assert open_data(DataConfig()).cut == {}
    held = [open_data(DataConfig(holdout=0.2, split_seed=seed)).cut for seed in (0, 1, 0)]
    assert held[0]["samples"] == 1438
    assert held[0] == held[2]
    assert held[0]["held_out"] != held[1]["held_out"]


@pytest.mark.parametrize(("subset", "told"), [(2.0, "2 of each class"), (0.5, "the same share of each class")])
def test_a_subset_says_whether_it_is_a_number_or_a_share(subset: float, told: str) -> None:
    images, labels = np.zeros((20, 8, 8), np.uint8), [0] * 12 + [1] * 8
    source = array_source(images, labels, images, labels, classes=("a", "b"), name="arrays")
    (note,) = choose(source, DataConfig(subset=subset)).notes
    assert note.endswith(told)


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
