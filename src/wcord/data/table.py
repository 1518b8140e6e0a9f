"""Tables of numbers: a row is a sample, or a visit of a subject who is one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from wcord.checks import UsageError, require_choice, require_file, unknown
from wcord.data.config import Columns
from wcord.data.labels import LABEL_NAMES, no_labels, number_labels
from wcord.data.samples import Samples, Source

Frame = Any
"""A pandas DataFrame: its type stubs do not follow `frame[name]`."""

READERS: dict[str, Callable[[Path], Frame]] = {
    ".csv": pd.read_csv,
    ".tsv": lambda path: pd.read_csv(path, sep="\t"),
    ".parquet": pd.read_parquet,
}
EMBEDDED = ("breast_cancer", "iris", "wine")
FEW = 20
"""Different texts up to which a column of text is taken as categories, each a column of 0 and 1."""


def table_source(place: str, columns: Columns) -> Source:
    """Read a file of numbers, or a folder with train.* and, if there, test.*, as a source; augmentation "none".

    A sample is C×1×1, its C columns as channels, so that they are normalised one by one; or C×V×1 where V visits are
    one sample. Missing values, and visits that a subject does not have, are NaN (see `wcord.models.mlp`).

    Raises:
        UsageError: a file that cannot be read, a column that is not there, text that is no category, labels that
            differ between the visits of a subject.
    """
    path = Path(place)
    if path.is_dir():
        files = {split: _file(path, split) for split in ("train", "test")}
        if files["train"] is None:
            raise UsageError(f"table folder {place!r} needs a file train.csv, .tsv or .parquet")
        frames = {split: _load(file) for split, file in files.items() if file is not None}
    else:
        frames = {"train": _load(path)}
    return frames_source(frames, path.resolve().stem, columns)


def sklearn_source(name: str, columns: Columns) -> Source:
    """Read one of scikit-learn's embedded tables, its label column named `target`."""
    require_choice("table of scikit-learn", name, EMBEDDED)
    from sklearn import datasets  # takes a second to load

    bunch = {"breast_cancer": datasets.load_breast_cancer, "iris": datasets.load_iris, "wine": datasets.load_wine}[name]
    held: Any = bunch(as_frame=True)
    frame = held.frame.assign(target=[str(held.target_names[number]) for number in held.target])
    return frames_source({"train": frame}, name, columns)


def frames_source(frames: dict[str, Frame], name: str, columns: Columns) -> Source:
    """Return loaded tables as a source."""
    train = frames["train"]
    label = _label(train, columns.label) if columns.labels else columns.label or "target"
    if not columns.labels and label not in train.columns:
        frames = {split: frame.assign(**{label: no_labels(len(frame))}) for split, frame in frames.items()}
        train = frames["train"]
    apart = [c for c in (label, columns.key, columns.group_by, columns.visits_of, columns.order_by) if c is not None]
    for column in (*apart, *columns.input):
        for frame in frames.values():
            if column not in frame.columns:
                raise unknown("column", column, frame.columns)
    if (columns.order_by is None) != (columns.visits_of is None):
        raise UsageError("visits_of and order_by go together: whose visits, and in which order they were")
    seen = list(columns.input) or [c for c in train.columns if c not in apart]
    if label in seen:  # it would be told what it is to predict
        raise UsageError(f"column {label!r} is the label and cannot be seen: name other columns in --input")
    whole: Frame = pd.concat(frames, names=["split"])
    missing = whole[label].isna()
    if missing.any():
        raise UsageError(f"{int(missing.sum())} rows have no label in column {label!r}: remove them")
    numbers = _numbers(whole[seen])
    sides = {split: _side(frame, numbers.loc[split], label, columns) for split, frame in frames.items()}
    targets, classes = number_labels({split: side.labels for split, side in sides.items()})
    visits = max(side.values.shape[2] for side in sides.values())
    samples = {split: side.samples(targets[split], visits) for split, side in sides.items()}
    return Source(samples["train"], samples.get("test"), classes, name, augment="none", columns=tuple(map(str, seen)))


@dataclass(frozen=True)
class _Side:
    """One split of a table: values N×C×V, and a label, a key and a group for each sample."""

    values: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]
    keys: np.ndarray[Any, Any] | None
    groups: np.ndarray[Any, Any] | None

    def samples(self, targets: Tensor, visits: int) -> Samples:
        values = np.pad(self.values, ((0, 0), (0, 0), (0, visits - self.values.shape[2])), constant_values=np.nan)
        store = torch.from_numpy(values.astype(np.float32)).unsqueeze(-1)
        return Samples(store, torch.arange(len(store)), targets, self.keys, self.groups)


def _side(frame: Frame, numbers: Frame, label: str, columns: Columns) -> _Side:
    values, labels = numbers.to_numpy(float), _text(frame[label])
    keys = None if columns.key is None else _text(frame[columns.key])
    groups = None if columns.group_by is None else _text(frame[columns.group_by])
    if columns.visits_of is None:
        return _Side(values[:, :, None], labels, keys, groups)
    visits = _visits(frame, columns)
    longest = max(map(len, visits.values()))
    stacked = np.full((len(visits), values.shape[1], longest), np.nan)
    for row, (subject, rows) in enumerate(visits.items()):
        stacked[row, :, : len(rows)] = values[rows].T
        found = np.unique(labels[rows])
        if len(found) > 1:
            raise UsageError(
                f"the visits of {columns.visits_of} {subject!r} have different labels ({', '.join(found)}): "
                "a subject is one sample and needs one label"
            )
    first = np.array([rows[0] for rows in visits.values()])
    keys = None if keys is None else keys[first]
    return _Side(stacked, labels[first], keys, np.array(list(visits)) if groups is None else groups[first])


def _visits(frame: Frame, columns: Columns) -> dict[str, list[int]]:
    """Return for each subject the positions of its rows, in the order of the visits."""
    visits: dict[str, list[int]] = {}
    order = frame[columns.order_by].reset_index(drop=True).sort_values(kind="stable").index
    subjects: list[str] = _text(frame[columns.visits_of]).tolist()
    for row in order:
        visits.setdefault(subjects[row], []).append(int(row))
    return {subject: visits[subject] for subject in dict.fromkeys(subjects)}


def _numbers(frame: Frame) -> Frame:
    """Return the columns as numbers: truth values and few different texts as 0 and 1.

    Raises:
        UsageError: a column holds many different texts, or infinity.
    """
    parts = []
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column):
            parts.append(column.astype(float))
            continue
        kinds = column.nunique()
        if kinds > FEW:
            raise UsageError(
                f"column {name!r} holds {kinds} different texts, such as {str(column.dropna().iloc[0])!r}: numbers or "
                f"at most {FEW} categories can be seen; choose the columns by --input"
            )
        # One column fewer than there are categories: of two, one says it all.
        parts.append(pd.get_dummies(column, prefix=str(name), drop_first=True, dtype=float))
    if not parts:
        raise UsageError("the table has no column to be seen besides the label: name some in --input")
    numbers = pd.concat(parts, axis=1)
    endless = [str(name) for name in numbers.columns if np.isinf(numbers[name]).any()]
    if endless:
        raise UsageError(f"column {endless[0]!r} holds infinity: repair it")
    return numbers


def _label(frame: Frame, chosen: str | None) -> str:
    if chosen is not None:
        return chosen
    found = [str(name) for name in frame.columns if str(name).lower() in LABEL_NAMES]
    if len(found) == 1:
        return found[0]
    raise UsageError(f"which column is the label? Choose one: --label {' | '.join(map(str, frame.columns))}")


def _text(column: Any) -> np.ndarray[Any, Any]:
    """Return values as text, so that 7 and 7.0, or one table's text and another's number, are one key."""
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all() and not column.isna().any():
        column = column.astype("int64")
    return column.astype(str).to_numpy(dtype=str)


def _file(folder: Path, split: str) -> Path | None:
    found = sorted(path for path in folder.iterdir() if path.stem.lower() == split and path.suffix.lower() in READERS)
    return found[0] if found else None


def _load(path: Path) -> Frame:
    require_file(path, "table")
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise UsageError(f"table {str(path)!r} must be a {', '.join(READERS)} file")
    try:
        frame = READERS[suffix](path)
    except (ValueError, OSError, UnicodeDecodeError) as error:  # pandas' own errors are ValueErrors
        reason = str(error).splitlines()[0]
        raise UsageError(f"table {str(path)!r} cannot be read ({reason}): check the file") from None
    if frame.empty:
        raise UsageError(f"table {str(path)!r} holds no rows")
    return frame.rename(columns=str)
