"""From cells to columns of numbers: numbers with gaps, and categories as columns of 0 and 1."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wcord.checks import UsageError
from wcord.data.label_values import alike_note, is_list, spelled_as
from wcord.data.names import composed
from wcord.data.sources.number_formats import GAP_WORDS, both_meanings, is_number_like

Frame = Any
"""A pandas DataFrame, or one of its columns: its type stubs do not follow what is done with it."""
FEW = 20
"""Largest number of different texts in a column of categories, each of which becomes a column of 0 and 1."""
TRUTH = {"true": 1.0, "false": 0.0}
STRANGE = 0.1
"""Largest share of cells without a number in a column of numbers with mistakes."""


def texts_of(column: Frame) -> Frame:
    """Return cells as text, "" for gaps; whole numbers without decimals, though pandas stores 1 beside a gap as 1.0.

    >>> texts_of(pd.Series([1.0, None, 2.5])).tolist(), texts_of(pd.Series(["NA", None, " "])).tolist()
    (['1', '', '2.5'], ['NA', '', ''])
    """
    if pd.api.types.is_object_dtype(column) and any(map(holds_several, column)):
        cell = next(filter(holds_several, column))
        shown = cell.tolist() if isinstance(cell, np.ndarray) else cell
        raise UsageError(
            f"column {column.name!r} holds {shown!r} ({type(shown).__name__}) in one cell, which must be one number or "
            "text: write a column for each of the values, or choose other columns by --input"
        )
    kinds = pd.Series(column.unique())
    written = {kind: _text(kind) for kind in kinds[kinds.notna()].tolist()}
    return column.map(written).astype(object).where(column.notna(), "")


def holds_several(cell: object) -> bool:
    """Return whether a cell holds a list or the like, as parquet files may."""
    return isinstance(cell, dict) or is_list(cell)


@dataclass(frozen=True)
class CellValues:
    """The different values of a column of text: numbers, words for a gap, and other words.

    Attributes:
        numbers: text → number.
        gaps: words for a gap, if the column holds numbers or nothing else.
        words: the rest.
        counts: text → number of its cells.
    """

    numbers: dict[str, float]
    gaps: list[str]
    words: list[str]
    counts: dict[str, int]

    def cells(self, kinds: Any) -> int:
        """Return the number of cells with one of some texts."""
        return sum(self.counts[kind] for kind in kinds)

    @property
    def numeric(self) -> bool:
        """Whether there are only numbers and gaps."""
        return not self.words

    def culprit(self) -> str | None:
        """Return the first invalid text in a column of numbers, or None for a column of categories.

        A column holds numbers if other words are rare, or if there are too many different values for categories, or if
        the other texts look like numbers in another format.
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


def values_of(texts: Frame) -> CellValues:
    """Sort the different values of a column of text.

    >>> cells = values_of(pd.Series(["3", "4.5", "?", ""]))
    >>> cells.numbers, cells.gaps, cells.words
    ({'3': 3.0, '4.5': 4.5}, ['?'], [])
    """
    counts = {str(text): int(count) for text, count in texts.value_counts(sort=False).items() if text}
    parsed: Frame = pd.to_numeric(pd.Series([_digits(text) for text in counts], dtype=object), errors="coerce")
    numbers = {text: float(value) for text, value in zip(counts, parsed, strict=True) if value == value}
    rest = [text for text in counts if text not in numbers]
    gaps = [text for text in rest if text.strip().casefold() in GAP_WORDS]
    words = [text for text in rest if text not in gaps]
    if not numbers and words and all(text.strip().casefold() in TRUTH for text in words):
        numbers, words = {text: TRUTH[text.strip().casefold()] for text in words}, []
    if not numbers and (len(counts) > 1 or bool((texts == "").any())):  # different gap words are informative
        words, gaps = rest, []
    if words:  # a gap word is then a word, unless the column is refused for other words
        values = CellValues(numbers, gaps, words, counts)
        return values if values.culprit() else CellValues(numbers, [], [*words, *gaps], counts)
    return CellValues(numbers, gaps, words, counts)


def scalars(column: Frame) -> NDArray[Any]:
    """Return the values of a column of names (labels, subjects, visits): numbers, or text; None for gaps.

    Whole numbers are one value in every spelling: 7, 7.0 and 007.

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
    kinds = values_of(texts)
    if kinds.numeric and kinds.numbers and not _truth(kinds):
        known: dict[str, object] = {text: _number(text) for text in kinds.numbers}
    else:
        known = {text: text for text in kinds.counts}
    return np.array([known.get(text) for text in texts], dtype=object)


def numbers_of(name: str, column: Frame) -> NDArray[np.float64]:
    """Return the numbers of a column, NaN for gaps.

    Raises:
        UsageError: a value is no number.
    """
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    texts = texts_of(column)
    kinds = values_of(texts)
    strange = [word for word in kinds.words if word.strip().casefold() not in GAP_WORDS]
    if strange:
        raise no_number(name, texts, kinds.culprit() or strange[0])
    return texts.map(kinds.numbers).to_numpy(dtype=np.float64, na_value=np.nan)


def no_number(name: str, texts: Frame, culprit: str) -> UsageError:
    """Return the error for an invalid value in a column of numbers."""
    plain = culprit.strip().lstrip("+-")
    hint = "repair it, or leave the cell empty"
    if re.fullmatch(r"[1-9]\d{0,2},\d{3}", plain):
        hint = both_meanings(plain)
    elif is_number_like(plain):
        hint = "write all numbers of the column in one format, at best in plain digits such as 1234.5"
    return UsageError(f"column {name!r} holds {culprit!r} in {row_of(texts == culprit)}, which is no number: {hint}")


def row_of(where: Frame) -> str:
    """Return the first row where a condition is true, counted from 1 below the header, in words."""
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
    """Return the number in a text, an integer with all its digits."""
    digits = _digits(text)
    if re.fullmatch(r"[+-]?\d+", digits):
        return int(digits)
    value = float(digits)
    return int(value) if value.is_integer() else value


def _truth(kinds: CellValues) -> bool:
    return any(text.strip().casefold() in TRUTH for text in kinds.numbers)


LARGEST, SMALLEST = 1e30, 1e-30
"""Bounds of numbers that can be standardized in float32, with room for squares."""
SHOWN = 5
"""Columns that a note names."""


@dataclass(frozen=True)
class Numbers:
    """The input columns of a table.

    Attributes:
        frame: a column of numbers for each name, NaN for gaps.
        categories: the values of each column of text that gave columns of 0 and 1.
        notes: on gaps, categories, and columns without information.
    """

    frame: Frame
    categories: dict[str, tuple[str, ...]]
    notes: tuple[str, ...]


def numeric_columns(
    frame: Frame,
    inputs: Sequence[str],
    *,
    numeric: bool = False,
    trained: NDArray[np.bool_] | None = None,
    known: Mapping[str, Sequence[str]] | None = None,
) -> Numbers:
    """Return input columns as numbers, by name, with NaN for gaps.

    A few different texts become columns of 0 and 1, `sex=M` for all but the first one in their order. Such a name may
    also be an input itself, so that another file of the same table gives the same columns.

    Args:
        frame: the table.
        inputs: names of columns, or of their categories.
        numeric: whether columns hold numbers in the training table, whatever these rows hold.
        trained: marks training rows, whose values are the categories; other values are gaps, since a network has no
            trained weight for them. None: all rows.
        known: column → its values in the training table of a network, which are categories, too.

    Raises:
        UsageError: a column holds many different texts, or infinity, or a word among numbers, or text under a name with
            =; or there is none.
    """
    rows = np.ones(len(frame), bool) if trained is None else trained
    parts: dict[str, NDArray[np.float64]] = {}
    categories: dict[str, tuple[str, ...]] = {}
    notes: list[str] = []
    for name in inputs:
        source = name if name in frame.columns else name.partition("=")[0]
        column = frame[source]
        texts = None if name == source and pd.api.types.is_numeric_dtype(column) else texts_of(column)
        if texts is not None and name != source:  # a category
            value = name.partition("=")[2]
            texts = _as_known(texts, {value, *(known or {}).get(source, ())})
            categories[source] = _values(values_of(texts[rows]))
            parts[name], untrained = _category(texts, value, {*categories[source], *(known or {}).get(source, ())})
            notes += _untrained_notes(source, untrained)
            continue
        kinds = None if texts is None else values_of(texts)
        if texts is None or kinds is None or numeric or kinds.numeric or kinds.culprit():
            parts[name] = numbers_of(name, column)
            notes += [] if kinds is None else _gap_notes(name, kinds)
            continue
        categories[name] = _require_few(name, values_of(texts[rows]))
        untrained: dict[str, int] = {}
        for value in categories[name][1:] or categories[name] or ("",):
            place = f"{name}={value}" if value else name  # only gaps in the training rows
            parts[place], untrained = _category(texts, value, set(categories[name]))
        notes += [*_untrained_notes(name, untrained), *_category_notes(name, kinds)]
    if not parts:
        raise UsageError("the table has no input column besides the label: name some in --input")
    for name, values in parts.items():
        _require_size(name, values)
    numbers: Frame = pd.DataFrame(parts, index=frame.index)
    return Numbers(numbers, categories, (*dict.fromkeys(notes), *_idle_notes(parts)))


def _require_few(name: str, kinds: CellValues) -> tuple[str, ...]:
    values = _values(kinds)
    if len(values) > FEW:
        raise UsageError(
            f"column {name!r} holds {len(values)} different texts, such as {values[0]!r}: numbers or at most {FEW} "
            "categories are allowed; choose the columns by --input"
        )
    if "=" in name:
        raise UsageError(f"column {name!r} holds text and has = in its name, which marks categories: rename it")
    return values


def _values(kinds: CellValues) -> tuple[str, ...]:
    return tuple(sorted(kinds.counts))


def _as_known(texts: Frame, known: Collection[str]) -> Frame:
    """Return the values of a column of categories in their known spelling: 1.0 for 1, True for TRUE."""
    written = [text for text in texts.unique().tolist() if text]
    spelled = dict(zip(written, spelled_as(written, known), strict=True))
    return texts.map(lambda text: spelled.get(text, text))


def _category(texts: Frame, value: str, known: Collection[str]) -> tuple[NDArray[np.float64], dict[str, int]]:
    """Return 1 where a column has a value, 0 where it has another known one, and NaN elsewhere.

    Returns:
        The numbers, and unknown value → number of its rows.
    """
    unknown = (texts != "") & ~texts.isin(list(known))
    numbers = (texts == value).astype(float).where((texts != "") & ~unknown).to_numpy(np.float64)
    return numbers, texts[unknown].value_counts().to_dict()


def _untrained_notes(name: str, untrained: dict[str, int]) -> list[str]:
    if not untrained:
        return []
    shown = ", ".join(f"{value!r} in {count} rows" for value, count in list(untrained.items())[:SHOWN])
    return [f"column {name!r}: values that no training row has are taken for gaps: {shown}"]


def _require_size(name: str, values: NDArray[np.float64]) -> None:
    sizes = np.abs(values[~np.isnan(values)])
    if np.isinf(sizes).any():
        raise UsageError(f"column {name!r} holds infinity: repair it")
    largest = sizes.max(initial=0.0)
    if largest > LARGEST or 0 < largest < SMALLEST:
        raise UsageError(
            f"column {name!r} holds numbers as {'large' if largest > 1 else 'small'} as {largest:g}, which overflow in "
            "networks: use a different unit"
        )


def _gap_notes(name: str, kinds: CellValues) -> list[str]:
    shown = ", ".join(f"{word!r} in {kinds.counts[word]} rows" for word in kinds.gaps)
    return [f"column {name!r}: taken for gaps: {shown}"] if shown else []


def _category_notes(name: str, kinds: CellValues) -> tuple[str, ...]:
    mixed = (f"column {name!r} holds numbers and words ({kinds.words[0]!r}), and is taken as categories",)
    return (*(mixed if kinds.numbers else ()), *alike_note(f"values of column {name!r}", _values(kinds)))


def _idle_notes(parts: dict[str, NDArray[np.float64]]) -> tuple[str, ...]:
    """Return notes on columns that are the same in every row."""
    idle = {
        "are the same in every row": [name for name, values in parts.items() if len(values) > 1 and _constant(values)],
        "are empty": [name for name, values in parts.items() if np.isnan(values).all()],
    }
    return tuple(
        f"{len(names)} columns {what}, not informative: {', '.join(names[:SHOWN])}{', …' * (len(names) > SHOWN)}"
        for what, names in idle.items()
        if names
    )


def _constant(values: NDArray[np.float64]) -> bool:
    return bool((values == values[0]).all())
