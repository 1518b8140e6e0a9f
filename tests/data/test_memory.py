"""The form that suits all images of a set, and the stores and splits that hold them."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from wcord.checks import UsageError
from wcord.data.images import Form, Frame
from wcord.data.memory import find_form
from wcord.data.samples import all_rows
from wcord.data.split import MemorySplit, StreamSplit
from wcord.data.stores import FileImages


def files(folder: Path, *pictures: tuple[str, tuple[int, int]]) -> FileImages:
    paths = []
    for i, (mode, size) in enumerate(pictures):
        paths.append(folder / f"{i}.png")
        Image.new(mode, size, 9 * i if mode == "L" else (9 * i,) * 3).save(paths[-1])
    return FileImages(paths)


def form_of(store: FileImages, image_size: int | str | None = None) -> tuple[Form, tuple[str, ...]]:
    return find_form([all_rows(store, torch.zeros(len(store)).long())], Frame.of(image_size))


def test_one_size_stays_and_gray_stays_gray(tmp_path: Path) -> None:
    assert form_of(files(tmp_path, ("L", (6, 4)), ("L", (6, 4)))) == (Form("L", 4, 6), ())


def test_one_color_image_makes_the_set_color_and_sizes_are_noted(tmp_path: Path) -> None:
    store = files(tmp_path, ("L", (6, 4)), ("RGB", (8, 4)))
    form, notes = form_of(store)
    assert form == Form("RGB", 224, 224)
    assert "images of 2 or more sizes" in notes[0]
    assert form_of(store, 10) == (Form("RGB", 10, 10), ())
    assert form_of(store, "10x30") == (Form("RGB", 10, 30), ())


def test_nothing_readable_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no image")
    with pytest.raises(UsageError, match="none of the 1 images can be read"):
        form_of(FileImages([tmp_path / "x.png"]))


def test_a_part_of_a_store_reads_its_own_rows(tmp_path: Path) -> None:
    store = files(tmp_path, *[("L", (3, 3))] * 5)
    samples = all_rows(store, torch.tensor([0, 1, 0, 1, 0])).take(torch.tensor([4, 1]))
    assert (len(samples), samples.targets.tolist()) == (2, [0, 1])
    split = StreamSplit(store, samples.rows, samples.targets, Form("L", 3, 3))
    assert split.read(torch.tensor([1, 0]))[:, 0, 0, 0].tolist() == [9, 36]
    assert store.name(2) == f"image {str(tmp_path / '2.png')!r}"
    memory = MemorySplit(split.read(torch.arange(2)), samples.targets)
    assert memory.to("cpu") is memory
    assert torch.equal(memory.read(torch.tensor([1])), split.read(torch.tensor([1])))
