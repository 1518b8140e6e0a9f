"""A log of JSON lines, read up to the first damaged line."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wcord.checks import RunError
from wcord.files import write_atomically

Entry = dict[str, Any]


class Log:
    """A file with one JSON object a line.

    The process that writes it keeps its entries in memory: a file that is cut, emptied or removed meanwhile is restored
    with the next entry.

    Args:
        path: the file, which need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: list[Entry] | None = None

    @property
    def entries(self) -> list[Entry]:
        """All entries so far: those of this process, or else those in the file."""
        return read_lines(self.path) if self._entries is None else list(self._entries)

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add an entry; it is on disk when this returns.

        Raises:
            RunError: the file cannot be written.
        """
        before, self._entries = self.entries, [*self.entries, _as_read(entry)]
        try:
            with self.path.open("ab") as file:
                intact = file.tell() == len(_lines(before))
                if intact:
                    file.write(_lines([entry]))
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise RunError(f"cannot write {str(self.path)!r} ({error.strerror}): free some space") from None
        if not intact:
            self.replace(self._entries)

    def replace(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Replace the whole file.

        Raises:
            RunError: it cannot be written.
        """
        self._entries = [_as_read(entry) for entry in entries]
        write_atomically(self.path, _lines(entries))


def read_lines(path: Path) -> list[Entry]:
    """Return the entries before the first line that is damaged or cut short; none if the file cannot be read."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError:
        return []
    entries: list[Entry] = []
    for line in lines:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(entry, dict):
            break
        entries.append(entry)
    return entries


def counting_up(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries of an epoch log before the first that is out of sequence.

    Two processes that write one log, or lost lines, leave such entries.

    >>> counting_up([{"epoch": 1}, {"epoch": 2}, {"epoch": 2}, {"epoch": 3}])
    [{'epoch': 1}, {'epoch': 2}]
    """
    result: list[Entry] = []
    for entry in entries:
        last = result[-1] if result else {"epoch": 0, "stage": entry.get("stage")}
        begins_main = last.get("stage") is not None and entry.get("stage") is None
        same_stage = last.get("stage") == entry.get("stage")
        expected = 1 if begins_main else last["epoch"] + 1
        if entry.get("epoch") != expected or not (same_stage or begins_main):
            break
        result.append(entry)
    return result


def _lines(entries: Sequence[Mapping[str, Any]]) -> bytes:
    return "".join(f"{json.dumps(entry)}\n" for entry in entries).encode()


def _as_read(entry: Mapping[str, Any]) -> Entry:
    """Return an entry as the file holds it: plain values, which a checkpoint may hold."""
    return json.loads(json.dumps(entry))
