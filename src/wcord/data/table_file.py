"""Reads the file of a table as spreadsheets and other programs write it: encoding, separator, header."""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from wcord.checks import UsageError, require_file
from wcord.data.number_text import in_plain_digits

Frame = Any
"""A pandas DataFrame: its type stubs do not follow `frame[name]`."""

SEPARATORS = {".csv": ",", ".tsv": "\t"}
"""Suffix of a text file → what usually stands between its columns."""
READERS = (*SEPARATORS, ".parquet")
OTHER_SEPARATORS = (",", ";", "\t", "|")
LOOKED_AT = 50
"""Lines by which the separator is found."""
NAMES = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas"}


def read_table(path: Path) -> tuple[Frame, tuple[str, ...]]:
    """Return the table in a file, and what is unusual about the file.

    Columns of a text file that hold anything but plain numbers and empty cells stay text.

    Raises:
        UsageError: a file that cannot be read, holds no rows, or has two columns of one name.
    """
    require_file(path, "table")
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise UsageError(f"table {str(path)!r} must be a {', '.join(READERS)} file")
    try:
        frame, notes = _parquet(path) if suffix == ".parquet" else _text(path, SEPARATORS[suffix])
    except (UsageError, MemoryError):
        raise
    except (ValueError, OSError, csv.Error) as error:  # pandas' own errors are ValueErrors
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"table {str(path)!r} cannot be read ({reason}): check the file") from None
    if frame.empty:
        raise UsageError(f"table {str(path)!r} holds no rows")
    return frame, tuple(f"table {path.name!r}: {note}" for note in notes)


def _parquet(path: Path) -> tuple[Frame, list[str]]:
    import pyarrow.parquet as pq

    _require_different(path, [str(name).strip() for name in pq.read_schema(path).names])
    frame: Frame = pd.read_parquet(path)
    if not isinstance(frame.index, pd.RangeIndex):  # a column that was made the index is data as any other
        frame = frame.reset_index()
    frame = frame.rename(columns=lambda name: str(name).strip())
    _require_different(path, list(frame.columns))
    return frame, []


def _text(path: Path, usual: str) -> tuple[Frame, list[str]]:
    text, notes = _decoded(path.read_bytes())
    first, _, rest = text.partition("\n")
    stated = re.fullmatch(r"sep=(.)\r?", first, re.IGNORECASE)  # a line that Excel writes
    if stated is not None:
        text = rest
    separator = stated[1] if stated else _separator(text, usual)
    if separator != usual:
        notes.append(f"read with {NAMES.get(separator, repr(separator))} between the columns")
    rows = _first_rows(text, separator)
    if not rows:
        raise ValueError("it is empty")
    names = _column_names(path, rows)
    frame: Frame = pd.read_csv(
        io.StringIO(text),
        sep=separator,
        header=0,
        names=names,
        index_col=False if len(names) == max(map(len, rows)) else None,
        keep_default_na=False,  # NA, None and null are words
        na_values=[""],
        skipinitialspace=True,
        low_memory=False,
    )
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes what is too much for the names of the rows
        raise ValueError("its rows have more cells than its header has names")
    frame, bare = _without_bare(frame)
    # Where commas stand in numbers, something else stands between the columns.
    frame, formats = in_plain_digits(frame, "decimal commas" if separator == ";" else None)
    return frame, [*notes, *bare, *formats]


def _decoded(raw: bytes) -> tuple[str, list[str]]:
    """Return the text of a file by its byte order mark, else as UTF-8, else as Windows writes Western languages."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if raw.startswith(mark):
            return raw.decode(encoding).lstrip("\ufeff"), [] if encoding == "utf-8" else ["read as UTF-16"]
    zeros = Counter(place % 2 for place, byte in enumerate(raw[:1000]) if byte == 0)
    if sum(zeros.values()) > len(raw[:1000]) // 4:
        return raw.decode("utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"), ["read as UTF-16"]
    try:
        return raw.decode(), []
    except UnicodeDecodeError:
        pass
    try:
        return raw.decode("cp1252"), ["no UTF-8, read as Windows-1252"]
    except UnicodeDecodeError:
        return raw.decode("latin-1"), ["no UTF-8, read as Latin-1"]


def _separator(text: str, usual: str) -> str:
    """Return what divides header and first rows into the same number of columns, at least two; else the usual."""
    widths = {}
    for separator in dict.fromkeys((usual, *OTHER_SEPARATORS)):
        rows = _first_rows(text, separator)
        if rows and len(rows[0]) > 1 and {len(row) - len(rows[0]) for row in rows[1:]} in ({0}, {1}, set()):
            widths[separator] = len(rows[0])
    return max(widths, key=lambda separator: widths[separator], default=usual)


def _first_rows(text: str, separator: str) -> list[list[str]]:
    lines = text[: 2**20].splitlines(keepends=True)[: LOOKED_AT + 1]
    rows = [row for row in csv.reader(lines, delimiter=separator, skipinitialspace=True) if row]
    return rows[:-1] if len(lines) > LOOKED_AT else rows  # the last may have been cut inside quotes


def _column_names(path: Path, rows: list[list[str]]) -> list[str]:
    """Return the names in the header; a column without one is called by its place, as pandas does.

    R writes no name above the names of the rows; some programs write a separator at the end of each row.
    """
    names = [name.strip() for name in rows[0]]
    extra = {len(row) - len(names) for row in rows[1:]}
    if extra == {1}:
        names = [*names, ""] if all(not row[-1].strip() for row in rows[1:]) else ["", *names]
    _require_different(path, [name for name in names if name])
    return [name or f"Unnamed: {place}" for place, name in enumerate(names)]


def _require_different(path: Path, names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UsageError(
            f"table {str(path)!r} has {names.count(twice[0])} columns named {twice[0]!r}: rename or remove one"
        )


def _without_bare(frame: Frame) -> tuple[Frame, list[str]]:
    """Leave out columns that have neither a name nor a value."""
    bare = [name for name in frame.columns if is_unnamed(name) and frame[name].isna().all()]
    if not bare:
        return frame, []
    return frame.drop(columns=bare), [f"{len(bare)} columns without name and values are passed over"]


def is_unnamed(name: str) -> bool:
    """Tell the name that a column without one gets."""
    return re.fullmatch(r"Unnamed: \d+", name) is not None
