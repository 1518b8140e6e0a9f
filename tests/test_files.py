"""Files are written whole or not at all."""

import os
from pathlib import Path

import pytest

from wcord.checks import RunError
from wcord.files import write_atomically


def test_content_replaces_and_nothing_else_is_left(tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        write_atomically(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
    assert os.listdir(tmp_path) == ["file"]


def test_a_kill_before_the_end_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / "file", b"old")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full to play a full disk")
def test_a_full_disk_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / f".file.{os.getpid()}.part"
    scratch.symlink_to("/dev/full")
    with pytest.raises(RunError, match="No space left on device"):
        write_atomically(tmp_path / "file", b"x" * 100_000)
    assert not (tmp_path / "file").exists()


def test_folders_are_made_and_impossible_ones_told(tmp_path: Path) -> None:
    write_atomically(tmp_path / "new" / "deep" / "file", b"x")
    assert (tmp_path / "new" / "deep" / "file").read_bytes() == b"x"
    with pytest.raises(RunError, match="cannot write"):
        write_atomically(tmp_path / "new" / "deep" / "file" / "below", b"x")
