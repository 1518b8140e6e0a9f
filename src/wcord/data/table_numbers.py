"""From the columns of a table to columns of numbers: numbers with gaps, and categories as columns of 0 and 1."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wcord.checks import UsageError
from wcord.data.cells import FEW, Kinds, kinds_of, numbers_of, texts_of
from wcord.data.label_values import alike_note, spelled_as

Frame = Any
LARGEST, SMALLEST = 1e30, 1e-30
"""Sizes of numbers that are left after standardizing in float32, with room for squares."""
SHOWN = 5
"""Columns that a note names."""


@dataclass(frozen=True)
class Numbers:
    """What is seen of a table.

    Attributes:
        frame: a column of numbers for each name, NaN for gaps.
        categories: the values of each column of text that gave columns of 0 and 1.
        notes: what was taken for a gap or a category, and which columns say nothing.
    """

    frame: Frame
    categories: dict[str, tuple[str, ...]]
    notes: tuple[str, ...]


def see(
    frame: Frame,
    seen: Sequence[str],
    *,
    numeric: bool = False,
    trained: NDArray[np.bool_] | None = None,
    known: Mapping[str, Sequence[str]] | None = None,
) -> Numbers:
    """Return columns as numbers, each by its name; gaps stay gaps.

    Few different texts become columns of 0 and 1, `sex=M` for all but the first in their order: of two, one says it
    all. Such a name can be asked for itself, so that another file of the same table gives the same columns.

    Args:
        frame: the table.
        seen: names of columns, or of categories of them.
        numeric: whether whole columns are known to hold numbers, whatever these rows hold.
        trained: which rows are trained on, whose values are the categories; others elsewhere are taken for gaps, as a
            network would have no trained weight for them. None: all.
        known: column → the values that a network knows, which are no gaps either.

    Raises:
        UsageError: a column holds many different texts, or infinity, or a word among numbers, or text under a name with
            =; or there is none.
    """
    rows = np.ones(len(frame), bool) if trained is None else trained
    parts: dict[str, NDArray[np.float64]] = {}
    categories: dict[str, tuple[str, ...]] = {}
    notes: list[str] = []
    for name in seen:
        source = name if name in frame.columns else name.partition("=")[0]
        column = frame[source]
        texts = None if name == source and pd.api.types.is_numeric_dtype(column) else texts_of(column)
        if texts is not None and name != source:  # a category that a network knows
            value = name.partition("=")[2]
            texts = _as_known(texts, {value, *(known or {}).get(source, ())})
            categories[source] = _values(kinds_of(texts[rows]))
            parts[name], untrained = _category(texts, value, {*categories[source], *(known or {}).get(source, ())})
            notes += _untrained_notes(source, untrained)
            continue
        kinds = None if texts is None else kinds_of(texts)
        if texts is None or kinds is None or numeric or kinds.numeric or kinds.culprit():
            parts[name] = numbers_of(name, column)
            notes += [] if kinds is None else _gap_notes(name, kinds)
            continue
        categories[name] = _require_few(name, kinds_of(texts[rows]))
        untrained: dict[str, int] = {}
        for value in categories[name][1:] or categories[name] or ("",):
            place = f"{name}={value}" if value else name  # of gaps alone where it is trained on
            parts[place], untrained = _category(texts, value, set(categories[name]))
        notes += [*_untrained_notes(name, untrained), *_category_notes(name, kinds)]
    if not parts:
        raise UsageError("the table has no column to be seen besides the label: name some in --input")
    for name, values in parts.items():
        _require_size(name, values)
    numbers: Frame = pd.DataFrame(parts, index=frame.index)
    return Numbers(numbers, categories, (*dict.fromkeys(notes), *_idle_notes(parts)))


def _require_few(name: str, kinds: Kinds) -> tuple[str, ...]:
    values = _values(kinds)
    if len(values) > FEW:
        raise UsageError(
            f"column {name!r} holds {len(values)} different texts, such as {values[0]!r}: numbers or at most {FEW} "
            "categories can be seen; choose the columns by --input"
        )
    if "=" in name:
        raise UsageError(f"column {name!r} holds text and has = in its name, which marks categories: rename it")
    return values


def _values(kinds: Kinds) -> tuple[str, ...]:
    return tuple(sorted(kinds.counts))


def _as_known(texts: Frame, known: Collection[str]) -> Frame:
    """Return the values of a column of categories in the spelling in which they are known: 1.0 for 1, True for TRUE."""
    written = [text for text in texts.unique().tolist() if text]
    spelled = dict(zip(written, spelled_as(written, known), strict=True))
    return texts.map(lambda text: spelled.get(text, text))


def _category(texts: Frame, value: str, known: Collection[str]) -> tuple[NDArray[np.float64], dict[str, int]]:
    """Return 1 where a column has a value, 0 where it has another that is known, and gaps elsewhere.

    Returns:
        The numbers, and in how many rows each unknown value stands.
    """
    unknown = (texts != "") & ~texts.isin(list(known))
    numbers = (texts == value).astype(float).where((texts != "") & ~unknown).to_numpy(np.float64)
    return numbers, texts[unknown].value_counts().to_dict()


def _untrained_notes(name: str, untrained: dict[str, int]) -> list[str]:
    if not untrained:
        return []
    told = ", ".join(f"{value!r} in {count} rows" for value, count in list(untrained.items())[:SHOWN])
    return [f"column {name!r}: values that no training row has are taken for gaps: {told}"]


def _require_size(name: str, values: NDArray[np.float64]) -> None:
    sizes = np.abs(values[~np.isnan(values)])
    if np.isinf(sizes).any():
        raise UsageError(f"column {name!r} holds infinity: repair it")
    largest = sizes.max(initial=0.0)
    if largest > LARGEST or 0 < largest < SMALLEST:
        raise UsageError(
            f"column {name!r} holds numbers as {'large' if largest > 1 else 'small'} as {largest:g}, with which "
            "networks cannot compute: give them in another unit"
        )


def _gap_notes(name: str, kinds: Kinds) -> list[str]:
    told = ", ".join(f"{word!r} in {kinds.counts[word]} rows" for word in kinds.gaps)
    return [f"column {name!r}: taken for gaps: {told}"] if told else []


def _category_notes(name: str, kinds: Kinds) -> tuple[str, ...]:
    mixed = (f"column {name!r} holds numbers and words ({kinds.words[0]!r}), and is taken as categories",)
    return (*(mixed if kinds.numbers else ()), *alike_note(f"values of column {name!r}", _values(kinds)))


def _idle_notes(parts: dict[str, NDArray[np.float64]]) -> tuple[str, ...]:
    """Name the columns that cannot tell one row from another."""
    idle = {
        "are the same in every row": [name for name, values in parts.items() if len(values) > 1 and _constant(values)],
        "are empty": [name for name, values in parts.items() if np.isnan(values).all()],
    }
    return tuple(
        f"{len(names)} columns {what}, and tell nothing: {', '.join(names[:SHOWN])}{', …' * (len(names) > SHOWN)}"
        for what, names in idle.items()
        if names
    )


def _constant(values: NDArray[np.float64]) -> bool:
    return bool((values == values[0]).all())
