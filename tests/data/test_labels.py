"""Class numbers from values of any kind, the same in every split."""

import numpy as np
import pytest

from wcord.checks import UsageError
from wcord.data.labels import number_labels


def test_sorted_values_are_the_classes_in_every_split() -> None:
    targets, classes = number_labels({"train": np.array([30, 10, 20, 10]), "test": np.array([20, 30])})
    assert classes == ("10", "20", "30")
    assert targets["train"].tolist() == [2, 0, 1, 0]
    assert targets["test"].tolist() == [1, 2]


def test_given_names_leave_the_numbers_alone() -> None:
    targets, classes = number_labels({"train": np.array([1, 0, 1])}, ["ant", "bee"])
    assert (targets["train"].tolist(), classes) == ([1, 0, 1], ("ant", "bee"))


@pytest.mark.parametrize(
    ("train", "names", "message"),
    [
        (np.eye(3), None, r"one value a sample, received shape \(3, 3\).*argmax"),
        (np.array(["a", None], dtype=object), None, "samples without a label"),
        (np.array([0.5, 1.0]), None, "are fractions"),
        (np.array([0, -1, -1]), None, "2 samples with a negative label"),
        (np.array([0, 2]), ["a", "b"], "has class number 2, but there are 2 class names"),
        (np.array(["a", "b"]), ["a", "b"], "labels must be class numbers"),
        (np.array([4, 4]), None, "at least 2 classes, the data has 1: 4"),
    ],
)
def test_labels_that_cannot_be_are_told(train: np.ndarray, names: list[str] | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        number_labels({"train": train}, names)


def test_a_class_that_is_only_tested_is_told() -> None:
    with pytest.raises(UsageError, match="cow"):
        number_labels({"train": np.array(["ant", "bee"]), "test": np.array(["cow"])})
