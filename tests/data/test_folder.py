"""Folders of class folders, and those that are none."""

from pathlib import Path

import pytest
from PIL import Image

from wcord.checks import UsageError
from wcord.data.config import Columns
from wcord.data.folder import folder_source


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2)).save(path)


def test_classes_are_numbered_by_name_and_hidden_files_left(tmp_path: Path) -> None:
    for name in ("train/b/1.png", "train/a/deep/2.png", "train/a/.hidden.png", "valid/a/3.png", "valid/b/4.png"):
        put(tmp_path / name)
    source = folder_source(str(tmp_path), Columns())
    assert source.classes == ("a", "b")
    assert (source.train.targets.tolist(), len(source.train)) == ([0, 1], 2)
    assert source.test is not None
    assert source.test.targets.tolist() == [0, 1]


def test_folders_that_are_none_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        folder_source(str(tmp_path / "none"), Columns())
    with pytest.raises(UsageError, match="has no class folders"):
        folder_source(str(tmp_path), Columns())
    put(tmp_path / "test" / "a" / "1.png")
    with pytest.raises(UsageError, match="but no 'train' folder"):
        folder_source(str(tmp_path), Columns())
    put(tmp_path / "train" / "a" / "1.png")
    (tmp_path / "train" / "b").mkdir()
    with pytest.raises(UsageError, match=r"b' holds no images"):
        folder_source(str(tmp_path), Columns())
