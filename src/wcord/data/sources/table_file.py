"""Reads a table file as spreadsheets and other programs write it: encoding, separator, header."""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from wcord.checks import UsageError
from wcord.data.names import composed, listed
from wcord.data.sources.number_formats import GAP_WORDS, is_number_like
from wcord.paths import require_file

Frame = Any
"""A pandas DataFrame: its type stubs do not follow `frame[name]`."""

SPACES = " "
OTHER_SEPARATORS = (",", ";", "\t", "|")
NAMES = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas", SPACES: "spaces"}
LOOKED_AT = 50
"""Lines from which the separator is found."""
TITLES = 10
"""Largest number of lines above the header."""


@dataclass(frozen=True)
class Head:
    """The layout of a table in a text file.

    Attributes:
        text: the table from its header on.
        separator: of the columns.
        names: of the columns.
        line: of the header in the file, counted from 1.
        notes: on unusual properties.
    """

    text: str
    separator: str
    names: list[str]
    line: int
    notes: list[str]


def find_head(path: Path, text: str, usual: str) -> Head:
    """Find the header of a table.

    Args:
        path: the file, for messages.
        text: its content.
        usual: the usual separator of such a file.

    Raises:
        UsageError: there is no header, two columns have one name, or a row has more cells than the header.
        ValueError: the file is empty.
    """
    first, _, rest = text.partition("\n")
    stated = re.fullmatch(r"sep=(.)\r?", first, re.IGNORECASE)  # Excel writes such a line
    text, comments = _without_comments(rest if stated else text)
    separator, titles = (stated[1], 0) if stated else _separator(text, usual)
    text = _below(text, titles)
    rows = first_rows(text, separator)
    if not rows:
        raise ValueError("it is empty")
    if comments and _is_headless(rows):  # NumPy and others write the header as a comment
        header = comments.pop()[1:].strip()
        text, rows = f"{header}\n{text}", [*first_rows(header, separator), *rows]
    if _is_headless(rows):
        raise UsageError(
            f"table {str(path)!r} has no header: its first line ({listed(rows[0])}) holds values as the others do; "
            "write a line with a name for each column above it"
        )
    names = _column_names(path, rows)
    passed = len(comments) + titles
    notes = [f"{passed} {'line' if passed == 1 else 'lines'} above the header not read"] if passed else []
    if separator != usual:
        notes.append(f"read with {NAMES.get(separator, repr(separator))} between the columns")
    if _are_places(rows[0]):
        notes.append("its columns are called by numbers; if its first line contains values, add a header")
    return Head(text, separator, names, 1 + passed + bool(stated), notes)


def first_rows(text: str, separator: str) -> list[list[str]]:
    """Return the cells of the first non-empty lines."""
    lines = text[: 2**20].splitlines(keepends=True)[: LOOKED_AT + 1]
    rows = [row for row in cells_of(lines, separator) if row]
    return rows[:-1] if len(lines) > LOOKED_AT else rows  # the last line may end inside quotes


def cells_of(lines: Sequence[str], separator: str) -> Iterator[list[str]]:
    """Return the cells of each row, none for empty lines."""
    if separator == SPACES:
        lines = [re.sub(r"[ \t]+", " ", line.strip()) + "\n" for line in lines]
    return csv.reader(lines, delimiter=separator, skipinitialspace=True)


def _below(text: str, count: int) -> str:
    for _ in range(count):
        text = text.partition("\n")[2]
    return text


def _without_comments(text: str) -> tuple[str, list[str]]:
    """Return a text without the comment lines at its beginning, and these lines."""
    comments: list[str] = []
    while text.startswith("#"):
        line, _, text = text.partition("\n")
        comments.append(line.rstrip("\r"))
    return text, comments


def _separator(text: str, usual: str) -> tuple[str, int]:
    """Return the separator that gives header and first rows the same number of columns, and the number of lines above.

    There are at least two columns, else the usual separator is returned. Spaces separate only if nothing else does.
    """
    below = text
    above: list[str] = []
    for _ in range(TITLES + 1):
        usuals = dict.fromkeys((usual, *OTHER_SEPARATORS))
        widths = {separator: width for separator in usuals if (width := _width(below, separator, above))}
        if widths:
            return max(widths, key=lambda separator: widths[separator]), len(above)
        if _width(below, SPACES, above):
            return SPACES, len(above)
        line, _, below = below.partition("\n")
        above.append(line)
    return usual, 0


def _width(text: str, separator: str, above: Sequence[str]) -> int:
    """Return the number of columns if a separator gives header and first rows the same number, else 0."""
    rows = first_rows(text, separator)
    if not rows or len(rows[0]) < 2 or {len(row) - len(rows[0]) for row in rows[1:]} not in ({0}, {1}, set()):
        return 0
    if above and len(rows) < 2:
        return 0
    named = [cell for cell in rows[0] if cell.strip()]
    alike = len(rows) > 2 and len(rows[1]) > len(rows[0]) and _names_numbers(rows[1:])
    if (len(named) < 2 and len(rows[0]) > 2) or alike:  # a title
        return 0
    surely = _names_numbers(rows)
    for line in cells_of(list(above), separator):
        filled = [cell for cell in line if cell.strip()]
        if len(filled) > 1 and not (surely and len(line) < len(rows[0])):
            return 0
    return len(rows[0])


def _names_numbers(rows: list[list[str]]) -> bool:
    """Return whether the first row has a name above a column of numbers."""
    return any(_is_name(name) and _all_numbers(cells) for name, cells in _columns(rows))


def _columns(rows: list[list[str]]) -> list[tuple[str, list[str]]]:
    """Return each cell of the first row, and the cells below it without gaps."""
    cut = min(map(len, rows))
    below = [[row[place].strip() for row in rows[1:]] for place in range(cut)]
    return [
        (name.strip(), [cell for cell in cells if cell and cell.casefold() not in GAP_WORDS])
        for name, cells in zip(rows[0], below, strict=False)
    ]


def _is_name(text: str) -> bool:
    return bool(text) and not is_number_like(text) and text.casefold() not in GAP_WORDS


def _all_numbers(cells: list[str]) -> bool:
    return bool(cells) and all(map(is_number_like, cells))


def _is_headless(rows: list[list[str]]) -> bool:
    """Return whether the first row holds values like the others: numbers above numbers, or words that occur below."""
    if len({len(row) for row in rows}) > 1 or len(rows) < 2 or _are_places(rows[0]):
        return False
    values = 0
    for name, cells in _columns(rows):
        if not _is_name(name):
            values += is_number_like(name) and _all_numbers(cells)
        elif name in cells:
            values += 1
        elif _all_numbers(cells) or len(set(cells)) < len(cells):  # certainly a name
            return False
    return values > 0


def _are_places(names: Sequence[str]) -> bool:
    """Return whether names count the columns, as pandas writes them for columns without names."""
    names = [name.strip() for name in names]
    numbers = [int(name) for name in names if re.fullmatch(r"\d{1,9}", name)]
    counted = len(numbers) > 1 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return counted and names[1:] == [str(number) for number in numbers[-len(names) + 1 :]]


def _column_names(path: Path, rows: list[list[str]]) -> list[str]:
    """Return the names in the header; a column without one is named by its position, as in pandas.

    R writes no name above the row names; some programs write a separator at the end of each row.
    """
    names = [name.strip() for name in rows[0]]
    extra = {len(row) - len(names) for row in rows[1:]}
    if extra == {1}:
        names = [*names, ""] if all(not row[-1].strip() for row in rows[1:]) else ["", *names]
    require_different(path, [name for name in names if name])
    for number, row in enumerate(rows[1:], 1):
        if any(cell.strip() for cell in row[len(names) :]):
            raise UsageError(
                f"table {str(path)!r} cannot be read: row {number} has {len(row)} cells, but the header has "
                f"{len(rows[0])}: quote cells that contain a separator, or remove the extra cells"
            )
    return [name or f"Unnamed: {place}" for place, name in enumerate(names)]


def require_different(path: Path, names: Sequence[str]) -> None:
    """Raise if two columns have the same name."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UsageError(
            f"table {str(path)!r} has {names.count(twice[0])} columns named {twice[0]!r}: rename or remove one"
        )


SEPARATORS = {".csv": ",", ".tsv": "\t"}
"""Suffix of a text file → its usual separator."""
READERS = (*SEPARATORS, ".parquet")


@dataclass(frozen=True)
class TableFile:
    """The content of a file. The types of its columns are not settled yet, since they depend on other files, too.

    Attributes:
        frame: the table; in a text file, columns in which pandas finds numbers only are numbers.
        notes: on unusual properties of the file.
        semicolons: whether semicolons separate the columns, so that decimal commas are usual.
        texts: reads some columns again as text; None where the file states the types of its columns.
    """

    frame: Frame
    notes: tuple[str, ...] = ()
    semicolons: bool = False
    texts: Callable[[list[str]], Frame] | None = None

    def written(self, names: Sequence[str]) -> "TableFile":
        """Return the file with some columns as text."""
        numbers = [name for name in names if name in self.frame.columns and is_typed(self.frame[name])]
        if self.texts is None or not numbers:
            return self
        again = self.texts(numbers)
        return TableFile(self.frame.assign(**{n: again[n] for n in numbers}), self.notes, self.semicolons, self.texts)


def is_typed(column: Frame) -> bool:
    """Return whether a column holds no text."""
    return bool(pd.api.types.is_numeric_dtype(column))


def read_table(path: Path) -> TableFile:
    """Return the table in a file, with notes on unusual properties.

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
    if not isinstance(frame.index, pd.RangeIndex):  # an index with a name is a column of data
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
    """Return the text of a file: by its byte order mark, else UTF-8, else Windows-1252 or Latin-1."""
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
    """Drop columns with neither a name nor a value."""
    bare = [name for name in frame.columns if is_unnamed(name) and frame[name].isna().all()]
    if not bare:
        return frame, []
    return frame.drop(columns=bare), [f"{len(bare)} columns without name and values are skipped"]


def _short_rows(head: Head, frame: Frame) -> list[str]:
    """Return a note on rows that have fewer cells than the header, which pandas fills up."""
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
    """Return whether a name is that of a column without one."""
    return re.fullmatch(r"Unnamed: \d+", name) is not None
