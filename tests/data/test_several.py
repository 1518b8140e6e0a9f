"""Rows of 0 and 1 are several labels a sample, unless each holds exactly one 1."""

from typing import Any

import numpy as np
import pytest
import torch

from wcord.checks import UsageError
from wcord.data.loader import Loader
from wcord.data.mixing import Mixing
from wcord.data.several import label_marks, marks_several, refuse_several
from wcord.data.sources import from_arrays

MARKS = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]] * 5)


@pytest.mark.parametrize(
    ("rows", "several"),
    [
        (MARKS, True),
        (MARKS.astype(bool), True),
        (2 * MARKS - 1, True),
        (MARKS.astype(np.float32), True),
        (np.eye(3, dtype=int), False),
        (np.array([[0.5, 0.5, 0.0]]), False),
        (np.array([[2, 0, 1]]), False),
        (np.array([[1], [0]]), False),
        (np.array([1, 0]), False),
        (np.array([["a", "b"]]), False),
    ],
)
def test_what_marks_several(rows: Any, several: bool) -> None:
    assert marks_several({"train": rows}) == several
    assert marks_several({"train": MARKS, "test": rows}) == (several or np.array_equal(rows, np.eye(3)))
    if several:
        assert np.array_equal(label_marks({"train": rows})[0]["train"].numpy(), MARKS)


def test_arrays_with_several_labels_are_a_data_set() -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8), np.uint8)
    data = from_arrays(images, MARKS, classes=("cat", "dog", "sun"))
    assert data.several_labels
    assert (data.classes, len(data.train), len(data.test)) == (("cat", "dog", "sun"), 16, 4)
    assert data.notes == ("no test split: a fixed fifth of the train split is held out as test",)
    batch = next(Loader(data.train, batch_size=8, views=2, shuffle=True).batches())
    assert batch.target.shape == (16, 3)
    assert torch.equal(batch.target, data.train.targets[batch.index])
    mixed = next(Loader(data.train, batch_size=8, mixing=Mixing(3, mixup=0.5)).batches())
    own = data.train.targets[:8]
    assert bool((mixed.target <= torch.maximum(own, own.flip(0))).all())
    assert bool((mixed.target >= torch.minimum(own, own.flip(0))).all())


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ({"train": MARKS, "test": MARKS[:, :2]}, None, "train split has 3 labels a sample and the test split 2"),
        ({"train": MARKS}, ("a", "b"), "3 columns, but there are 2 names"),
        ({"train": MARKS * np.array([1, 1, 0])}, ("a", "b", "c"), r"no training sample has the label\(s\) c"),
    ],
)
def test_marks_that_do_not_fit(labels: Any, names: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        label_marks(labels, names)


def test_pairs_by_label_and_whatever_numbers_classes_are_refused() -> None:
    images = np.zeros((20, 1, 8, 8), np.uint8)
    data = from_arrays(images, MARKS)
    with pytest.raises(UsageError, match="pairing by label is for one class a sample"):
        data.beside(data, by_label=True)
    refuse_several(torch.tensor([0, 1]), "--merge")
    with pytest.raises(UsageError, match="--merge is for one class a sample, received samples with several labels"):
        refuse_several(data.train.targets, "--merge")
