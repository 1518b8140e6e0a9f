"""Numbers as people write them in tables: decimal commas, groups of thousands, percent signs."""

import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

Frame = Any
"""A pandas DataFrame, or one of its columns."""

_GROUP = "[ \u00a0\u202f']"
_PLAIN = r"[+-]?(\d+[.]?\d*|[.]\d+)(e[+-]?\d+)?"
_MARKS = re.compile(r"[,%'\u00a0\u202f\u2212]|\d \d")
"""What a cell holds that is no plain number but may be one."""


@dataclass(frozen=True)
class Format:
    """A way to write numbers.

    Attributes:
        mark: numbers that show it.
        beside: numbers that may stand beside those, and mean the same everywhere.
        drop: what is left out of a number.
        scale: what the rest is multiplied by.
    """

    mark: re.Pattern[str]
    beside: re.Pattern[str]
    drop: str
    scale: float = 1.0

    def plain(self, text: str) -> str:
        """Return a number that shows the format in plain digits."""
        digits = re.sub(self.drop, "", text).replace(",", ".")
        return digits if self.scale == 1 else repr(float(digits) * self.scale)


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


FORMATS: dict[str, Format] = {
    "percent signs": Format(_pattern(r"[+-]?(\d+[.,]?\d*|[.]\d+)\s*%"), _pattern("(?!)"), r"[%\s]", 0.01),
    "decimal commas": Format(
        _pattern(rf"[+-]?(\d*|\d{{1,3}}([.]\d{{3}}|{_GROUP}\d{{3}})+),\d+(e[+-]?\d+)?"),
        _pattern(rf"[+-]?(\d+(e[+-]?\d+)?|\d{{1,3}}({_GROUP}\d{{3}})+)"),
        rf"[.]|{_GROUP}",
    ),
    "groups of thousands": Format(
        _pattern(rf"[+-]?\d{{1,3}}((,\d{{3}})+|({_GROUP}\d{{3}})+)([.]\d+)?"), _pattern(_PLAIN), rf",|{_GROUP}"
    ),
}


def is_number_like(text: str) -> bool:
    """Tell whether a text is a number in some format, if not in a plain one.

    >>> [is_number_like(text) for text in ("3.5", "1,234", "12 %", "5more", "")]
    [True, True, True, False, False]
    """
    return bool(re.fullmatch(_PLAIN, text, re.IGNORECASE)) or any(f.mark.fullmatch(text) for f in FORMATS.values())


def in_plain_digits(frame: Frame) -> tuple[Frame, list[str]]:
    """Write the numbers of a table of text in plain digits, where the format of a column is certain; and notes.

    1,234 is 1234 to some and 1.234 to others: which is meant, another number of the column or another column of the
    table must say. Columns that remain unclear stay as they are.
    """
    words = {name: frame[name].fillna("") for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])}
    texts = {name: _texts(column) for name, column in words.items() if column.map(_MARKS.search).any()}
    ways = {name: [way for way, form in FORMATS.items() if _reads(form, found)] for name, found in texts.items()}
    certain = {found[0] for found in ways.values() if len(found) == 1}
    written: dict[str, list[str]] = {}
    for name, found in ways.items():
        sure = found if len(found) == 1 else [way for way in found if way in certain]
        if len(sure) == 1:
            frame = frame.assign(**{name: _rewritten(frame[name], FORMATS[sure[0]])})
            written.setdefault(sure[0], []).append(repr(name))
    return frame, [f"numbers are written with {way} in {', '.join(names)}" for way, names in written.items()]


def _texts(column: Frame) -> list[str]:
    """Return the different values of a column, with minus signs as programs write them."""
    return [text for text in map(_stripped, map(str, column.unique())) if text]


def _stripped(text: str) -> str:
    return text.strip().replace("\u2212", "-")


def _reads(form: Format, texts: list[str]) -> bool:
    """Tell whether a format is that of a column: no number is of another one, and at most half are no numbers."""
    marked = [text for text in texts if form.mark.fullmatch(text)]
    numbers = [text for text in texts if form.mark.fullmatch(text) or form.beside.fullmatch(text)]
    others = any(is_number_like(text) for text in set(texts) - set(numbers))
    return bool(marked) and not others and 2 * len(numbers) >= len(texts)


def _rewritten(column: Frame, form: Format) -> Frame:
    def plain(text: str) -> str:
        stripped = _stripped(text)
        grouped = form.mark.fullmatch(stripped) or (form.beside.fullmatch(stripped) and re.search(_GROUP, stripped))
        return form.plain(stripped) if grouped else text

    return column.map({text: plain(text) for text in column.dropna().unique()})
