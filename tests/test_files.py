"""Files are written whole or not at all."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wcord.checks import RunError
from wcord.files import is_being_written, write_atomically


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


def test_a_full_disk_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left on device"):
        write_atomically(tmp_path / "file", b"x" * 100_000)
    assert os.listdir(tmp_path) == []


def test_what_killed_writers_left_of_a_file_is_removed_with_its_next_writing(tmp_path: Path) -> None:
    for name in (".file.77.part", ".file.0a1b2c3d.part", ".other.77.part", ".file.part", "file.77.part"):
        (tmp_path / name).touch()
    write_atomically(tmp_path / "file", b"x")
    assert sorted(os.listdir(tmp_path)) == [".file.part", ".other.77.part", "file", "file.77.part"]


def test_what_a_live_process_is_writing_stays(tmp_path: Path) -> None:
    writer = "import sys, time, os; from wcord import files; os.fsync = lambda _: (print(flush=True), time.sleep(60))"
    writer += "; files.write_atomically(sys.argv[1], b'slow')"
    command = [sys.executable, "-c", writer, str(tmp_path / "file")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (part,) = os.listdir(tmp_path)
        write_atomically(tmp_path / "file", b"fast")
        assert is_being_written(tmp_path / part)
        assert sorted(os.listdir(tmp_path)) == [part, "file"]
        process.kill()
    assert not is_being_written(tmp_path / part)
    write_atomically(tmp_path / "file", b"fast")
    assert os.listdir(tmp_path) == ["file"]


def test_links_and_pipes_called_like_parts_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    (tmp_path / ".file.1.part").symlink_to("precious")
    os.mkfifo(tmp_path / ".file.2.part")
    write_atomically(tmp_path / "file", b"x")
    assert sorted(os.listdir(tmp_path)) == [".file.1.part", ".file.2.part", "file", "precious"]


def test_folders_are_made_and_impossible_ones_told(tmp_path: Path) -> None:
    write_atomically(tmp_path / "new" / "deep" / "file", b"x")
    assert (tmp_path / "new" / "deep" / "file").read_bytes() == b"x"
    with pytest.raises(RunError, match="cannot write"):
        write_atomically(tmp_path / "new" / "deep" / "file" / "below", b"x")
