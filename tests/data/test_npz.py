import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from wcord.checks import UsageError
from wcord.data.arrays import npz_source
from wcord.data.config import Columns
from wcord.data.npz import DamagedError, read_npz


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
        npz_source(str(path), Columns())


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
        assert len(npz_source(str(tmp_path / "a.npz"), Columns(labels=False)).train) == 4
        return
    with pytest.raises(UsageError, match=reason):
        npz_source(str(tmp_path / "a.npz"), Columns(labels=labels))
