"""Rows of a table that are the visits of one subject, in the order of time."""

from typing import Any

import numpy as np
import pandas as pd

from wcord.checks import UsageError
from wcord.data.cells import Column, row_of, scalars
from wcord.data.config import Columns
from wcord.data.samples import Names, named_by

Frame = Any


def names_in(frame: Frame, column: str) -> Names:
    """Return the values of a column that names rows, as text."""
    return named_by(column, scalars(frame[column]).tolist())


def visits_of(frame: Frame, columns: Columns) -> dict[str, list[int]]:
    """Return for each subject the positions of its rows, in the order of the visits.

    Raises:
        UsageError: a visit has no place in the order, or another's, or no subject.
    """
    assert columns.visits_of is not None
    times = _in_time(str(columns.order_by), frame[columns.order_by].reset_index(drop=True))
    if times.isna().any():
        missing = f"{int(times.isna().sum())} rows have no value in column {columns.order_by!r}"
        raise UsageError(f"{missing}, the first in {row_of(times.isna())}: order them")
    subjects = names_in(frame, columns.visits_of).tolist()
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


def stack_visits(columns: Columns, visits: dict[str, list[int]], values: Any, labels: Any | None) -> Any:
    """Return the values of subjects, N×C×V, NaN where a subject has fewer visits than another.

    Raises:
        UsageError: the visits of a subject have different labels.
    """
    longest = max(map(len, visits.values()))
    stacked = np.full((len(visits), values.shape[1], longest), np.nan)
    for number, (subject, rows) in enumerate(visits.items()):
        stacked[number, :, : len(rows)] = values[rows].T
        found = [] if labels is None else sorted(set(map(str, labels[rows])))
        if len(found) > 1:
            raise UsageError(
                f"the visits of {columns.visits_of} {subject!r} have different labels ({', '.join(found)}): "
                "a subject is one sample and needs one label"
            )
    return stacked


def _in_time(name: str, times: Column) -> Column:
    """Return what says when a visit was as numbers or dates: as text, 10/1/2019 would come before 9/1/2019.

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
