"""What is decoded batch by batch: pictures, views of them, and errors that are handed over as they are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from wcord.checks import UsageError
from wcord.data.augment import draw
from wcord.data.decoding import Decoding, given
from wcord.data.images import Form
from wcord.data.split import MemorySplit, StreamSplit
from wcord.data.stores import FileImages


@pytest.fixture
def split(tmp_path: Path) -> StreamSplit:
    """Four pictures of 12×10 pixels, each of one shade, the last of which is damaged."""
    paths = [tmp_path / f"{shade}.png" for shade in range(4)]
    for shade, path in enumerate(paths):
        Image.fromarray(np.full((12, 10, 3), 50 * shade, np.uint8)).save(path)
    paths[3].write_bytes(paths[3].read_bytes()[:40])
    return StreamSplit(FileImages(paths), torch.arange(4), torch.tensor([0, 1, 0, 1]), Form("RGB", 8, 8))


def test_each_batch_holds_its_rows(split: StreamSplit) -> None:
    decoding = Decoding(split, [torch.tensor([2, 0]), torch.tensor([1])], None, first=0, views=1)
    assert len(decoding) == 2
    assert [int(picture.max()) for picture in given(decoding[0])] == [100, 0]
    assert given(decoding[1]).shape == (1, 3, 8, 8)


def test_crops_are_those_of_the_batch_in_its_epoch_in_every_view(split: StreamSplit) -> None:
    numbers: list[int] = []

    def crops(number: int) -> torch.Tensor:
        numbers.append(number)
        return draw("resized-crop", 4, 8, 8, torch.Generator().manual_seed(number))

    decoding = Decoding(split, [torch.tensor([0, 2]), torch.tensor([1, 2])], crops, first=5, views=2)
    assert [int(picture.max()) for picture in given(decoding[1])] == [50, 100, 50, 100]
    assert numbers == [6]


@pytest.mark.parametrize("kind", [MemoryError, UsageError])
def test_an_error_is_handed_over_and_raised_by_who_takes_it(
    split: StreamSplit, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    decoding = Decoding(split, [torch.tensor([0, 3])], None, first=0, views=1)
    if kind is MemoryError:

        def full(*_: object) -> None:
            raise MemoryError("no room")

        monkeypatch.setattr(StreamSplit, "read", full)
    handed = decoding[0]
    assert isinstance(handed, kind)
    with pytest.raises(kind, match="no room" if kind is MemoryError else "3.png"):
        given(handed)


def test_a_batch_is_named_by_its_number_in_the_epoch_and_its_first_picture(split: StreamSplit) -> None:
    streamed = Decoding(split, [torch.tensor([1, 0])], None, first=7, views=1)
    assert streamed.name(0).startswith("batch 7 of the epoch, from ")
    assert "1.png" in streamed.name(0)
    memory = MemorySplit(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]))
    assert Decoding(memory, [torch.tensor([0])], None, first=0, views=1).name(0) == "batch 0 of the epoch"
