"""Paths are what they should be, or the message says what they are instead."""

import os
from pathlib import Path

import pytest

from wcord import paths
from wcord.checks import UsageError, WrongTypeError


def test_file(tmp_path: Path) -> None:
    present = tmp_path / "weights.pth"
    present.touch()
    assert paths.require_file(str(present), "weights") == present
    with pytest.raises(UsageError, match=r"weights '.*missing\.pth' does not exist: check the path"):
        paths.require_file(tmp_path / "missing.pth", "weights")
    with pytest.raises(UsageError, match=r"weights '.*' is a folder: name a file in it"):
        paths.require_file(tmp_path, "weights")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="is a pipe or device: name a file"):
        paths.require_file(tmp_path / "pipe", "weights")


def test_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert paths.require_folder(str(tmp_path), "data") == tmp_path
    with pytest.raises(UsageError, match="is a file: name its folder"):
        paths.require_folder(tmp_path / "file", "data")
    with pytest.raises(UsageError, match="does not exist"):
        paths.require_folder(tmp_path / "none", "data")


def test_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert paths.require_place(tmp_path / "new" / "page.html", "--out") == tmp_path / "new" / "page.html"
    assert not (tmp_path / "new").exists()
    assert paths.require_place(tmp_path, "--out", folder=True) == tmp_path
    for place, message in (
        (tmp_path, "is a folder: name a file in it"),
        (tmp_path / "file" / "page.html", "is not a folder, name another place"),
        (Path("/proc/page.html"), "takes no files, name another place"),
    ):
        with pytest.raises(UsageError, match=message):
            paths.require_place(place, "--out")


@pytest.mark.parametrize(
    ("path", "message"),
    [("", "must not be empty"), ("a\0b", "holds a null character"), ("x" * 256, "holds a name of 256 bytes")],
)
def test_text_that_is_no_path(path: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        paths.require_path(path, "weights")


def test_other_types_are_refused() -> None:
    with pytest.raises(WrongTypeError, match="weights must be a path, received 3"):
        paths.require_path(3, "weights")
