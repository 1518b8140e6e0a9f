"""Tables of numbers: a row is a sample, or a visit of a subject who is one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from wcord.checks import UsageError, require_choice, unknown
from wcord.data.cells import kinds_of, row_of, scalars, texts_of
from wcord.data.config import Columns, Known
from wcord.data.identifiers import left_out
from wcord.data.label_values import LABEL_NAMES
from wcord.data.labels import no_labels, number_labels
from wcord.data.layout import find_split_files
from wcord.data.names import composed
from wcord.data.samples import Samples, Source, require_known, require_same_format
from wcord.data.table_file import READERS as READERS
from wcord.data.table_file import Frame, TableFile, read_table
from wcord.data.table_numbers import see
from wcord.data.table_types import settle
from wcord.data.visits import names_in, stack_visits, visits_of

EMBEDDED = ("breast_cancer", "iris", "wine")
PRECISE = 1e3
"""Largest value, in deviations of its column, that float32 holds well enough before it is standardized."""


def table_source(place: str, columns: Columns) -> Source:
    """Read a file of numbers, or a folder with train.* and, if there, test.*, as a source; augmentation "none".

    A sample is C×1×1, its C columns as channels, so that they are normalised one by one; or C×V×1 where V visits are
    one sample. Missing values, and visits that a subject does not have, are NaN (see `wcord.models.mlp`).

    Raises:
        UsageError: a file that cannot be read, a column that is not there, text that is no category, labels that
            differ between the visits of a subject.
    """
    path = Path(place)
    notes: tuple[str, ...] = ()
    paths = {"train": path}
    if path.is_dir():
        inside = [file for file in sorted(path.iterdir()) if file.suffix.lower() in READERS and file.name[0] != "."]
        paths, notes = find_split_files(path, inside, ".csv, .tsv or .parquet")
    return files_source({split: read_table(file) for split, file in paths.items()}, path.resolve().stem, columns, notes)


def sklearn_source(name: str, columns: Columns) -> Source:
    """Read one of scikit-learn's embedded tables, its label column named `target`."""
    require_choice("table of scikit-learn", name, EMBEDDED)
    from sklearn import datasets  # takes a second to load

    bunch = {"breast_cancer": datasets.load_breast_cancer, "iris": datasets.load_iris, "wine": datasets.load_wine}[name]
    held: Any = bunch(as_frame=True)
    frame = held.frame.assign(target=[str(held.target_names[number]) for number in held.target])
    return files_source({"train": TableFile(frame)}, name, columns)


def files_source(files: dict[str, TableFile], name: str, columns: Columns, notes: tuple[str, ...] = ()) -> Source:
    """Return loaded tables as a source, with notes on how they were found."""
    columns = _composed(columns)
    if (columns.order_by is None) != (columns.visits_of is None):
        raise UsageError("visits_of and order_by go together: whose visits, and in which order they were")
    known = list(files["train"].frame.columns)
    label = _label(known, columns.label) if columns.labels else None
    named = [c for c in (label, columns.key, columns.group_by, columns.visits_of, columns.order_by) if c is not None]
    for column in (*named, *map(_raw(known), columns.input)):
        if column not in known:
            raise unknown("column", column, known)
    labels_as_written = [column for column in (label, *columns.unseen) if column is not None]
    categories = [_raw(known)(column) for column in columns.input if column not in known]
    settled = settle(files, labels=labels_as_written, categories=categories, known=columns.known)
    frames = settled.frames
    seen, more = _seen(frames["train"], columns, label, named)
    frames, passed = _with_test(frames, [*named, *map(_raw(known), seen)], label, columns)
    whole: Frame = pd.concat(frames, names=["split"])
    labels = None if label is None else _labels(whole, label)
    settled.require_clear(seen)
    rows = np.arange(len(whole)) < len(frames["train"])
    numbers = see(whole, seen, trained=rows, known=None if columns.known is None else columns.known.categories)
    values = numbers.frame.to_numpy(np.float64)
    sides: dict[str, _Side] = {}
    start = 0
    for split, frame in frames.items():
        rows = slice(start, start := start + len(frame))
        sides[split] = _side(frame, values[rows], None if labels is None else labels[rows], columns)
    what = "label" if label is None else f"label column {label!r}"
    targets, classes = number_labels({split: side.labels for split, side in sides.items()}, what=what)
    visits = max(side.values.shape[2] for side in sides.values())
    kept = _dtype(values)
    samples = {split: side.samples(targets[split], visits, kept) for split, side in sides.items()}
    return Source(
        samples["train"],
        samples.get("test"),
        classes,
        name,
        augment="none",
        columns=tuple(map(str, numbers.frame.columns)),
        categories=numbers.categories,
        formats={column: way for column, way in settled.ways.items() if column in seen},
        notes=(
            *notes,
            *(note for file in files.values() for note in file.notes),
            *settled.notes,
            *passed,
            *more,
            *numbers.notes,
        ),
        pictures=False,
    )


def read_rows(path: Path, columns: Sequence[str], known: Known) -> Tensor:
    """Return the rows of a file as samples, N×C×1×1, float64.

    Args:
        path: the file.
        columns: what is seen of it, by the names that a source gave them.
        known: what the file of the network says of the table that it was trained on.

    Raises:
        UsageError: a file that cannot be read, a column that is not there, or holds text in place of numbers or other
            text than is known.
    """
    file = read_table(path)
    columns = [composed(column) for column in columns]
    whole = list(map(_raw(list(file.frame.columns)), columns))
    for column in whole:
        if column not in file.frame.columns:
            raise unknown("column", column, file.frame.columns)
    categories = [column for column, name in zip(whole, columns, strict=True) if column != name]
    settled = settle({"file": file}, categories=categories, known=known)
    settled.require_clear(whole)
    frame = settled.frames["file"]
    empty = [column for column in whole if frame[column].isna().all()]
    require_same_format(settled.ways, [column for column in columns if column in whole], known.formats, empty)
    numbers = see(frame, columns, numeric=True, known=known.categories)
    require_known(numbers.categories, known.categories)
    return torch.tensor(numbers.frame.to_numpy(np.float64))[:, :, None, None]


def _composed(columns: Columns) -> Columns:
    """Return the names of columns in the Unicode form in which files are read."""

    def form(name: str | None) -> str | None:
        return None if name is None else composed(name)

    return replace(
        columns,
        input=tuple(map(composed, columns.input)),
        label=form(columns.label),
        key=form(columns.key),
        group_by=form(columns.group_by),
        visits_of=form(columns.visits_of),
        order_by=form(columns.order_by),
        unseen=tuple(map(composed, columns.unseen)),
    )


def _seen(train: Frame, columns: Columns, label: str | None, named: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the columns that are seen: those that are named, else all but labels and what tells rows apart.

    Raises:
        UsageError: a label is named, as a network would be told what it is to predict; or none is left.
    """
    known = list(train.columns)
    labels = {label, *columns.unseen} if columns.labels else {*columns.unseen, *_likely_labels(known)}
    if columns.input:
        told = [column for column in map(_raw(known), columns.input) if column in labels]
        if told:
            raise UsageError(f"column {told[0]!r} is a label and cannot be seen: name other columns in --input")
        return list(columns.input), ()
    others = [column for column in known if column not in {*named, *labels}]
    out, notes = left_out(train, others, label)
    if out and len(out) == len(others):
        told = ", ".join(f"{name!r} ({reason})" for name, reason in out.items())
        raise UsageError(
            f"the table has no column to be seen besides the label but {told}: name it in --input to see it nonetheless"
        )
    return [column for column in others if column not in out], notes


def _with_test(
    frames: dict[str, Frame], wanted: Sequence[str], label: str | None, columns: Columns
) -> tuple[dict[str, Frame], tuple[str, ...]]:
    """Return the tables without a test file that lacks what is wanted, where that may be passed over, and a note."""
    missing = _missing(frames, wanted, label) if "test" in frames else ""
    if missing and not columns.partial:
        raise UsageError(
            f"the test file {missing}: add it, or hold out a part of the training samples instead, by --holdout 0.2"
        )
    if missing:
        return {"train": frames["train"]}, (f"the test file {missing}, and is skipped",)
    return frames, ()


def _missing(frames: dict[str, Frame], columns: Sequence[str], label: str | None) -> str:
    """Return what the test file lacks of some columns and of the labels, or nothing."""
    frame = frames["test"]
    gone = [column for column in columns if column not in frame.columns]
    if gone:
        return f"lacks column {gone[0]!r}" + (f" and {len(gone) - 1} more" if len(gone) > 1 else "")
    if label is None:
        return ""
    test, train = scalars(frame[label]), scalars(frames["train"][label])
    kept_back = all(value in (None, -1) for value in test) and -1 not in train
    return f"has no label in column {label!r}" if kept_back else ""


def _raw(known: Sequence[str]) -> Callable[[str], str]:
    """Return what gives the column of the file that a name means: `sex=M` is a category of `sex`."""
    return lambda name: name if name in known else name.partition("=")[0]


def _labels(frame: Frame, label: str) -> NDArray[Any]:
    """Return the labels of all rows, whole numbers as such, so that 10 comes after 2.

    Raises:
        UsageError: rows without one.
    """
    labels = scalars(frame[label])
    gaps = pd.Series([value is None for value in labels], index=frame.index)
    if gaps.any():
        words = kinds_of(texts_of(frame[label])).gaps
        told = f" ({words[0]!r} stands for none among numbers)" if words else ""
        raise UsageError(
            f"{int(gaps.sum())} rows have no label in column {label!r}{told}, the first in {row_of(gaps)}: remove them"
        )
    return labels


def _dtype(values: NDArray[np.float64]) -> type[np.floating[Any]]:
    """Return float64 where values of a column are large beside their differences, such as seconds since 1970."""
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = [column[~np.isnan(column)] for column in values.T]
        large = [bool(np.abs(c).max() > PRECISE * c.std()) for c in columns if len(c) and c.std() > 0]
    return np.float64 if any(large) else np.float32


@dataclass(frozen=True)
class _Side:
    """One split of a table: values N×C×V, and a label, a key and a group for each sample."""

    values: NDArray[np.float64]
    labels: NDArray[Any]
    keys: NDArray[Any] | None
    groups: NDArray[Any] | None

    def samples(self, targets: Tensor, visits: int, kept: type[np.floating[Any]]) -> Samples:
        values = np.pad(self.values, ((0, 0), (0, 0), (0, visits - self.values.shape[2])), constant_values=np.nan)
        store = torch.from_numpy(values.astype(kept)).unsqueeze(-1)
        return Samples(store, torch.arange(len(store)), targets, self.keys, self.groups)


def _side(frame: Frame, values: NDArray[np.float64], labels: NDArray[Any] | None, columns: Columns) -> _Side:
    keys, groups = (None if column is None else names_in(frame, column) for column in (columns.key, columns.group_by))
    if columns.visits_of is None:
        return _Side(values[:, :, None], no_labels(len(frame)) if labels is None else labels, keys, groups)
    visits = visits_of(frame, columns)
    stacked = stack_visits(columns, visits, values, labels)
    first = np.array([rows[0] for rows in visits.values()])
    labels = no_labels(len(first)) if labels is None else labels[first]
    keys = None if keys is None else keys[first]
    return _Side(stacked, labels, keys, np.array(list(visits)) if groups is None else groups[first])


def _label(known: Sequence[str], chosen: str | None) -> str:
    if chosen is not None:
        return chosen
    found = _likely_labels(known)
    if len(found) == 1:
        return found[0]
    raise UsageError(f"which column is the label? Choose one: --label {' | '.join(known)}")


def _likely_labels(known: Sequence[str]) -> list[str]:
    return [name for name in known if name.lower() in LABEL_NAMES]
