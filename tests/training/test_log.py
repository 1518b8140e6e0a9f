"""Logs: read as far as they are whole, on the disk when written, and written again where they were lost meanwhile."""

import json
from pathlib import Path

import pytest

from wcord.checks import RunError
from wcord.training.log import Log, counting_up, read_lines

WHOLE = b'{"epoch": 1}\n{"epoch": 2}\n{"epoch": 3}\n'


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (WHOLE, 3),
        (WHOLE[:-1], 2),  # cut within its last line
        (WHOLE[:20], 1),
        (b"", 0),
        (b"\0\0\0\n" + WHOLE, 0),
        (WHOLE + bytes(4096), 3),
        (WHOLE + bytes(4096) + b"\n", 3),
        (WHOLE[:13] + b'{"epo\n' + WHOLE[13:], 1),
        (WHOLE[:13] + b'{"a": "\xff\xfe"}\n' + WHOLE[13:], 1),
        (WHOLE[:13] + b"[1, 2]\n" + WHOLE[13:], 1),
        (WHOLE[:13] + b"\n" + WHOLE[13:], 1),
        (WHOLE[:13] + b"[" * 100_000 + b"\n", 1),
    ],
)
def test_entries_before_the_damage_are_read(content: bytes, kept: int, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(content)
    assert [entry["epoch"] for entry in read_lines(tmp_path / "log")] == [1, 2, 3][:kept]


def test_what_is_no_file_has_no_entries(tmp_path: Path) -> None:
    assert read_lines(tmp_path / "none") == []
    assert read_lines(tmp_path) == []


@pytest.mark.parametrize("befalls", ["removed", "emptied", "cut", "longer"])
def test_a_file_that_is_damaged_while_it_is_written_is_whole_after_the_next_entry(befalls: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = Log(path)
    log.append({"epoch": 1})
    log.append({"epoch": 2, "name": "é"})
    content = path.read_bytes()
    {
        "removed": path.unlink,
        "emptied": lambda: path.write_bytes(b""),
        "cut": lambda: path.write_bytes(content[:-3]),
        "longer": lambda: path.write_bytes(content + b'{"ep'),
    }[befalls]()
    log.append({"epoch": 3})
    assert path.read_bytes().startswith(content)
    assert [json.loads(line)["epoch"] for line in path.read_text().splitlines()] == [1, 2, 3]
    assert log.entries == read_lines(path)


def test_another_object_goes_on_where_the_file_ends(tmp_path: Path) -> None:
    Log(tmp_path / "log").append({"epoch": 1})
    log = Log(tmp_path / "log")
    log.append({"epoch": 2})
    assert [entry["epoch"] for entry in Log(tmp_path / "log").entries] == [1, 2]
    log.replace([{"epoch": 7}])
    assert Log(tmp_path / "log").entries == log.entries == [{"epoch": 7}]


def test_a_full_disk_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RunError, match=r"cannot write .*log' \(No space left on device\): free some space"):
        Log(tmp_path / "log").append({"epoch": 1})


@pytest.mark.parametrize(
    ("epochs", "kept"),
    [
        ([1, 2, 3], 3),
        ([1, 2, 2, 3, 3], 2),
        ([2, 3], 0),
        ([1, 3], 1),
        ([1, None], 1),
        (["1"], 0),
        ([-1, -2, 1, 2], 4),  # two of a preparation, then the main stage
        ([-1, 2], 1),
        ([1, -2], 1),
        ([-1, -1], 1),
    ],
)
def test_only_epochs_that_count_up_count(epochs: list[object], kept: int) -> None:
    """A negative number stands for an epoch of the preparation."""
    entries = [
        {"epoch": -epoch, "stage": "preparation"} if isinstance(epoch, int) and epoch < 0 else {"epoch": epoch}
        for epoch in epochs
    ]
    assert counting_up(entries) == entries[:kept]
