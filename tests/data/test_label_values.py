"""Labels as people have them: of several kinds, several a sample, with gaps, as quantities, in two Unicode forms."""

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from wcord.checks import UsageError
from wcord.data.label_values import (
    alike,
    as_labels,
    is_missing,
    label_form,
    label_marks,
    marks_several,
    plain_labels,
    refuse_several,
    require_classes,
    unlabeled,
)
from wcord.data.labels import number_labels
from wcord.data.loader import Loader
from wcord.data.mixing import Mixing
from wcord.data.opening import from_arrays

X = np.random.default_rng(0).integers(0, 255, (60, 4, 4)).astype(np.uint8)


def classes(values: object) -> tuple[str, ...]:
    return from_arrays(X, values).classes


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (np.eye(3), "one-hot"),
        (np.eye(3, dtype=bool), "one-hot"),
        (2 * np.eye(3) - 1, "one-hot"),
        (np.array([[1, 1, 0], [0, 0, 0]]), "several"),
        (np.array([[1.0, 1.0], [0.0, 1.0]]), "several"),
        (np.array([[1, -1], [1, 1]]), "several"),
        (as_labels([["cat"], ["cat", "dog"]]), "several"),
        (as_labels([["cat", "dog"], ["dog", "eel"]]), "several"),
        (as_labels([[3], [1, 2], []]), "several"),
        (np.array([[0.2, 0.8], [0.5, 0.5]]), "shares"),
        (np.array([[1.0, 0.0], [0.3, 0.7]]), "shares"),
        (np.array([[0.2, 0.2], [9.0, 0.5]]), "other"),
        (np.zeros((3, 8, 8)), "other"),
        (np.array(["a", "b"]), "numbers"),
        (np.array([0, 1]), "numbers"),
    ],
)
def test_what_labels_say_of_a_sample(values: np.ndarray, form: str) -> None:
    assert label_form(values) == form
    if form != "numbers":
        with pytest.raises(UsageError, match="must be one value a sample"):
            plain_labels("train", values)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([-1, 1] * 30), ("-1", "1")),
        (np.array([-1.0, 1.0] * 30, np.float32), ("-1", "1")),
        (np.array([-1, 0] * 30), ("-1", "0")),
        (np.array([-1, 5, 9] * 20), ("-1", "5", "9")),
        (np.array([1.0, 2.0, 10.0] * 20), ("1", "2", "10")),
        (np.array([True, False] * 30), ("False", "True")),
        (np.array([b"caf\xc3\xa9", b"tea"] * 30), ("café", "tea")),
        (["cafe\u0301", "caf\u00e9", "tea"] * 20, ("caf\u00e9", "tea")),
        (["NA", "None", "nan"] * 20, ("NA", "None", "nan")),
        (pd.Series([3, 1] * 30), ("1", "3")),
        (pd.Series(["b", "a"] * 30, dtype="category"), ("a", "b")),
        (torch.tensor([2.0, 0.0] * 30, dtype=torch.bfloat16), ("0", "2")),
        (np.array([2, 1] * 30, object), ("1", "2")),
    ],
)
def test_labels_of_any_kind_are_classes(values: object, expected: tuple[str, ...]) -> None:
    assert classes(values) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array(["a", np.nan, "b"] * 20, object), "20 samples without a label, the first in row 1"),
        (["a", "b", None] * 20, "20 samples without a label, the first in row 2"),
        (pd.Series(["a", pd.NA, "b"] * 20, dtype="string"), "20 samples without a label"),
        (["a", "", "b"] * 20, "20 samples without a label"),
        (np.array([0.0, np.nan, 1.0] * 20), "20 samples without a label"),
        (np.array([1, "1", 2] * 20, object), r"mix numbers \(1\) and text \('1'\)"),
        ([1, "1", 2] * 20, r"mix numbers \(1\) and text \('1'\)"),
        ([True, 2, 3] * 20, "^(?!.*Traceback)"),
        (np.array(["2020-01-01", "2021-01-01"] * 30, "datetime64[D]"), "names no class"),
        (np.array([1j, 2j] * 30), "names no class"),
        ([Decimal("1.5"), Decimal(2)] * 30, "names no class"),
        (np.array([0.5, 1.5, 2] * 20), "3 different numbers, such as 0.5: expected classes; regression"),
        (np.random.default_rng(0).normal(size=60), "60 different numbers"),
        (np.random.default_rng(0).integers(0, 10**6, 60), "different numbers, .*regression is not supported"),
        (np.array([-1, 0, 1, 2] * 15), "15 samples labeled -1, which beside 0 … 2 means unlabeled.*write the labels"),
        (np.array([np.inf, 1] * 30), "hold infinity"),
    ],
)
def test_what_is_no_class_is_told_in_one_line(values: object, message: str) -> None:
    if message.startswith("^"):
        assert classes(values)  # NumPy reads a list of truth values and numbers as numbers
        return
    with pytest.raises(UsageError, match=message) as caught:
        classes(values)
    assert "\n" not in str(caught.value)


def test_one_image_a_class_is_no_regression() -> None:
    x_test, y_test = X[:30], np.arange(30)
    assert len(from_arrays(X[:30], np.arange(30), x_test, y_test).classes) == 30


def test_classes_of_one_name_in_two_forms_are_one() -> None:
    labels = {"train": np.array([0, 1, 2, 0]), "test": np.array([1, 2])}
    targets, names = number_labels(labels, ["e\u0301t\u00e9", "\u00e9t\u00e9", "hiver"])
    assert names == ("\u00e9t\u00e9", "hiver")
    assert (targets["train"].tolist(), targets["test"].tolist()) == ([0, 0, 1, 0], [0, 1])


def test_numbers_in_one_split_and_text_in_the_other_are_told() -> None:
    with pytest.raises(UsageError, match="numbers in the train split and text in the test split"):
        number_labels({"train": np.array([0, 1]), "test": np.array(["0", "1"])})


@pytest.mark.parametrize("names", [("cat", "Cat", "cat "), ("New York", "new  york"), ("ÉTÉ", "été")])
def test_names_that_differ_by_case_or_spaces_are_noted_and_stay_apart(names: tuple[str, ...]) -> None:
    assert alike(names) == [names]
    data = from_arrays(X, list(names) * (60 // len(names)))
    assert len(data.classes) == len(names)
    assert any("differ by case or spaces alone, and are not merged" in note for note in data.notes)


def test_a_test_split_without_labels_is_passed_over() -> None:
    for bare in (np.full(60, -1), np.full(60, np.nan)):
        data = from_arrays(X, np.array([0, 1, 2] * 20), X, bare)
        assert len(data.train) + len(data.test) == 60
        assert "the test split is skipped: 60 of its samples have no label" in data.notes
    assert unlabeled(np.array([-1, 1]), np.array([-1, 1])) == 0
    assert is_missing(pd.NaT)


def test_the_advice_about_unlabeled_test_samples_helps(tmp_path) -> None:
    from wcord.data.config import DataConfig
    from wcord.data.opening import open_data

    y = np.array([0, 1, 2] * 20)
    np.savez(tmp_path / "a.npz", x_train=X, y_train=y, x_test=X, y_test=np.where(np.arange(60) < 5, -1, y))
    with pytest.raises(UsageError, match=r"the test split has 5 samples labeled -1.*--holdout 0\.1"):
        open_data(DataConfig(data=f"npz:{tmp_path / 'a.npz'}"))
    assert len(open_data(DataConfig(data=f"npz:{tmp_path / 'a.npz'}", holdout=0.1)).test) == 6


@pytest.mark.parametrize("names", [("cat", "Cat"), ("cat", "cat "), ("bus stop", "bus  Stop"), ("Straße", "STRASSE")])
def test_names_that_differ_by_case_or_spaces_alone_belong_together(names: tuple[str, str]) -> None:
    assert alike([*names, "dog"]) == [names]
    assert alike(["cat", "cats"]) == []


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


def test_classes_without_gaps_are_no_quantity_wherever_they_begin() -> None:
    require_classes("labels", np.arange(100, 150))
    with pytest.raises(UsageError, match="labels holds 50 different numbers, such as 100"):
        require_classes("labels", 2 * np.arange(50, 100))


def test_classes_with_gaps_need_two_samples_each() -> None:
    require_classes("labels", np.repeat(2 * np.arange(100), 2))
    with pytest.raises(UsageError, match="holds 100 different numbers"):
        require_classes("labels", np.repeat(2 * np.arange(100), 2)[1:])
