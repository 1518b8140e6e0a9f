"""Tables of numbers: a row is a sample, or a visit of a subject who is one."""

from collections.abc import Callable, Mapping, Sequence
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
from wcord.data.samples import Samples, Source, named_by, require_known

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
    if (columns.order_by is None) != (columns.visits_of is None):
        raise UsageError("visits_of and order_by go together: whose visits, and in which order they were")
    known = list(frames["train"].columns)
    label = _label(known, columns.label) if columns.labels else None
    named = [c for c in (label, columns.key, columns.group_by, columns.visits_of, columns.order_by) if c is not None]
    labels = {label, *columns.unseen} if columns.labels else {*columns.unseen, *_likely_labels(known)}
    seen = list(columns.input) or [column for column in known if column not in {*named, *labels}]
    asked, notes = [*named, *map(_raw(known), seen)], ()
    missing = _missing(frames["test"], asked, label) if "test" in frames else ""
    if missing and columns.partial:
        frames, notes = {"train": frames["train"]}, (f"the test file {missing}, and is passed over",)
    for column in asked:
        if column not in known:
            raise unknown("column", column, known)
    if missing and not columns.partial:
        raise UsageError(
            f"the test file {missing}: add it, or hold out a part of the training samples instead, by --holdout 0.2"
        )
    told = [column for column in map(_raw(known), columns.input) if column in labels]
    if told:  # a network would be told what it is to predict
        raise UsageError(f"column {told[0]!r} is a label and cannot be seen: name other columns in --input")
    whole: Frame = pd.concat(frames, names=["split"])
    if label is not None and whole[label].isna().any():
        raise UsageError(f"{int(whole[label].isna().sum())} rows have no label in column {label!r}: remove them")
    numbers = _numbers(whole, seen)
    categories = _categories(whole, numbers)
    sides = {split: _side(frame, numbers.loc[split], label, columns) for split, frame in frames.items()}
    targets, classes = number_labels({split: side.labels for split, side in sides.items()})
    visits = max(side.values.shape[2] for side in sides.values())
    samples = {split: side.samples(targets[split], visits) for split, side in sides.items()}
    seen_columns = tuple(map(str, numbers.columns))
    return Source(
        samples["train"],
        samples.get("test"),
        classes,
        name,
        augment="none",
        columns=seen_columns,
        categories=categories,
        notes=notes,
        pictures=False,
    )


def read_rows(path: Path, columns: Sequence[str], known: Mapping[str, Sequence[str]]) -> Tensor:
    """Return the rows of a file as samples, N×C×1×1.

    Args:
        path: the file.
        columns: what is seen of it, by the names that a source gave them.
        known: the values that its columns of text may have.

    Raises:
        UsageError: a file that cannot be read, a column that is not there, or holds text in place of numbers or other
            text than is known.
    """
    frame = _load(path)
    for column in map(_raw(list(frame.columns)), columns):
        if column not in frame.columns:
            raise unknown("column", column, frame.columns)
    numbers = _numbers(frame, columns)
    if list(numbers.columns) != list(columns):
        strange = next(column for column in columns if column not in numbers.columns)
        raise UsageError(f"column {strange!r} of table {str(path)!r} holds text where there were numbers: repair it")
    require_known(_categories(frame, numbers), known)
    return torch.tensor(numbers.to_numpy(np.float32))[:, :, None, None]


def _missing(frame: Frame, columns: Sequence[str], label: str | None) -> str:
    """Return what a file lacks of some columns and of the labels, or nothing."""
    gone = [column for column in columns if column not in frame.columns]
    if gone:
        return f"lacks column {gone[0]!r}" + (f" and {len(gone) - 1} more" if len(gone) > 1 else "")
    return f"has no label in column {label!r}" if label is not None and frame[label].isna().all() else ""


def _raw(known: Sequence[str]) -> Callable[[str], str]:
    """Return what gives the column of the file that a name means: `sex=M` is a category of `sex`."""
    return lambda name: name if name in known else name.partition("=")[0]


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


def _side(frame: Frame, numbers: Frame, label: str | None, columns: Columns) -> _Side:
    values = numbers.to_numpy(float)
    labels = no_labels(len(frame)) if label is None else _values(frame, label)
    keys, groups = (None if column is None else _named(frame, column) for column in (columns.key, columns.group_by))
    if columns.visits_of is None:
        return _Side(values[:, :, None], labels, keys, groups)
    visits = _visits(frame, columns)
    longest = max(map(len, visits.values()))
    stacked = np.full((len(visits), values.shape[1], longest), np.nan)
    for row, (subject, rows) in enumerate(visits.items()):
        stacked[row, :, : len(rows)] = values[rows].T
        found = np.unique(labels[rows])
        if label is not None and len(found) > 1:
            raise UsageError(
                f"the visits of {columns.visits_of} {subject!r} have different labels ({', '.join(map(str, found))}): "
                "a subject is one sample and needs one label"
            )
    first = np.array([rows[0] for rows in visits.values()])
    labels = no_labels(len(first)) if label is None else labels[first]
    keys = None if keys is None else keys[first]
    return _Side(stacked, labels, keys, np.array(list(visits)) if groups is None else groups[first])


def _values(frame: Frame, label: str) -> Any:
    """Return whole numbers as such, so that 10 comes after 2, and anything else as text."""
    column = frame[label]
    return column.to_numpy() if pd.api.types.is_integer_dtype(column) else _named(frame, label)


def _named(frame: Frame, column: str) -> Any:
    """Return the values of a column that names rows, as text; pandas has several kinds of gaps."""
    values = frame[column].astype(object)
    return named_by(column, values.where(values.notna(), None).tolist())


def _visits(frame: Frame, columns: Columns) -> dict[str, list[int]]:
    """Return for each subject the positions of its rows, in the order of the visits.

    Raises:
        UsageError: a visit has no place in the order, or another's, or no subject.
    """
    assert columns.visits_of is not None
    times = _in_time(str(columns.order_by), frame[columns.order_by].reset_index(drop=True))
    if times.isna().any():
        raise UsageError(f"{int(times.isna().sum())} rows have no value in column {columns.order_by!r}: order them")
    subjects = _named(frame, columns.visits_of).tolist()
    twice = pd.DataFrame({"subject": subjects, "time": times}).duplicated()
    if twice.any():
        subject = subjects[int(twice.argmax())]
        raise UsageError(
            f"{columns.visits_of} {subject!r} has two rows of one {columns.order_by}: which was first is not known; "
            "choose another column, or leave one out"
        )
    visits: dict[str, list[int]] = {subject: [] for subject in subjects}
    for row in times.sort_values(kind="stable").index:
        visits[subjects[row]].append(int(row))
    return visits


def _in_time(name: str, times: Any) -> Any:
    """Return what says when a visit was as numbers or dates: as text, 10/1/2019 would come before 9/1/2019.

    Raises:
        UsageError: text that is no date of the form 2019-09-01.
    """
    if pd.api.types.is_numeric_dtype(times) or pd.api.types.is_datetime64_any_dtype(times):
        return times
    try:
        return pd.to_datetime(times, format="ISO8601")
    except (ValueError, TypeError):
        raise UsageError(
            f"column {name!r} holds text, which says no order: write visits as numbers, or dates as 2019-09-01"
        ) from None


def _numbers(frame: Frame, seen: Sequence[str]) -> Frame:
    """Return the columns as numbers, each by its name; gaps stay gaps.

    Few different texts become columns of 0 and 1, `sex=M` for all but the first in their order: of two, one says it
    all. Such a name can be asked for itself, so that another file of the same table gives the same columns.

    Raises:
        UsageError: a column holds many different texts, or infinity, or text under a name with =; or there is none.
    """
    parts: dict[str, Any] = {}
    for name in seen:
        if name not in frame.columns:
            column, _, value = name.partition("=")
            parts[name] = _category(frame[column], value)
            continue
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column):
            parts[name] = column.astype(float)
            continue
        if "=" in name:
            raise UsageError(f"column {name!r} holds text and has = in its name, which marks categories: rename it")
        kinds = _kinds(column)
        if len(kinds) > FEW:
            raise UsageError(
                f"column {name!r} holds {len(kinds)} different texts, such as {kinds[0]!r}: numbers or at most {FEW} "
                "categories can be seen; choose the columns by --input"
            )
        parts |= {f"{name}={value}": _category(column, value) for value in kinds[1:]}
    if not parts:
        raise UsageError("the table has no column to be seen besides the label: name some in --input")
    endless = [name for name, values in parts.items() if np.isinf(values).any()]
    if endless:
        raise UsageError(f"column {endless[0]!r} holds infinity: repair it")
    return pd.DataFrame(parts)


def _category(column: Any, value: str) -> Any:
    """Return 1 where a column has a value, 0 where it has another, and a gap where it has none."""
    return (_texts(column) == value).astype(float).where(column.notna())


def _texts(column: Any) -> Any:
    """Return the values as text, whole numbers as such: a column of 1, 2 and gaps is read as 1.0, 2.0 and NaN."""
    return column.map(lambda value: str(int(value)) if isinstance(value, float) and value.is_integer() else str(value))


def _kinds(column: Any) -> tuple[str, ...]:
    return tuple(sorted(_texts(column.dropna()).unique()))


def _categories(frame: Frame, numbers: Frame) -> dict[str, tuple[str, ...]]:
    """Return the values of each column of text that gave columns of 0 and 1."""
    named = (str(name).partition("=")[0] for name in numbers.columns if name not in frame.columns)
    return {name: _kinds(frame[name]) for name in dict.fromkeys(named)}


def _label(known: Sequence[str], chosen: str | None) -> str:
    if chosen is not None:
        return chosen
    found = _likely_labels(known)
    if len(found) == 1:
        return found[0]
    raise UsageError(f"which column is the label? Choose one: --label {' | '.join(known)}")


def _likely_labels(known: Sequence[str]) -> list[str]:
    return [name for name in known if name.lower() in LABEL_NAMES]


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
