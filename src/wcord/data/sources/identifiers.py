"""Finds columns that identify rows or leak the label: indices, identifiers, recoded labels."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wcord.data.label_values import LABEL_NAMES
from wcord.data.sources.layout import ROLES, role_of
from wcord.data.sources.table_columns import holds_several, scalars, texts_of, values_of
from wcord.data.sources.table_file import is_unnamed

Frame = Any

MANY = 20
"""Rows from which values that are all different, or that follow the label in every row, are no coincidence."""
NAME = re.compile(r"id|ids|uuid|guid|uid|identifier|idx|index|key|pk|row|rows|rowid|rownames|rownum")
SURE = re.compile(r"id|ids|uuid|guid|uid|identifier|pk|rowid|rownames|rownum")
LAST = re.compile(r"no|nr|num|number")
"""Words in the names of identifiers: anywhere, or at the end after another word (patient_no)."""
ALSO_FEATURES = frozenset({"class", "y"})
"""Usual names of labels that features have, too: the class of a ticket, a coordinate."""
ROW, LABEL, SPLIT = "row", "label", "split"
CAPTIONS = {
    (ROW, True): ("columns that are not inputs", "to use one, name the columns in --input"),
    (LABEL, True): (
        "columns that reveal the label and are not inputs",
        "to use one anyway, name the columns in --input",
    ),
    (SPLIT, True): (
        "columns that distinguish training from test rows and are not inputs",
        "to use such a split, write the rows to two files, train.csv and test.csv, in one folder",
    ),
    (ROW, False): (
        "input columns that may identify rows",
        "if so, name the other columns in --input",
    ),
    (LABEL, False): (
        "input columns that may reveal the label",
        "if they are unknown for new samples, name the other columns in --input",
    ),
}
"""What a column reveals, and whether it is left out for that → the text of the note, and the remedy."""


def left_out(frame: Frame, names: Sequence[str], label: str | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the columns that are no input unless they are named, with the reasons; and notes, also on doubtful ones.

    A network would learn from them which row it sees: in files sorted by label, even an index decides. Left out are
    numbers that count the rows; different whole numbers in each row that fill their range; whole numbers of many values
    in a column named like an identifier; different texts in each row; names of splits; and recoded labels: a column
    that corresponds to the label one to one, and a second column named like a label. Inputs with a note are other
    columns of different whole numbers, columns that determine the label or are determined by it, and columns without a
    telling name if a table has no others.

    Args:
        frame: the training table.
        names: candidate columns.
        label: the label column.
    """
    classes = None if label is None else _numbered(frame[label])
    verdicts = {name: _verdict(name, frame[name], str(label), classes) for name in names}
    if verdicts and all(verdict.out for verdict in verdicts.values()):  # then there is nothing else to learn from
        kept = [name for name in names if not _has_identifier_name(name) and verdicts[name].kind == ROW]
        verdicts |= {name: verdicts[name]._replace(out=False) for name in kept}
    notes: list[str] = []
    for (kind, out), (caption, advice) in CAPTIONS.items():
        columns = [
            f"{name!r} ({verdict.reason})"
            for name, verdict in verdicts.items()
            if verdict.reason and (verdict.kind, verdict.out) == (kind, out)
        ]
        if columns:
            notes.append(f"{caption}: {', '.join(columns)}; {advice}")
    return {name: verdict.reason for name, verdict in verdicts.items() if verdict.out}, tuple(notes)


class _Verdict(NamedTuple):
    """A reason against a column as input, if there is one, and whether it is left out for that."""

    reason: str = ""
    out: bool = False
    kind: str = ROW


def _verdict(name: str, column: Frame, label: str, classes: NDArray[np.int64] | None) -> _Verdict:
    if _names_splits(column):
        return _Verdict("names a split in each row", out=True, kind=SPLIT)
    beside = _Verdict() if classes is None else _beside_label(name, column, label, classes)
    if beside.out:
        return beside
    verdict = _row_verdict(name, column)
    return verdict if verdict.reason else beside


def _beside_label(name: str, column: Frame, label: str, classes: NDArray[np.int64]) -> _Verdict:
    """Return the verdict on a column as a recoded label."""
    bare = _letters(name)
    usual = bare in LABEL_NAMES or (bare != "" and bare == _letters(label))
    values = _numbered(column)
    present = values >= 0
    kinds = len(np.unique(classes))
    number = int(values.max(initial=-1)) + 1
    enough = len(classes) >= MANY
    if number <= kinds and (_one_to_one(values, classes) or _one_to_one(values[present], classes[present])):
        return _Verdict("goes with the label one to one", out=True, kind=LABEL) if usual or enough else _Verdict()
    decides = _decides(values[present], classes[present]) and 2 * number <= int(present.sum())
    if usual and (bare not in ALSO_FEATURES or (decides and enough)):
        return _Verdict("is named as a label is", out=True, kind=LABEL)
    if usual:
        return _Verdict("is named as a label is", kind=LABEL)
    if not enough or kinds < 2 or number < 2 or int(present.sum()) < MANY:
        return _Verdict()
    if decides:
        return _Verdict("decides it in every row", kind=LABEL)
    return _Verdict("is decided by it in every row", kind=LABEL) if _decides(classes, values) else _Verdict()


def _letters(name: str) -> str:
    return re.sub(r"[\W\d_]", "", name.casefold())


def _numbered(column: Frame) -> NDArray[np.int64]:
    """Return a number for each different value of a column, −1 for gaps."""
    if not pd.api.types.is_numeric_dtype(column):
        column = pd.Series(scalars(column), dtype=object)
        if any(map(holds_several, column)):
            column = column.map(str)
    return pd.factorize(column)[0].astype(np.int64)


def _one_to_one(values: NDArray[np.int64], classes: NDArray[np.int64]) -> bool:
    return len(np.unique(values)) > 1 and _decides(values, classes) and _decides(classes, values)


def _decides(values: NDArray[np.int64], others: NDArray[np.int64]) -> bool:
    """Return whether values determine the others."""
    one_of_each = np.zeros(int(values.max(initial=-1)) + 2, np.int64)
    one_of_each[values + 1] = others
    return bool((one_of_each[values + 1] == others).all())


def _names_splits(column: Frame) -> bool:
    """Return whether a column holds the split of each row."""
    if pd.api.types.is_numeric_dtype(column):
        return False
    cells = scalars(column)
    values = set() if any(map(holds_several, cells)) else {value for value in cells if value is not None}
    if not 1 < len(values) <= len(ROLES) or not all(isinstance(value, str) for value in values):
        return False
    roles = {role_of(str(value)) for value in values}
    return ("train", ()) in roles and len(roles) == len(values) and all(role and not more for role, more in roles)


def _row_verdict(name: str, column: Frame) -> _Verdict:
    """Return the verdict on a column as an identifier of rows."""
    numbers, identifier = _numbers(column), _has_identifier_name(name)
    if not identifier and len(column) < MANY:
        return _Verdict()
    if numbers is None:
        return _Verdict("another text in each row", out=True) if _different_texts(column) else _Verdict()
    known = numbers[~np.isnan(numbers)]
    if len(known) < 2:
        return _Verdict()
    if len(known) == len(numbers) and _counts(known):
        return _Verdict("counts the rows", out=True)
    kinds, whole = np.unique(known), bool((known == np.floor(known)).all())
    steps = np.diff(known)
    sorted_rows = bool((steps >= 0).all() or (steps <= 0).all()) and len(kinds) > MANY
    if len(kinds) < len(known):
        if identifier and len(kinds) > MANY:
            return _Verdict("named as an identifier", out=whole and (sorted_rows or _has_certain_name(name)))
        return _Verdict("rises or falls from row to row") if sorted_rows and whole else _Verdict()
    if whole:
        dense = known.max() - known.min() < 2 * len(known)
        return _Verdict("another whole number in each row", out=identifier or bool(dense))
    return _Verdict("rises or falls from row to row") if sorted_rows else _Verdict()


def _has_certain_name(name: str) -> bool:
    """Return whether a name is certainly no feature: an index alone, or a patient's id, but not a heat index."""
    words = _words(name)
    return is_unnamed(name) or any(map(SURE.fullmatch, words)) or (len(words) == 1 and is_identifier(name))


def _has_identifier_name(name: str) -> bool:
    return is_unnamed(name) or is_identifier(name)


def is_identifier(name: str) -> bool:
    """Return whether a name is usual for identifiers.

    >>> [is_identifier(name) for name in ("patient_id", "PassengerId", "__index_level_0__", "record no", "acid")]
    [True, True, True, True, False]
    """
    words = _words(name)
    return any(map(NAME.fullmatch, words)) or (len(words) > 1 and LAST.fullmatch(words[-1]) is not None)


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())


def _numbers(column: Frame) -> NDArray[np.float64] | None:
    """Return a column's numbers, NaN for gaps; None for a column of text."""
    if pd.api.types.is_bool_dtype(column):
        return None
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    texts = texts_of(column)
    kinds = values_of(texts)
    return texts.map(kinds.numbers).to_numpy(dtype=np.float64, na_value=np.nan) if kinds.numeric else None


def _different_texts(column: Frame) -> bool:
    values = [value for value in scalars(column) if value is not None]
    return len(values) > 2 and len(set(values)) == len(values)


def _counts(numbers: NDArray[np.float64]) -> bool:
    """Return whether numbers rise or fall from row to row by the same amount."""
    steps = np.diff(numbers)
    return bool(steps[0] != 0 and np.allclose(steps, steps[0], rtol=1e-6, atol=0))
