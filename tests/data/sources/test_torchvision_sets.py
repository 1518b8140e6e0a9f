"""Sets of torchvision read from their own files, made here in their own format."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from wcord.checks import UsageError
from wcord.data.samples import ReadRequest
from wcord.data.sources.torchvision_sets import torchvision_source


def mnist(root: Path, count: int = 20) -> np.ndarray:
    """Write MNIST's four files with other pictures."""
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    labels = np.arange(count, dtype=np.uint8) % 10
    for prefix in ("train", "t10k"):
        for name, magic, content in (("images-idx3", 2051, pixels), ("labels-idx1", 2049, labels)):
            header = struct.pack(f">{1 + content.ndim}i", magic, *content.shape)
            for path, write in (
                (folder / f"{prefix}-{name}-ubyte", open),
                (folder / f"{prefix}-{name}-ubyte.gz", gzip.open),
            ):
                with write(path, "wb") as file:
                    file.write(header + content.tobytes())
    return pixels


def test_mnist_is_read_from_its_files(tmp_path: Path) -> None:
    pixels = mnist(tmp_path)
    source = torchvision_source(f"MNIST@{tmp_path}", ReadRequest())
    assert isinstance(source.train.store, torch.Tensor)
    assert source.test is not None
    np.testing.assert_array_equal(source.train.store[:, 0].numpy(), pixels)
    assert source.train.targets.tolist() == [i % 10 for i in range(20)]
    assert len(source.classes) == 10
    assert source.augment == "shift"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("MNITS@x", "did you mean 'MNIST'"),
        ("MNIST", "needs the folder of its files"),
        ("MNIST@none", "no usable train files"),
    ],
)
def test_what_cannot_be_read_is_told(place: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        torchvision_source(place, ReadRequest())


@pytest.mark.parametrize("content", ["a pickle", b"\x80\x02cos\nabort\n(tR.", {"no": "tensors"}])
@pytest.mark.parametrize("name", ["MNIST", "KMNIST", "FashionMNIST"])
def test_old_files_of_torch_are_told(tmp_path: Path, name: str, content: object) -> None:
    folder = tmp_path / name / "processed"
    folder.mkdir(parents=True)
    for file in ("training.pt", "test.pt"):
        if isinstance(content, bytes):
            (folder / file).write_bytes(content)
        else:
            torch.save(content, folder / file)
    with pytest.raises(UsageError, match=f"{name}' has no usable train files"):
        torchvision_source(f"{name}@{tmp_path}", ReadRequest())


@pytest.mark.parametrize("begin", [b"", b"\0\0\x08\x03", b"\0\0\x08\x03" + b"\x7f" * 12, b"text and no numbers"])
def test_damaged_files_are_told(tmp_path: Path, begin: bytes) -> None:
    mnist(tmp_path)
    (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(begin)
    with pytest.raises(UsageError, match="MNIST' has no usable train files"):
        torchvision_source(f"MNIST@{tmp_path}", ReadRequest())
