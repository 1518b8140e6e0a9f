"""Splits give rows as they are, in memory or decoded when asked for, and through a view; data sets say what is seen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from wcord.checks import UsageError
from wcord.data.config import DataConfig
from wcord.data.images import Form
from wcord.data.opening import from_arrays, open_data
from wcord.data.pairing import TEST_UNSEEN
from wcord.data.split import (
    MemorySplit,
    StreamSplit,
    base_and_view,
    channel_statistics,
    none_like,
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


def test_a_data_set_is_seen_through_a_view_and_beside_another() -> None:
    data = open_data(DataConfig())
    both = data.through("resize=4").beside(data)
    assert (both.train.shape, both.of_teacher.train.shape) == ((1, 4, 4), (1, 8, 8))
    assert both.train.base is both.of_teacher.train
    fewer = open_data(DataConfig(subset=10.0))
    with pytest.raises(UsageError, match="must see the same samples, received 1438 and 100"):
        data.beside(fewer)
    assert data.beside(fewer, by_label=True).partner("train") is not None
    with pytest.raises(UsageError, match="need the same classes in the same order"):
        data.beside(open_data(DataConfig(data="sklearn:iris")), by_label=True)
    pixels = np.zeros((20, 8, 8), np.uint8)
    turned = from_arrays(pixels, [0, 1] * 10, pixels[:4], [0, 1] * 2)
    other = from_arrays(pixels, [1, 0] * 10, pixels[:4], [1, 0] * 2)
    told = [f"{count} of {count} {name} pairs have different labels" for name, count in (("train", 20), ("test", 4))]
    assert [note.partition(":")[0] for note in turned.beside(other).notes[-2:]] == told
    assert turned.beside(turned).notes == turned.notes
    unmeasured = replace(turned, test=none_like(turned.test))
    assert turned.beside(unmeasured).notes == (*turned.notes, TEST_UNSEEN)
    with pytest.raises(UsageError, match="must see the same samples"):
        unmeasured.beside(turned)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (DataConfig(), "1×8×8 pixels"),
        (DataConfig(view="resize=4"), "resize=4, 1×4×4 pixels"),
        (DataConfig(data="sklearn:iris"), "4 columns"),
    ],
)
def test_what_is_seen_is_said_in_words(config: DataConfig, told: str) -> None:
    assert open_data(config).seen == told


def test_bytes_and_floats_agree_with_numpy() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 3, 9, 7), dtype=np.uint8)
    for values in (images, (images / 255).astype(np.float32)):
        mean, std = channel_statistics(MemorySplit(torch.from_numpy(values), torch.zeros(50).long()))
        unit = images / 255
        np.testing.assert_allclose(mean, unit.mean(axis=(0, 2, 3)), rtol=1e-6)
        np.testing.assert_allclose(std, unit.std(axis=(0, 2, 3)), rtol=1e-5)
