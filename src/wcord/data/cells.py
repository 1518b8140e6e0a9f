"""Cells of a table as text, numbers or gaps: what is a number, what a word, and which words stand for a gap."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wcord.checks import UsageError
from wcord.data.label_values import is_list
from wcord.data.names import composed
from wcord.data.number_text import GAP_WORDS, both_meanings, is_number_like

Column = Any
"""A pandas Series: its type stubs do not follow what is done with it."""

FEW = 20
"""Different texts up to which a column of text is taken as categories, each a column of 0 and 1."""
TRUTH = {"true": 1.0, "false": 0.0}
STRANGE = 0.1
"""Share of cells that are no numbers up to which a column is one of numbers, with mistakes."""


def texts_of(column: Column) -> Column:
    """Return cells as text, "" for gaps; whole numbers as such: 1, 2 and a gap are stored as 1.0, 2.0 and NaN.

    >>> texts_of(pd.Series([1.0, None, 2.5])).tolist(), texts_of(pd.Series(["NA", None, " "])).tolist()
    (['1', '', '2.5'], ['NA', '', ''])
    """
    if pd.api.types.is_object_dtype(column) and any(map(holds_several, column)):
        found = next(filter(holds_several, column))
        shown = found.tolist() if isinstance(found, np.ndarray) else found
        raise UsageError(
            f"column {column.name!r} holds {shown!r} ({type(shown).__name__}) in one cell, where one number or text is "
            "wanted: write a column for each of the values, or choose other columns by --input"
        )
    kinds = pd.Series(column.unique())
    written = {kind: _text(kind) for kind in kinds[kinds.notna()].tolist()}
    return column.map(written).astype(object).where(column.notna(), "")


def holds_several(cell: object) -> bool:
    """Tell a cell that holds a list or the like, as parquet files may."""
    return isinstance(cell, dict) or is_list(cell)


@dataclass(frozen=True)
class Kinds:
    """The different values of a column of text: which are numbers, which stand for a gap, and which are neither.

    Attributes:
        numbers: text → number.
        gaps: words for a gap, where the column is one of numbers or holds nothing else.
        words: the rest.
        counts: text → in how many cells it stands.
    """

    numbers: dict[str, float]
    gaps: list[str]
    words: list[str]
    counts: dict[str, int]

    def cells(self, kinds: Any) -> int:
        """Return how many cells hold one of some texts."""
        return sum(self.counts[kind] for kind in kinds)

    @property
    def numeric(self) -> bool:
        """Whether nothing but numbers and gaps is there."""
        return not self.words

    def culprit(self) -> str | None:
        """Return the first text that keeps a column of numbers from being one, or None where it is one of categories.

        It is one of numbers if another word is rare, or if there are too many different values for categories, or if
        what is no number looks like one in another format.
        """
        if not self.words:
            return None
        strange, numbers = self.cells(self.words), self.cells(self.numbers)
        alike = [word for word in self.words if is_number_like(word.strip())]
        if alike and 2 * (numbers + self.cells(alike)) >= numbers + strange:
            return alike[0]
        rare = numbers > 1 and (strange == 1 or strange <= STRANGE * (strange + numbers))
        many = len(self.numbers) + len(self.words) > FEW and numbers >= strange
        return self.words[0] if rare or many else None


def kinds_of(texts: Column) -> Kinds:
    """Sort the different values of a column of text.

    >>> found = kinds_of(pd.Series(["3", "4.5", "?", ""]))
    >>> found.numbers, found.gaps, found.words
    ({'3': 3.0, '4.5': 4.5}, ['?'], [])
    """
    counts = {str(text): int(count) for text, count in texts.value_counts(sort=False).items() if text}
    values: Column = pd.to_numeric(pd.Series([_digits(text) for text in counts], dtype=object), errors="coerce")
    numbers = {text: float(value) for text, value in zip(counts, values, strict=True) if value == value}
    rest = [text for text in counts if text not in numbers]
    gaps = [text for text in rest if text.strip().casefold() in GAP_WORDS]
    words = [text for text in rest if text not in gaps]
    if not numbers and words and all(text.strip().casefold() in TRUTH for text in words):
        numbers, words = {text: TRUTH[text.strip().casefold()] for text in words}, []
    if not numbers and (len(counts) > 1 or bool((texts == "").any())):  # which of them is there tells something
        words, gaps = rest, []
    if words:  # then a word for a gap is a word as any other, unless the column is refused for its strange ones
        told = Kinds(numbers, gaps, words, counts)
        return told if told.culprit() else Kinds(numbers, [], [*words, *gaps], counts)
    return Kinds(numbers, gaps, words, counts)


def scalars(column: Column) -> NDArray[Any]:
    """Return the values of a column that names something (labels, subjects, visits): numbers, or text; None for gaps.

    Whole numbers are one value however they are written: 7, 7.0 and 007.

    >>> scalars(pd.Series(["7", "7.0", "NA"])).tolist(), scalars(pd.Series(["x", "NA", ""])).tolist()
    ([7, 7, None], ['x', 'NA', None])
    """
    if pd.api.types.is_object_dtype(column) and any(map(holds_several, column)):
        return np.fromiter(column, object, len(column))
    texts = texts_of(column)
    if pd.api.types.is_bool_dtype(column):
        return texts.to_numpy(object)
    if pd.api.types.is_integer_dtype(column) and not column.isna().any():
        return column.to_numpy(object)
    kinds = kinds_of(texts)
    if kinds.numeric and kinds.numbers and not _truth(kinds):
        known: dict[str, object] = {text: _number(text) for text in kinds.numbers}
    else:
        known = {text: text for text in kinds.counts}
    return np.array([known.get(text) for text in texts], dtype=object)


def numbers_of(name: str, column: Column) -> NDArray[np.float64]:
    """Return the numbers of a column, NaN for gaps.

    Raises:
        UsageError: a value is no number, naming it and its row.
    """
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    texts = texts_of(column)
    kinds = kinds_of(texts)
    strange = [word for word in kinds.words if word.strip().casefold() not in GAP_WORDS]
    if strange:
        raise no_number(name, texts, kinds.culprit() or strange[0])
    return texts.map(kinds.numbers).to_numpy(dtype=np.float64, na_value=np.nan)


def no_number(name: str, texts: Column, culprit: str) -> UsageError:
    """Return the error for a value of a column of numbers that is none."""
    plain = culprit.strip().lstrip("+-")
    hint = "repair it, or leave the cell empty"
    if re.fullmatch(r"[1-9]\d{0,2},\d{3}", plain):
        hint = both_meanings(plain)
    elif is_number_like(plain):
        hint = "write all numbers of the column in one format, at best in plain digits such as 1234.5"
    return UsageError(f"column {name!r} holds {culprit!r} in {row_of(texts == culprit)}, which is no number: {hint}")


def row_of(where: Column) -> str:
    """Return the first row of which something is true, counted from 1 below the header, in words."""
    place = where.index[int(np.argmax(where.to_numpy(bool)))]
    if isinstance(place, tuple):
        split, row = place
        alone = len(set(where.index.get_level_values(0))) == 1
        return f"row {row + 1}" + ("" if alone else f" of the {split} file")
    return f"row {place + 1}"


def _text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value)
    return (text if text.isascii() else composed(text)) if text.strip() else ""


def _digits(text: str) -> str:
    return text.strip().replace("\u2212", "-")


def _number(text: str) -> int | float:
    """Return an integer where a text is one, with all its digits."""
    digits = _digits(text)
    if re.fullmatch(r"[+-]?\d+", digits):
        return int(digits)
    value = float(digits)
    return int(value) if value.is_integer() else value


def _truth(kinds: Kinds) -> bool:
    return any(text.strip().casefold() in TRUTH for text in kinds.numbers)
