"""Columns that tell the rows of a table apart rather than describe them: indices, identifiers, copies of the label."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wcord.data.cells import kinds_of, scalars, texts_of
from wcord.data.label_values import LABEL_NAMES
from wcord.data.table_file import is_unnamed

Frame = Any

MANY = 20
"""Rows from which on values that are all different are no chance."""
NAME = re.compile(r"id|ids|uuid|guid|uid|identifier|idx|index|key|pk|row|rows|rowid|rownames|rownum")
LAST = re.compile(r"no|nr|num|number")
"""Words that make the name of an identifier: anywhere in it, or at its end after another word (patient_no)."""
REPEATED = "repeats the label"


def left_out(frame: Frame, names: Sequence[str], label: str | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return which columns are not to be seen unless they are named, and why; and notes on doubtful ones.

    A network would learn from them which row it sees: on files that are sorted by label even an index decides. Left
    out are numbers that count the rows; all-different whole numbers that fill their range or whose column is named as
    an identifier; all-different text; and what repeats the label. All-different whole numbers else are seen, with a
    note, and so are columns that no name gives away where a table has no others.

    Args:
        frame: the training table.
        names: columns that would be seen.
        label: the label column.
    """
    copies = [] if label is None else [name for name in names if _repeats(frame[name], frame[label])]
    verdicts = {name: _verdict(name, frame[name], str(label), repeats=name in copies) for name in names}
    if verdicts and all(verdict.out for verdict in verdicts.values()):  # then the rest is all there is to learn from
        kept = [name for name in names if not _is_named_so(name) and verdicts[name].reason != REPEATED]
        verdicts |= {name: verdicts[name]._replace(out=False) for name in kept}
    out = {name: verdict.reason for name, verdict in verdicts.items() if verdict.out}
    notes: list[str] = []
    for told, columns, advice in (
        ("not seen", out, "to see one, name the columns in --input"),
        (
            "seen, though they may say which row it is",
            {name: verdict.reason for name, verdict in verdicts.items() if verdict.reason and not verdict.out},
            "if so, name the other columns in --input",
        ),
    ):
        if columns:
            listed = ", ".join(f"{name!r} ({reason})" for name, reason in columns.items())
            notes.append(f"columns that are {told}: {listed}; {advice}")
    return out, tuple(notes)


class _Verdict(NamedTuple):
    """What a column has that tells rows apart, if anything, and whether it is left out for that."""

    reason: str = ""
    out: bool = False


def _repeats(column: Frame, label: Frame) -> bool:
    """Tell a column that holds in each row what the label holds."""
    if pd.api.types.is_numeric_dtype(column) and pd.api.types.is_numeric_dtype(label):
        return bool((column == label).all())
    text = [not pd.api.types.is_numeric_dtype(one) for one in (column, label)]
    return all(text) and bool((texts_of(column) == texts_of(label)).all())


def _verdict(name: str, column: Frame, label: str, *, repeats: bool) -> _Verdict:
    numbers = _numbers(column)
    if repeats:
        same_name = re.sub(r"[^a-z]", "", name.lower()) in {*LABEL_NAMES, re.sub(r"[^a-z]", "", label.lower())}
        return _Verdict(REPEATED, out=numbers is None or same_name)
    identifier = _is_named_so(name)
    if not identifier and len(column) < MANY:
        return _Verdict()
    if numbers is None:
        return _Verdict("another text in each row", out=True) if _different_texts(column) else _Verdict()
    known = numbers[~np.isnan(numbers)]
    if len(known) < 2:
        return _Verdict()
    if len(known) == len(numbers) and _counts(known):
        return _Verdict("counts the rows", out=True)
    if len(np.unique(known)) < len(known):
        many = identifier and len(np.unique(known)) > MANY
        return _Verdict("named as an identifier") if many else _Verdict()
    if bool((known == np.floor(known)).all()):
        dense = known.max() - known.min() < 2 * len(known)
        return _Verdict("another whole number in each row", out=identifier or bool(dense))
    steps = np.diff(known)
    return _Verdict("rises or falls from row to row") if bool((steps > 0).all() or (steps < 0).all()) else _Verdict()


def _is_named_so(name: str) -> bool:
    return is_unnamed(name) or is_identifier(name)


def is_identifier(name: str) -> bool:
    """Tell a name that is given to identifiers.

    >>> [is_identifier(name) for name in ("patient_id", "PassengerId", "__index_level_0__", "record no", "acid")]
    [True, True, True, True, False]
    """
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())
    return any(map(NAME.fullmatch, words)) or (len(words) > 1 and LAST.fullmatch(words[-1]) is not None)


def _numbers(column: Frame) -> NDArray[np.float64] | None:
    """Return a column's numbers, NaN for gaps; None where it is one of text."""
    if pd.api.types.is_bool_dtype(column):
        return None
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    texts = texts_of(column)
    kinds = kinds_of(texts)
    return texts.map(kinds.numbers).to_numpy(dtype=np.float64, na_value=np.nan) if kinds.numeric else None


def _different_texts(column: Frame) -> bool:
    values = [value for value in scalars(column) if value is not None]
    return len(values) > 2 and len(set(values)) == len(values)


def _counts(numbers: NDArray[np.float64]) -> bool:
    """Tell numbers that rise or fall from row to row by the same amount."""
    steps = np.diff(numbers)
    return bool(steps[0] != 0 and np.allclose(steps, steps[0], rtol=1e-6, atol=0))
