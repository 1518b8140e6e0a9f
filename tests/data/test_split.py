"""Splits give rows as they are, in memory or decoded when asked for, and through a view; data sets say what is seen."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from wcord.checks import UsageError
from wcord.data.images import Form
from wcord.data.split import (
    MemorySplit,
    StreamSplit,
    base_and_view,
    channel_statistics,
    on_device,
    seen_through,
)
from wcord.data.stores import FileImages
from wcord.data.view import View


def gray(folder: Path, values: list[int]) -> FileImages:
    paths = [folder / f"{i}.png" for i in range(len(values))]
    for path, value in zip(paths, values, strict=True):
        Image.new("L", (4, 6), value).save(path)
    return FileImages(paths)


def test_a_stream_reads_its_own_rows_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    split = StreamSplit(gray(tmp_path, [10, 20, 30]), torch.tensor([2, 0]), torch.tensor([1, 0]), Form("L", 6, 4))
    assert (len(split), split.shape) == (2, (1, 6, 4))
    images = split.read(torch.tensor([1, 0, 1]))
    assert images.dtype == torch.uint8
    assert images[:, 0, 0, 0].tolist() == [10, 30, 10]
    assert on_device(split, "cpu") is split


def test_memory_copies_rows_and_moves_only_when_it_must() -> None:
    images = torch.arange(3, dtype=torch.uint8)[:, None, None, None].expand(3, 1, 2, 2)
    split = MemorySplit(images, torch.arange(3))
    assert split.read(torch.tensor([2, 0]))[:, 0, 0, 0].tolist() == [2, 0]
    assert split.to("cpu") is split
    moved = split.to("meta")
    assert (moved.images.device.type, moved.targets.device.type, moved.shape) == ("meta", "meta", (1, 2, 2))


def test_a_view_is_taken_of_the_records_and_none_changes_nothing() -> None:
    split = MemorySplit(torch.full((2, 3, 4, 4), 255, dtype=torch.uint8), torch.tensor([0, 1]))
    assert seen_through(split, View()) is split
    seen = seen_through(split, View.parse("gray,resize=2"))
    assert seen.shape == (1, 2, 2)
    assert torch.allclose(seen.read(torch.tensor([0])), torch.ones(1, 1, 2, 2))
    base, view = base_and_view(seen)
    assert (base is split, view.text) == (True, "gray,resize=2")
    with pytest.raises(UsageError, match="needs the visits of a table"):
        seen_through(split, View.parse("visits=1"))
    twice = seen_through(seen_through(split, View.parse("gray")), View.parse("resize=2"))
    base, view = base_and_view(twice)
    assert (base is split, view.text) == (True, "gray,resize=2")
    assert torch.equal(twice.read(torch.tensor([1])), seen.read(torch.tensor([1])))


def test_bytes_and_floats_agree_with_numpy() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 3, 9, 7), dtype=np.uint8)
    for values in (images, (images / 255).astype(np.float32)):
        mean, std = channel_statistics(MemorySplit(torch.from_numpy(values), torch.zeros(50).long()))
        unit = images / 255
        np.testing.assert_allclose(mean, unit.mean(axis=(0, 2, 3)), rtol=1e-6)
        np.testing.assert_allclose(std, unit.std(axis=(0, 2, 3)), rtol=1e-5)
