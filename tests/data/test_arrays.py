"""Arrays of images in every usual layout, and what is wrong with others."""

import numpy as np
import pytest
import torch

from wcord.checks import UsageError
from wcord.data.arrays import array_source, as_images, digits_source, npz_source
from wcord.data.config import Columns


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
        npz_source(str(tmp_path / "a.npz"), Columns())
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(UsageError, match="it holds one array without a name"):
        npz_source(str(tmp_path / "one.npy"), Columns())
    np.savez_compressed(tmp_path / "b.npz", x_train=np.random.default_rng(0).normal(size=5000))
    damaged = bytearray((tmp_path / "b.npz").read_bytes())
    damaged[1000:1200] = bytes(200)
    (tmp_path / "b.npz").write_bytes(damaged)
    with pytest.raises(UsageError, match=r"b\.npz' cannot be read"):
        npz_source(str(tmp_path / "b.npz"), Columns())


def test_digits_hold_scikit_learns_pixels() -> None:
    from sklearn.datasets import load_digits

    source = digits_source()
    assert source.test is not None
    rows = torch.cat([source.train.rows, source.test.rows]).sort().values
    assert torch.equal(rows, torch.arange(1797))
    assert isinstance(source.train.store, torch.Tensor)
    expected = np.rint(load_digits().images * 255 / 16)
    np.testing.assert_array_equal(source.train.store[:, 0].numpy(), expected)
