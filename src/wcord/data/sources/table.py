"""Tables of numbers: a row is a sample, or a visit of a subject that is one sample."""

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
from wcord.data.config import DataConfig, Known
from wcord.data.label_values import LABEL_NAMES
from wcord.data.labels import no_labels, number_labels
from wcord.data.names import composed
from wcord.data.samples import (
    Names,
    ReadRequest,
    Samples,
    Source,
    named_by,
    require_known,
    require_same_format,
)
from wcord.data.sources.identifiers import left_out
from wcord.data.sources.layout import find_split_files
from wcord.data.sources.table_columns import numeric_columns, row_of, scalars, texts_of, values_of
from wcord.data.sources.table_file import READERS, Frame, TableFile, read_table
from wcord.data.sources.table_types import settle

EMBEDDED = ("breast_cancer", "iris", "wine")
PRECISE = 1e3
"""Largest value, in deviations of its column, that float32 holds well enough before it is standardized."""


def table_source(place: str, request: ReadRequest) -> Source:
    """Read a file of numbers, or a folder with train.* and optionally test.*; augmentation "none".

    A sample is C×1×1, its C columns as channels, so that they are normalized one by one; or C×V×1 where V visits are
    one sample. Missing values, and visits that a subject does not have, are NaN (see `wcord.models.mlp`).

    Raises:
        UsageError: an unreadable file, an unknown column, text that is no category, labels that differ between the
            visits of a subject.
    """
    path = Path(place)
    notes: tuple[str, ...] = ()
    paths = {"train": path}
    if path.is_dir():
        inside = [file for file in sorted(path.iterdir()) if file.suffix.lower() in READERS and file.name[0] != "."]
        paths, notes = find_split_files(path, inside, ".csv, .tsv or .parquet")
    return files_source({split: read_table(file) for split, file in paths.items()}, path.resolve().stem, request, notes)


def sklearn_source(name: str, request: ReadRequest) -> Source:
    """Read one of scikit-learn's embedded tables, with `target` as its label column."""
    require_choice("table of scikit-learn", name, EMBEDDED)
    from sklearn import datasets  # takes a second to load

    load = {"breast_cancer": datasets.load_breast_cancer, "iris": datasets.load_iris, "wine": datasets.load_wine}[name]
    bunch: Any = load(as_frame=True)
    frame = bunch.frame.assign(target=[str(bunch.target_names[number]) for number in bunch.target])
    return files_source({"train": TableFile(frame)}, name, request)


def files_source(files: dict[str, TableFile], name: str, request: ReadRequest, notes: tuple[str, ...] = ()) -> Source:
    """Return loaded tables as a source, with notes on how they were found."""
    request = _composed(request)
    config, known = request.config, request.known
    if (config.order_by is None) != (config.visits_of is None):
        raise UsageError("visits_of and order_by go together: whose visits, and in which order they were")
    columns = list(files["train"].frame.columns)
    column_of = _column_of(columns)
    label = None if config.no_labels else _label(columns, config.label)
    named = [c for c in (label, request.key, config.group_by, config.visits_of, config.order_by) if c is not None]
    for column in (*named, *map(column_of, config.input)):
        if column not in columns:
            raise unknown("column", column, columns)
    settled = settle(
        files,
        labels=[column for column in (label, *request.hidden) if column is not None],
        categories=[column_of(column) for column in config.input if column not in columns],
        known=known,
    )
    frames = settled.frames
    inputs, input_notes = _inputs(frames["train"], request, label, named)
    frames, skip_notes = _without_incomplete_test(frames, [*named, *map(column_of, inputs)], label, request)
    whole: Frame = pd.concat(frames, names=["split"])
    labels = None if label is None else _labels(whole, label)
    settled.require_clear(inputs)
    trained = np.arange(len(whole)) < len(frames["train"])
    numbers = numeric_columns(whole, inputs, trained=trained, known=None if known is None else known.categories)
    values = numbers.frame.to_numpy(np.float64)
    parts: dict[str, _Part] = {}
    start = 0
    for split, frame in frames.items():
        rows = slice(start, start := start + len(frame))
        parts[split] = _part(frame, values[rows], None if labels is None else labels[rows], request)
    label_name = "label" if label is None else f"label column {label!r}"
    targets, classes = number_labels({split: part.labels for split, part in parts.items()}, what=label_name)
    visits = max(part.values.shape[2] for part in parts.values())
    samples = {split: part.samples(targets[split], visits, _dtype(values)) for split, part in parts.items()}
    file_notes = tuple(note for file in files.values() for note in file.notes)
    return Source(
        samples["train"],
        samples.get("test"),
        classes,
        name,
        augment="none",
        columns=tuple(map(str, numbers.frame.columns)),
        categories=numbers.categories,
        formats={column: way for column, way in settled.ways.items() if column in inputs},
        notes=(*notes, *file_notes, *settled.notes, *skip_notes, *input_notes, *numbers.notes),
        pictures=False,
    )


def read_rows(path: Path, columns: Sequence[str], known: Known) -> Tensor:
    """Return the rows of a file as samples, N×C×1×1, float64.

    Args:
        path: the file.
        columns: the input columns, by the names that a source gave them.
        known: what the weights file of the network says about its training table.

    Raises:
        UsageError: an unreadable file, an unknown column, text in place of numbers, or a text that is no known
            category.
    """
    file = read_table(path)
    columns = [composed(column) for column in columns]
    whole = list(map(_column_of(list(file.frame.columns)), columns))
    for column in whole:
        if column not in file.frame.columns:
            raise unknown("column", column, file.frame.columns)
    categories = [column for column, name in zip(whole, columns, strict=True) if column != name]
    settled = settle({"file": file}, categories=categories, known=known)
    settled.require_clear(whole)
    frame = settled.frames["file"]
    empty = [column for column in whole if frame[column].isna().all()]
    require_same_format(settled.ways, [column for column in columns if column in whole], known.formats, empty)
    numbers = numeric_columns(frame, columns, numeric=True, known=known.categories)
    require_known(numbers.categories, known.categories)
    return torch.tensor(numbers.frame.to_numpy(np.float64))[:, :, None, None]


def _composed(request: ReadRequest) -> ReadRequest:
    """Return the request with the names of columns in the Unicode form in which files are read."""

    def form(name: str | None) -> str | None:
        return None if name is None else composed(name)

    config = request.config
    config = replace(
        config,
        input=tuple(map(composed, config.input)),
        label=form(config.label),
        group_by=form(config.group_by),
        visits_of=form(config.visits_of),
        order_by=form(config.order_by),
    )
    return replace(request, config=config, key=form(request.key), hidden=tuple(map(composed, request.hidden)))


def _inputs(
    train: Frame, request: ReadRequest, label: str | None, named: Sequence[str]
) -> tuple[list[str], tuple[str, ...]]:
    """Return the input columns, and notes: those of `--input`, else all but labels and identifiers.

    Raises:
        UsageError: a label is among them, so that a network would see what it is to predict; or there is none.
    """
    columns, config = list(train.columns), request.config
    labels = {*request.hidden, *_likely_labels(columns)} if config.no_labels else {label, *request.hidden}
    if config.input:
        leaks = [column for column in map(_column_of(columns), config.input) if column in labels]
        if leaks:
            raise UsageError(f"column {leaks[0]!r} is a label and cannot be an input: name other columns in --input")
        return list(config.input), ()
    others = [column for column in columns if column not in {*named, *labels}]
    out, notes = left_out(train, others, label)
    if out and len(out) == len(others):
        reasons = ", ".join(f"{name!r} ({reason})" for name, reason in out.items())
        raise UsageError(
            f"the table has no input column besides the label but {reasons}: name it in --input to use it anyway"
        )
    return [column for column in others if column not in out], notes


def _without_incomplete_test(
    frames: dict[str, Frame], columns: Sequence[str], label: str | None, request: ReadRequest
) -> tuple[dict[str, Frame], tuple[str, ...]]:
    """Return the tables without a test file that lacks columns or labels, where it may be skipped, and a note."""
    missing = _missing(frames, columns, label) if "test" in frames else ""
    if missing and not request.partial:
        raise UsageError(
            f"the test file {missing}: add it, or hold out a part of the training samples instead, by --holdout 0.2"
        )
    if missing:
        return {"train": frames["train"]}, (f"the test file {missing}, and is skipped",)
    return frames, ()


def _missing(frames: dict[str, Frame], columns: Sequence[str], label: str | None) -> str:
    """Return what the test file lacks of some columns and of the labels, or an empty text."""
    frame = frames["test"]
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        return f"lacks column {absent[0]!r}" + (f" and {len(absent) - 1} more" if len(absent) > 1 else "")
    if label is None:
        return ""
    test, train = scalars(frame[label]), scalars(frames["train"][label])
    unlabeled = all(value in (None, -1) for value in test) and -1 not in train
    return f"has no label in column {label!r}" if unlabeled else ""


def _column_of(columns: Sequence[str]) -> Callable[[str], str]:
    """Return a function from the name of an input to its column in the file: `sex=M` is a category of `sex`."""
    return lambda name: name if name in columns else name.partition("=")[0]


def _labels(frame: Frame, label: str) -> NDArray[Any]:
    """Return the labels of all rows, whole numbers as integers, so that 10 comes after 2.

    Raises:
        UsageError: rows without one.
    """
    labels = scalars(frame[label])
    gaps = pd.Series([value is None for value in labels], index=frame.index)
    if gaps.any():
        words = values_of(texts_of(frame[label])).gaps
        note = f" ({words[0]!r} stands for none among numbers)" if words else ""
        raise UsageError(
            f"{int(gaps.sum())} rows have no label in column {label!r}{note}, the first in {row_of(gaps)}: remove them"
        )
    return labels


def _dtype(values: NDArray[np.float64]) -> type[np.floating[Any]]:
    """Return float64 where values of a column are large beside their differences, such as seconds since 1970."""
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = [column[~np.isnan(column)] for column in values.T]
        large = [bool(np.abs(c).max() > PRECISE * c.std()) for c in columns if len(c) and c.std() > 0]
    return np.float64 if any(large) else np.float32


@dataclass(frozen=True)
class _Part:
    """One split of a table: values N×C×V, and a label, a key and a group for each sample."""

    values: NDArray[np.float64]
    labels: NDArray[Any]
    keys: NDArray[Any] | None
    groups: NDArray[Any] | None

    def samples(self, targets: Tensor, visits: int, dtype: type[np.floating[Any]]) -> Samples:
        values = np.pad(self.values, ((0, 0), (0, 0), (0, visits - self.values.shape[2])), constant_values=np.nan)
        store = torch.from_numpy(values.astype(dtype)).unsqueeze(-1)
        return Samples(store, torch.arange(len(store)), targets, self.keys, self.groups)


def _part(frame: Frame, values: NDArray[np.float64], labels: NDArray[Any] | None, request: ReadRequest) -> _Part:
    config = request.config
    keys, groups = (None if column is None else names_in(frame, column) for column in (request.key, config.group_by))
    if config.visits_of is None:
        return _Part(values[:, :, None], no_labels(len(frame)) if labels is None else labels, keys, groups)
    visits = visits_of(frame, config)
    stacked = stack_visits(config, visits, values, labels)
    first = np.array([rows[0] for rows in visits.values()])
    labels = no_labels(len(first)) if labels is None else labels[first]
    keys = None if keys is None else keys[first]
    return _Part(stacked, labels, keys, np.array(list(visits)) if groups is None else groups[first])


def _label(columns: Sequence[str], label: str | None) -> str:
    if label is not None:
        return label
    likely = _likely_labels(columns)
    if len(likely) == 1:
        return likely[0]
    raise UsageError(f"which column is the label? Choose one: --label {' | '.join(columns)}")


def _likely_labels(columns: Sequence[str]) -> list[str]:
    return [name for name in columns if name.lower() in LABEL_NAMES]


def names_in(frame: Frame, column: str) -> Names:
    """Return the values of a column that names rows, as text."""
    return named_by(column, scalars(frame[column]).tolist())


def visits_of(frame: Frame, config: DataConfig) -> dict[str, list[int]]:
    """Return for each subject the positions of its rows, in the order of the visits.

    Raises:
        UsageError: a visit has no place in the order, or that of another visit, or no subject.
    """
    assert config.visits_of is not None
    times = _times(str(config.order_by), frame[config.order_by].reset_index(drop=True))
    if times.isna().any():
        missing = f"{int(times.isna().sum())} rows have no value in column {config.order_by!r}"
        raise UsageError(f"{missing}, the first in {row_of(times.isna())}: order them")
    subjects = names_in(frame, config.visits_of).tolist()
    twice = pd.DataFrame({"subject": subjects, "time": times}).duplicated()
    if twice.any():
        subject = subjects[int(twice.argmax())]
        raise UsageError(
            f"{config.visits_of} {subject!r} has two rows of one {config.order_by}: which was first is not known; "
            "choose another column, or leave one out"
        )
    visits: dict[str, list[int]] = {subject: [] for subject in subjects}
    for row in times.sort_values(kind="stable").index:
        visits[subjects[row]].append(int(row))
    return visits


def stack_visits(config: DataConfig, visits: dict[str, list[int]], values: Any, labels: Any | None) -> Any:
    """Return the values of subjects, N×C×V, NaN where a subject has fewer than V visits.

    Raises:
        UsageError: the visits of a subject have different labels.
    """
    longest = max(map(len, visits.values()))
    stacked = np.full((len(visits), values.shape[1], longest), np.nan)
    for number, (subject, rows) in enumerate(visits.items()):
        stacked[number, :, : len(rows)] = values[rows].T
        different = [] if labels is None else sorted(set(map(str, labels[rows])))
        if len(different) > 1:
            raise UsageError(
                f"the visits of {config.visits_of} {subject!r} have different labels ({', '.join(different)}): "
                "a subject is one sample and needs one label"
            )
    return stacked


def _times(name: str, times: Frame) -> Frame:
    """Return the times of visits as numbers or dates: as text, 10/1/2019 would come before 9/1/2019.

    Raises:
        UsageError: text that is no date of the form 2019-09-01.
    """
    if pd.api.types.is_datetime64_any_dtype(times):
        return times
    values = scalars(times)
    if not any(isinstance(value, str) for value in values):
        return pd.Series(values, index=times.index, dtype=object).astype(float)
    try:
        return pd.to_datetime(pd.Series(values, index=times.index, dtype=object), format="ISO8601")
    except (ValueError, TypeError):
        raise UsageError(
            f"column {name!r} holds text, which says no order: write visits as numbers, or dates as 2019-09-01"
        ) from None
