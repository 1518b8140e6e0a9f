"""Reads the file of a table as spreadsheets and other programs write it: encoding, separator, header."""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from wcord.checks import UsageError, require_file
from wcord.data.names import composed, listed
from wcord.data.table_head import SPACES, Head, cells_of, find_head, require_different

Frame = Any
"""A pandas DataFrame: its type stubs do not follow `frame[name]`."""

SEPARATORS = {".csv": ",", ".tsv": "\t"}
"""Suffix of a text file → what usually stands between its columns."""
READERS = (*SEPARATORS, ".parquet")


@dataclass(frozen=True)
class TableFile:
    """What a file holds, of which the types of the columns are not settled yet: other files have a say in them.

    Attributes:
        frame: the table; of a text file, columns in which pandas finds nothing but numbers are numbers.
        notes: what is unusual about the file.
        semicolons: whether semicolons stand between the columns, so that decimal commas are usual.
        texts: reads some columns again as they are written; None where the file itself says of which type they are.
    """

    frame: Frame
    notes: tuple[str, ...] = ()
    semicolons: bool = False
    texts: Callable[[list[str]], Frame] | None = None

    def written(self, names: Sequence[str]) -> "TableFile":
        """Return the file with some columns as they are written, where they are not yet."""
        numbers = [name for name in names if name in self.frame.columns and is_typed(self.frame[name])]
        if self.texts is None or not numbers:
            return self
        again = self.texts(numbers)
        return TableFile(self.frame.assign(**{n: again[n] for n in numbers}), self.notes, self.semicolons, self.texts)


def is_typed(column: Frame) -> bool:
    """Tell a column whose cells are not text."""
    return bool(pd.api.types.is_numeric_dtype(column))


def read_table(path: Path) -> TableFile:
    """Return the table in a file, and what is unusual about the file.

    Raises:
        UsageError: a file that cannot be read, holds no rows, has no header, or has two columns of one name.
    """
    require_file(path, "table")
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise UsageError(f"table {str(path)!r} must be a {', '.join(READERS)} file")
    try:
        table = _parquet(path) if suffix == ".parquet" else _text(path, SEPARATORS[suffix])
    except (UsageError, MemoryError):
        raise
    except (ValueError, OSError, csv.Error) as error:  # pandas' own errors are ValueErrors
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"table {str(path)!r} cannot be read ({reason}): check the file") from None
    if table.frame.empty:
        raise UsageError(f"table {str(path)!r} holds no rows")
    notes = tuple(f"table {path.name!r}: {note}" for note in table.notes)
    return TableFile(table.frame, notes, table.semicolons, table.texts)


def _parquet(path: Path) -> TableFile:
    import pyarrow.parquet as pq

    require_different(path, [composed(str(name).strip()) for name in pq.read_schema(path).names])
    frame: Frame = pd.read_parquet(path)
    if not isinstance(frame.index, pd.RangeIndex):  # a column that was made the index is data as any other
        frame = frame.reset_index()
    frame = frame.rename(columns=lambda name: composed(str(name).strip()))
    require_different(path, list(frame.columns))
    return TableFile(frame)


def _text(path: Path, usual: str) -> TableFile:
    text, notes = _decoded(path.read_bytes())
    head = find_head(path, text if text.isascii() else composed(text), usual)

    def read(columns: list[str] | None = None) -> Frame:
        return pd.read_csv(
            io.StringIO(head.text),
            sep=r"\s+" if head.separator == SPACES else head.separator,
            header=0,
            names=head.names,
            usecols=columns,
            dtype=None if columns is None else str,
            index_col=False,
            keep_default_na=False,  # NA, None and null are words
            na_values=[""],
            skipinitialspace=True,
            low_memory=False,
        )

    frame: Frame = read()
    truth = [name for name in frame.columns if pd.api.types.is_bool_dtype(frame[name])]
    frame = frame.assign(**dict(read(truth).items())) if truth else frame
    frame, bare = _without_bare(frame)
    return TableFile(frame, (*notes, *head.notes, *bare, *_short_rows(head, frame)), head.separator == ";", read)


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
    for encoding, name in (("cp1252", "Windows-1252"), ("latin-1", "Latin-1")):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        words = list(dict.fromkeys(re.findall(r"\w*[^\x00-\x7f][^\W\d_]*", text[: 2**20])))
        return text, [f"no UTF-8, read as {name}, which gives {listed(words)}; if that is wrong, save it as UTF-8"]
    raise ValueError("its encoding is unknown")


def _without_bare(frame: Frame) -> tuple[Frame, list[str]]:
    """Leave out columns that have neither a name nor a value."""
    bare = [name for name in frame.columns if is_unnamed(name) and frame[name].isna().all()]
    if not bare:
        return frame, []
    return frame.drop(columns=bare), [f"{len(bare)} columns without name and values are passed over"]


def _short_rows(head: Head, frame: Frame) -> list[str]:
    """Return a note on rows that have fewer cells than the header, which pandas fills with gaps."""
    last = head.names[-1]
    if last not in frame.columns or not frame[last].isna().any():
        return []
    rows = [row for row in cells_of(head.text.splitlines(keepends=True), head.separator) if row][1:]
    short = [number for number, row in enumerate(rows, 1) if len(row) < len(head.names)]
    if not short:
        return []
    which = f"{len(short)} rows have fewer cells than the header, the first row {short[0]}"
    return [f"{which}: taken as empty: {listed(head.names[len(rows[short[0] - 1]) :])}"]


def is_unnamed(name: str) -> bool:
    """Tell the name that a column without one gets."""
    return re.fullmatch(r"Unnamed: \d+", name) is not None
