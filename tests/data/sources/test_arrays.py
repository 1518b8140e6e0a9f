"""Arrays of images in every usual layout, and what is wrong with others."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wcord.checks import UsageError
from wcord.data.config import DataConfig
from wcord.data.opening import from_arrays, open_data
from wcord.data.samples import ReadRequest
from wcord.data.sources.arrays import DamagedError, array_source, as_images, digits_source, npz_source, read_npz


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 8, 8), (5, 1, 8, 8)),
        ((5, 3, 8, 8), (5, 3, 8, 8)),
        ((5, 8, 8, 3), (5, 3, 8, 8)),
        ((5, 1, 8, 8), (5, 1, 8, 8)),
    ],
)
def test_layouts(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert as_images("x", np.zeros(shape, np.uint8)).shape == expected


def test_values_stay_what_they_are() -> None:
    pixels = np.arange(2 * 4 * 4 * 3).reshape(2, 4, 4, 3)
    found = as_images("x", pixels)
    assert found.dtype == torch.uint8
    np.testing.assert_array_equal(found.numpy(), pixels.transpose(0, 3, 1, 2))
    floats = (pixels / 255).astype(np.float64)
    assert as_images("x", floats).dtype == torch.float32
    np.testing.assert_allclose(as_images("x", floats).numpy(), floats.transpose(0, 3, 1, 2), rtol=1e-6)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 64)), r"must hold images.*received shape \(4, 64\)"),
        (np.zeros((0, 8, 8)), "none of these 0"),
        (np.full((2, 4, 4), 300), r"must lie in 0 … 255, received 300 … 300.*16 bits: 65535"),
        (np.full((2, 4, 4), 1.5), r"holds floats in 1\.5 … 1\.5: scale them to \[0, 1\]"),
        (np.full((2, 4, 4), np.inf), r"NaN or infinity in 2 of 2 samples \(rows 0, 1\)"),
        (np.full((2, 4, 4), "a"), "must hold numbers"),
    ],
)
def test_other_arrays_are_told(array: np.ndarray, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        as_images("x", array)


def test_splits_that_do_not_fit_are_told() -> None:
    images, labels = np.zeros((4, 8, 8), np.uint8), np.array([[0], [1], [0], [1]])
    source = array_source(images, labels, None, None, classes=None, name="a")
    assert source.train.targets.tolist() == [0, 1, 0, 1]
    for arguments, message in (
        ((images, labels[:3], None, None), "x_train has 4 images and y_train 3 labels"),
        ((images, labels, images, None), "x_test and y_test go together"),
        ((images, labels, np.zeros((4, 9, 9), np.uint8), labels), "images of one shape"),
    ):
        with pytest.raises(UsageError, match=message):
            array_source(*arguments, classes=None, name="a")


def test_damaged_archives_are_told(tmp_path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK nothing")
    with pytest.raises(UsageError, match=r"a\.npz' cannot be read"):
        npz_source(str(tmp_path / "a.npz"), ReadRequest())
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(UsageError, match="it holds one array without a name"):
        npz_source(str(tmp_path / "one.npy"), ReadRequest())
    np.savez_compressed(tmp_path / "b.npz", x_train=np.random.default_rng(0).normal(size=5000))
    damaged = bytearray((tmp_path / "b.npz").read_bytes())
    damaged[1000:1200] = bytes(200)
    (tmp_path / "b.npz").write_bytes(damaged)
    with pytest.raises(UsageError, match=r"b\.npz' cannot be read"):
        npz_source(str(tmp_path / "b.npz"), ReadRequest())


def test_digits_hold_scikit_learns_pixels() -> None:
    from sklearn.datasets import load_digits

    source = digits_source("", ReadRequest())
    assert source.test is not None
    rows = torch.cat([source.train.rows, source.test.rows]).sort().values
    assert torch.equal(rows, torch.arange(1797))
    assert isinstance(source.train.store, torch.Tensor)
    expected = np.rint(load_digits().images * 255 / 16)
    np.testing.assert_array_equal(source.train.store[:, 0].numpy(), expected)


def test_archives_under_the_usual_names(tmp_path) -> None:
    x, y = np.zeros((6, 4, 4), np.uint8), np.arange(6) % 2
    for names, told in (
        (("x_train", "y_train", "x_val", "y_val"), "x_val and y_val are the test split"),
        (("X_train", "Y_train", "X_test", "y_test"), None),
        (("train_images", "train_labels", "val_images", "val_labels"), "x_val and y_val are the test split"),
        (
            ("x_train", "y_train", "x_test", "y_test", "x_val", "y_val", "w"),
            "arrays not read: w, x_val, y_val",
        ),
    ):
        held = {name: y[:3] if name[0].lower() == "y" or "labels" in name else x[:3] for name in names}
        held |= {name: y if name[0].lower() == "y" or "labels" in name else x for name in names[:2]}
        np.savez(tmp_path / "a.npz", **held)
        data = open_data(DataConfig(data=f"npz:{tmp_path / 'a.npz'}"))
        assert (len(data.train), len(data.test)) == (6, 3)
        assert told is None or told in data.notes
    np.savez(tmp_path / "a.npz", x_train=x, X_train=x, y_train=y)
    with pytest.raises(UsageError, match="holds x_train and X_train, which may mean the same"):
        open_data(DataConfig(data=f"npz:{tmp_path / 'a.npz'}"))


def test_tensors_of_any_kind_and_masks() -> None:
    x, y = torch.rand(10, 1, 4, 4), [0, 1] * 5
    for tensor in (x.bfloat16(), x.clone().requires_grad_(), x.double(), x.half()):
        assert from_arrays(tensor, y).train.shape == (1, 4, 4)
    hidden = np.ma.masked_greater(x.numpy(), 0.9)
    with pytest.raises(UsageError, match=r"x_train is a masked array that hides \d+ values"):
        from_arrays(hidden, y)
    assert from_arrays(np.ma.array(x.numpy()), y).train.shape == (1, 4, 4)
    with pytest.raises(UsageError, match="1 samples without a label, the first in row 0"):
        from_arrays(x, np.ma.array(y, mask=[True] + [False] * 9))


@pytest.mark.parametrize(
    ("classes", "told"), [({"a", "b"}, "as a list"), ({0: "a", 1: "b"}, "as a list"), (["a", "a"], "'a' 2 times")]
)
def test_names_of_classes_have_an_order(classes: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        from_arrays(np.zeros((4, 4, 4), np.uint8), [0, 1] * 2, classes=classes)


@pytest.mark.parametrize(
    ("train", "test", "told"),
    [
        (
            np.array([[1, -1, 0]] * 4),
            None,
            "they hold -1; where a sample may have several labels, give rows",
        ),
        (np.array([[1, 255, 0]] * 4), None, "they hold 255"),
        (np.array([[1, 3, 2]] * 4), None, "they hold 2, 3"),
        (np.array([[1, np.nan, 0]] * 4), None, "they hold nan"),
        (
            np.array([[1, 1, 0]] * 4),
            np.zeros(4, int),
            r"received y_train .*\(4, 3\) and y_test .*\(4,\)",
        ),
    ],
)
def test_rows_that_are_no_marks_are_told(train: np.ndarray, test: np.ndarray | None, told: str) -> None:
    x = np.zeros((4, 4, 4), np.uint8)
    with pytest.raises(UsageError, match=told):
        from_arrays(x, train, None if test is None else x, test)


def test_a_code_for_gaps_among_labels_is_noted() -> None:
    x = np.zeros((12, 4, 4), np.uint8)
    for code in (-999, -100, -9):
        assert any(f"class '{code}'" in note for note in from_arrays(x, [0, 1, code] * 4).notes)
    assert not any("below 0" in note for note in from_arrays(x, [-1, 1] * 6).notes)
    assert set(from_arrays(x, np.array([1, 2**64 - 1] * 6, np.uint64)).classes) == {"1", str(2**64 - 1)}


def header(shape: tuple[int, ...], kind: str = "<f8") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": kind, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def archive(path: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in entries.items():
            file.writestr(f"{name}.npy", content)
    return path


def test_round_trip(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6).reshape(2, 3), "b": np.array("text"), "c": np.zeros((0, 4))}
    np.savez_compressed(tmp_path / "a.npz", **arrays)  # NumPy's stub
    found = read_npz(tmp_path / "a.npz")
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], value) for name, value in arrays.items())


@pytest.mark.parametrize("shape", [(10**12,), (2**40, 2**40), (3,), (-5,), (10**30,)])
def test_a_header_may_not_promise_more_than_there_is(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = archive(tmp_path / "a.npz", x_train=header(shape) + b"\0" * 8, y_train=header((1,)) + b"\0" * 8)
    with pytest.raises(DamagedError):
        read_npz(path)
    with pytest.raises(UsageError, match=r"npz file '.*a.npz' cannot be read"):
        npz_source(str(path), ReadRequest())


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY", b"\x93NUMPY\1\0\xff\xff{", header((1,), "|O") + b"cos\nabort\n(tR."]
)
def test_damage_and_objects(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DamagedError):
        read_npz(archive(tmp_path / "a.npz", x=content))


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"y_train": np.array(3)}, "y_train must hold a label for each image"),
        ({"x_train": np.array(3.0)}, "x_train must hold images"),
        ({"x_train": np.zeros(0)}, "x_train must hold images"),
    ],
)
@pytest.mark.parametrize("labels", [True, False])
def test_arrays_without_dimensions(tmp_path: Path, arrays: dict[str, np.ndarray], reason: str, labels: bool) -> None:
    np.savez(tmp_path / "a.npz", **({"x_train": np.zeros((4, 2, 2)), "y_train": np.arange(4)} | arrays))
    if not labels and "y_train" in arrays:
        assert len(npz_source(str(tmp_path / "a.npz"), ReadRequest(DataConfig(no_labels=True))).train) == 4
        return
    with pytest.raises(UsageError, match=reason):
        npz_source(str(tmp_path / "a.npz"), ReadRequest(DataConfig(no_labels=not labels)))
