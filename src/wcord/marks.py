"""Marks of files that wcord wrote: contents of each kind that no other program writes."""

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

HEAD = 4096
"""Bytes at the start of a file that are searched."""
LARGEST_JSON = 2**26
"""Bytes of the largest file that is read as JSON."""
CARD = "wcord"
"""Name of the student's card among the metadata of an exported file."""
PROBE_KEYS = {"weights", "architecture", "dimensions", "top1"}
"""Keys of each network's entry in the output of a probe."""
TABLE_COLUMNS = "suite,teacher,student,row,method,"
"""Start of a suite's table as comma-separated values."""


def generator(command: str) -> str:
    """Return the line in a page's head that names the command that wrote it.

    >>> generator("report")
    '<meta name="generator" content="wcord report">'
    """
    return f'<meta name="generator" content="wcord {command}">'


def comment(command: str) -> str:
    """Return the hidden line in a Markdown file that names the command that wrote it."""
    return f"<!-- wcord {command} -->"


def is_page_of(command: str) -> Callable[[Path], bool]:
    """Return a test whether a file is a page that a command wrote."""
    return lambda path: generator(command) in _head(path)


def is_text_of(command: str) -> Callable[[Path], bool]:
    """Return a test whether a file is Markdown that a command wrote."""
    return lambda path: comment(command) in _head(path)


def is_description(path: Path) -> bool:
    """Return whether a file describes an exported student."""
    head = _head(path)
    return head.startswith("# ") and "\n| output `logits` | float32, B×" in head


def is_probe(path: Path) -> bool:
    """Return whether a file is from `wcord probe --out`."""
    try:
        if path.stat().st_size > LARGEST_JSON:
            return False
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, list) and bool(content) and all(_is_probed(entry) for entry in content)


def is_record_of_suite(path: Path) -> bool:
    """Return whether a file is a record from `wcord benchmark --records`."""
    head = _head(path)
    return head.startswith('{\n "format": ') and '\n "row": ' in head and '\n "status": ' in head


def is_table(path: Path) -> bool:
    """Return whether a file is the table of a suite as comma-separated values."""
    return _head(path).startswith(TABLE_COLUMNS)


def is_exported_program(path: Path) -> bool:
    """Return whether a file is a torch.export program with a student's card."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(f"/extra/{CARD}") for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False


def is_exported_onnx(path: Path) -> bool:
    """Return whether a file is an ONNX model with a student's card.

    A model is a protobuf message whose field 14 holds the metadata, each a message of a key (1) and a value (2).
    """
    key = CARD.encode()
    try:
        with path.open("rb") as file:
            return any(entry.startswith(bytes([0x0A, len(key)]) + key + b"\x12") for entry in _fields(file, 14))
    except (OSError, ValueError):
        return False


def _is_probed(entry: object) -> bool:
    return isinstance(entry, dict) and entry.keys() >= PROBE_KEYS


def _head(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(HEAD).decode(errors="replace")
    except OSError:
        return ""


def _fields(file: BinaryIO, field: int) -> Iterator[bytes]:
    """Yield the start of each field of one number in a protobuf message.

    Raises:
        ValueError: the file is not a protobuf message.
    """
    while (tag := _varint(file)) is not None:
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise ValueError("not a protobuf message: a field of number 0")
        if kind == 0:
            _varint(file)
        elif kind in (1, 5):
            file.seek(8 if kind == 1 else 4, 1)
        elif kind == 2:
            length = _varint(file) or 0
            end = file.tell() + length
            if number == field:
                yield file.read(min(length, HEAD))
            file.seek(end)
        else:
            raise ValueError(f"not a protobuf message: wire type {kind}")


def _varint(file: BinaryIO) -> int | None:
    """Return the next number, or None at the end of the file."""
    number = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            return None
        number |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return number
    raise ValueError("not a protobuf message: a number of more than 10 bytes")
