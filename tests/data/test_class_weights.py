"""Weights of the classes: balanced as scikit-learn's, automatic from a stated imbalance on, or from a file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from wcord.checks import UsageError
from wcord.data.class_weights import balanced, class_weights, read_weights

CLASSES = ("none", "mild", "severe")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=60))
def test_balanced_is_that_of_scikit_learn(labels: list[int]) -> None:
    present = np.unique(labels)
    expected = compute_class_weight("balanced", classes=present, y=labels)
    weights = balanced(torch.bincount(torch.tensor(labels), minlength=6))
    assert weights[present].tolist() == pytest.approx(expected.tolist())
    assert bool((weights[[c for c in range(6) if c not in present]] == 1).all())
    # Under the weights all classes together count as much as all samples do without.
    assert float(weights[labels].sum()) == pytest.approx(len(labels))


@pytest.mark.parametrize(
    ("counts", "weighted"),
    [((10, 10, 10), False), ((29, 10, 10), False), ((30, 10, 10), True), ((400, 10, 1), True), ((29, 10, 0), False)],
)
def test_auto_weights_from_three_times_on(counts: tuple[int, ...], weighted: bool) -> None:
    targets = torch.repeat_interleave(torch.arange(3), torch.tensor(counts))
    weights, note = class_weights("auto", targets, CLASSES)
    if weighted:
        always, _ = class_weights("balanced", targets, CLASSES)
        assert weights is not None
        assert always is not None
        assert torch.equal(weights, always)
        assert "(none) to" in note
        assert note.endswith("balanced")
    else:
        assert weights is None
        assert "fewer than 3 times" in note


@pytest.mark.parametrize(
    "text",
    [
        "none,1\nmild,2.5\nsevere,4\n",
        "Class,Weight\nnone,1\nmild,2.5\nsevere,4\n",
        "CLASS;WEIGHT\nnone;1\nmild;2.5\nsevere;4\n",
        "none\t1\nmild\t2.5\n\nsevere\t4\n",
        "class,weight\nsevere, 4\nnone ,1\n\nmild,2.5",
        '\ufeffmild,2.5\r\nsevere,4e0\r\n"none",1.0\r\n',
    ],
)
def test_a_file_gives_weights_by_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "weights.csv"
    file.write_text(text, encoding="utf-8", newline="")
    assert read_weights(str(file), CLASSES).tolist() == [1, 2.5, 4]
    weights, note = class_weights(str(file), torch.tensor([0, 1, 2]), CLASSES)
    assert weights is not None
    assert note == f"class weights: 1 (none) to 4 (severe), from {file}"


def test_names_in_two_unicode_forms_are_one(tmp_path: Path) -> None:
    file = tmp_path / "weights.csv"
    file.write_text("caf\u0065\u0301,2\ntea,1\n", encoding="utf-8")
    assert read_weights(str(file), ("caf\u00e9", "tea")).tolist() == [2, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("none,1\nmild,2\n", "lack 1 class.*'severe'"),
        ("none,1\nmild,2\nsevre,3\n", "did you mean 'severe'"),
        ("none,1\nmild,2\nsevere,0\n", "line 3: the weight must be a finite number above 0, received '0'"),
        ("none,1\nmild,-2\nsevere,3\n", "line 2: the weight.*received '-2'"),
        ("none,1\nmild,nan\nsevere,3\n", "line 2: the weight.*received 'nan'"),
        ("none,1\nmild,inf\nsevere,3\n", "line 2: the weight.*received 'inf'"),
        ("none,1\nmild,heavy\nsevere,3\n", "line 2: the weight.*received 'heavy'"),
        ("none,1\nmild,\nsevere,3\n", "line 2: the weight.*received ''"),
        ("none,1\nmild;2\nsevere,3\n", "line 2: must be class,weight"),
        ("none,1\nmild,2\nmild,3\nsevere,3\n", "line 3: class 'mild' has a weight already"),
        ("", "lack 3 class"),
    ],
)
def test_files_that_cannot_be_meant(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "weights.csv"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_weights(str(file), CLASSES)


def test_a_file_that_is_missing_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"file of class weights \(or auto, balanced\) 'balancd' does not exist"):
        class_weights("balancd", torch.tensor([0, 1, 2]), CLASSES)
    (tmp_path / "latin.csv").write_bytes("n\u00f6ne,1".encode("latin-1"))
    with pytest.raises(UsageError, match="save it as csv in UTF-8"):
        read_weights(str(tmp_path / "latin.csv"), CLASSES)


def test_weights_that_are_all_alike_are_one_number() -> None:
    _, note = class_weights("balanced", torch.tensor([0, 1, 0, 1]), ("a", "b"))
    assert note == "class weights: 1 for each class, balanced"
