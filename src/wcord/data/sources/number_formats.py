"""Numbers as people write them in tables: decimal commas, groups of thousands, percent signs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Frame = Any
"""A pandas DataFrame, or one of its columns."""

_GROUP = "[ \u00a0\u202f']"
_PLAIN = r"[+-]?(\d+[.]?\d*|[.]\d+)(e[+-]?\d+)?"
_MARKS = re.compile(r"[,%'\u00a0\u202f\u2212]|\d \d|[.]\d{3}")
"""Signs that a cell in no plain format may be a number."""
PLAIN = "plain digits"
PERCENT, COMMAS, DOTS = "percent signs", "decimal commas", "dots between thousands"
GAP_WORDS = frozenset(
    {"na", "n/a", "n.a.", "#n/a", "#na", "<na>", "nan", "-nan", "nat", "null", "none", "nil", "?", "-", "--", "."}
)
"""Words for a gap among numbers, in lower case; in a column of text only the empty cell is a gap."""


@dataclass(frozen=True)
class Format:
    """A way to write numbers.

    Attributes:
        mark: numbers that show the format.
        beside: numbers that may occur beside those, and mean the same in every format.
        drop: characters to remove.
        scale: factor of the remaining number.
    """

    mark: re.Pattern[str]
    beside: re.Pattern[str]
    drop: str
    scale: float = 1.0

    def plain(self, text: str) -> str:
        """Return a number of this format in plain digits."""
        digits = re.sub(self.drop, "", text).replace(",", ".")
        return digits if self.scale == 1 else repr(float(digits) * self.scale)


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


FORMATS: dict[str, Format] = {
    PERCENT: Format(_pattern(r"[+-]?(\d+[.,]?\d*|[.]\d+)\s*%"), _pattern("(?!)"), r"[%\s]", 0.01),
    COMMAS: Format(
        _pattern(rf"[+-]?(\d*|\d{{1,3}}([.]\d{{3}}|{_GROUP}\d{{3}})+),\d+(e[+-]?\d+)?"),
        _pattern(rf"[+-]?(\d+(e[+-]?\d+)?|\d{{1,3}}({_GROUP}\d{{3}})+)"),
        rf"[.]|{_GROUP}",
    ),
    "groups of thousands": Format(
        _pattern(rf"[+-]?\d{{1,3}}((,\d{{3}})+|({_GROUP}\d{{3}})+)([.]\d+)?"), _pattern(_PLAIN), rf",|{_GROUP}"
    ),
    DOTS: Format(_pattern(r"[+-]?[1-9]\d{0,2}([.]\d{3})+"), _pattern(r"[+-]?\d+"), "[.]"),
}


def is_number_like(text: str) -> bool:
    """Return whether a text is a number in some format.

    >>> [is_number_like(text) for text in ("3.5", "1,234", "12 %", "5more", "")]
    [True, True, True, False, False]
    """
    return bool(re.fullmatch(_PLAIN, text, re.IGNORECASE)) or any(f.mark.fullmatch(text) for f in FORMATS.values())


@dataclass(frozen=True)
class Ways:
    """How the numbers in the columns of a table are written.

    Attributes:
        chosen: column → one of `FORMATS`, where it is certain; others are written in plain digits, or hold text.
        unclear: column → a number that may be 1250 or 1.25.
    """

    chosen: dict[str, str]
    unclear: dict[str, str]


def ways_to_write(
    texts: Mapping[str, Sequence[str]], *, semicolons: bool = False, known: Mapping[str, str] | None = None
) -> Ways:
    """Return how the numbers of each column are written, from all columns of all files of a table together.

    1,234 may be 1234 or 1.234: another number of the column decides, or another column of the table, or else the
    custom for such a file. 1.250 is a plain number unless commas mark decimals.

    Args:
        texts: column → its different values, of all files.
        semicolons: whether semicolons separate the columns, as is usual with decimal commas.
        known: column → format in the training table of a network; others were in plain digits.
    """
    stripped = {name: [text for text in map(_stripped, values) if text] for name, values in texts.items()}
    ways = {name: _candidates(values) for name, values in stripped.items() if any(map(_MARKS.search, values))}
    certain = {possible[0] for possible in ways.values() if len(possible) == 1} - {PERCENT, PLAIN}
    if certain & {COMMAS, DOTS}:
        certain |= {COMMAS, DOTS}
    usual = certain or ({COMMAS} if semicolons else set())
    points = any(map(_has_point, stripped.values()))
    chosen: dict[str, str] = {}
    unclear: dict[str, str] = {}
    for name, possible in ways.items():
        if len(possible) > 1 and known is not None:
            possible = [way for way in possible if way == known.get(name, PLAIN)] or possible
        if possible == [PLAIN] or not possible:
            continue
        if len(possible) == 1:
            chosen[name] = possible[0]
        elif PLAIN in possible:  # 1.250
            if DOTS in certain and not points:
                chosen[name] = DOTS
            elif DOTS in certain or (semicolons and not points):
                unclear[name] = next(filter(FORMATS[DOTS].mark.fullmatch, stripped[name]))
        elif len(sure := [way for way in possible if way in usual]) == 1:
            chosen[name] = sure[0]
    return Ways(chosen, unclear)


def in_plain_digits(column: Frame, way: str) -> Frame:
    """Return a column of text with the numbers of a format in plain digits."""
    form = FORMATS[way]

    def plain(text: str) -> str:
        stripped = _stripped(text)
        grouped = form.mark.fullmatch(stripped) or (form.beside.fullmatch(stripped) and re.search(_GROUP, stripped))
        return form.plain(stripped) if grouped else text

    return column.map({text: plain(text) for text in column.dropna().unique()})


def way_notes(chosen: Mapping[str, str]) -> list[str]:
    """Return a note for each format."""
    columns: dict[str, list[str]] = {}
    for name, way in chosen.items():
        columns.setdefault(way, []).append(repr(name))
    return [f"numbers are written with {way} in {', '.join(names)}" for way, names in columns.items()]


def both_meanings(text: str) -> str:
    """Return advice on a number such as 1,250 or 1.250.

    >>> both_meanings("1,250"), both_meanings("1.250")
    ('it may mean 1250 or 1.250, so write 1250 or 1.250', 'it may mean 1250 or 1.250, so write 1250 or 1,250')
    """
    whole, point = re.sub("[.,]", "", text), text.replace(",", ".")
    return f"it may mean {whole} or {point}, so write {whole} or {text.translate(str.maketrans('.,', ',.'))}"


def _candidates(texts: list[str]) -> list[str]:
    """Return the possible formats of a column."""
    possible = [way for way, form in FORMATS.items() if _reads(form, texts)]
    numbers = [text for text in texts if is_number_like(text)]
    plain = bool(numbers) and all(_plain(text) for text in numbers)
    return [*possible, *([PLAIN] if plain else [])]


def _plain(text: str) -> bool:
    return re.fullmatch(_PLAIN, text, re.IGNORECASE) is not None


def _has_point(texts: list[str]) -> bool:
    """Return whether points certainly mark decimals in a column: 0.5, 3.25, but not 1.250."""
    numbers = [text for text in texts if is_number_like(text)]
    plain = bool(numbers) and all(map(_plain, numbers))
    return plain and any("." in text and not FORMATS[DOTS].mark.fullmatch(text) for text in numbers)


def _stripped(text: str) -> str:
    return text.strip().replace("\u2212", "-")


def _reads(form: Format, texts: list[str]) -> bool:
    """Return whether a column may have a format: no number has another one, and at most half are no numbers."""
    marked = [text for text in texts if form.mark.fullmatch(text)]
    numbers = [text for text in texts if form.mark.fullmatch(text) or form.beside.fullmatch(text)]
    others = any(is_number_like(text) for text in set(texts) - set(numbers))
    return bool(marked) and not others and 2 * len(numbers) >= len(texts)
