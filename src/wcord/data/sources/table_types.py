"""Decides whether a column of a table holds numbers or text, from all of its files together."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from wcord.checks import UsageError
from wcord.data.config import Known
from wcord.data.sources.number_formats import COMMAS, DOTS, both_meanings, in_plain_digits, way_notes, ways_to_write
from wcord.data.sources.table_file import TableFile, is_typed

Frame = Any


@dataclass(frozen=True)
class Settled:
    """The files of a table, with a type for each column that is the same in all of them.

    Attributes:
        frames: a table for each file.
        ways: column → how its numbers are written, where that is not in plain digits.
        unclear: column → an ambiguous number.
        notes: how numbers are written.
    """

    frames: dict[str, Frame]
    ways: dict[str, str]
    unclear: dict[str, str]
    notes: tuple[str, ...]

    def require_clear(self, columns: Collection[str]) -> None:
        """Raise if an input column holds ambiguous numbers."""
        for name in columns:
            if name in self.unclear:
                text = self.unclear[name]
                raise UsageError(f"column {name!r} holds {text!r}: {both_meanings(text)}")


def settle(
    files: Mapping[str, TableFile],
    *,
    labels: Collection[str] = (),
    categories: Collection[str] = (),
    known: Known | None = None,
) -> Settled:
    """Return the tables in files with columns of the same types.

    A column holds numbers only if it does so in each file: else 01 would be a number in one and text in another.

    Args:
        files: split → file.
        labels: columns whose text is not converted.
        categories: columns of text in the training table.
        known: what the weights file of a network says about its training table.
    """
    names = list(dict.fromkeys(name for file in files.values() for name in file.frame.columns))
    mixed = [name for name in names if not all(is_typed(column) for column in _parts(files, name))]
    files = {split: file.written([*mixed, *categories]) for split, file in files.items()}
    texts = _texts(files, [name for name in mixed if name not in labels])
    formats = None if known is None else known.formats
    semicolons = any(file.semicolons for file in files.values())
    ways = ways_to_write(texts, semicolons=semicolons, known=formats)
    if semicolons or {COMMAS, DOTS} & set(ways.chosen.values()):  # then 1.250, a number to pandas, may be 1250
        points = [name for name in names if name not in mixed and _has_points(files, name)]
        written = {split: file.written(points) for split, file in files.items()}
        ways = ways_to_write(texts | _texts(written, points), semicolons=semicolons, known=formats)
        files = {split: file.written([n for n in points if n in ways.chosen]) for split, file in files.items()}
    frames = {split: file.frame for split, file in files.items()}
    for name, way in ways.chosen.items():
        for split, frame in frames.items():
            if name in frame.columns and not is_typed(frame[name]):
                frames[split] = frame.assign(**{name: in_plain_digits(frame[name], way)})
    return Settled(frames, ways.chosen, ways.unclear, tuple(way_notes(ways.chosen)))


def _parts(files: Mapping[str, TableFile], name: str) -> list[Frame]:
    return [file.frame[name] for file in files.values() if name in file.frame.columns]


def _texts(files: Mapping[str, TableFile], names: Collection[str]) -> dict[str, list[str]]:
    """Return the different texts of each column, of all files."""
    texts: dict[str, list[str]] = {}
    for name in names:
        parts = [part.dropna() for part in _parts(files, name) if not is_typed(part)]
        values = dict.fromkeys(value for part in parts if not _is_date(part) for value in _different(part))
        texts[name] = [value for value in values if isinstance(value, str)]
    return texts


def _different(column: Frame) -> list[Any]:
    try:
        return column.unique().tolist()
    except TypeError:  # of lists
        return []


def _is_date(column: Frame) -> bool:
    return bool(pd.api.types.is_datetime64_any_dtype(column))


def _has_points(files: Mapping[str, TableFile], name: str) -> bool:
    """Return whether a text file has fractions in a column, written with decimal points."""
    return any(
        file.texts is not None and name in file.frame.columns and pd.api.types.is_float_dtype(file.frame[name])
        for file in files.values()
    )
