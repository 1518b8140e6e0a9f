"""Pictures outside of any data set."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from wcord.checks import UsageError
from wcord.data.pictures import find_pictures, read_picture


def test_folders_are_searched_in_order_and_other_files_left(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("b.png", "deep/a.jpg"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    assert find_pictures([tmp_path]) == [tmp_path / "b.png", tmp_path / "deep" / "a.jpg"]
    with pytest.raises(UsageError, match="does not exist"):
        find_pictures([tmp_path / "none.png"])


def test_pictures_come_in_the_form_that_is_wanted(tmp_path: Path) -> None:
    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "red.png")
    image = read_picture(tmp_path / "red.png", (3, 8, 8))
    assert image.shape == (1, 3, 8, 8)
    assert torch.equal(image[0, :, 0, 0], torch.tensor([1.0, 0.0, 0.0]))
    assert read_picture(tmp_path / "red.png", (1, 8, 8)).shape == (1, 1, 8, 8)
