"""Visits of a subject: in their order, with one label, and none without a place."""

import numpy as np
import pandas as pd
import pytest

from wcord.checks import UsageError
from wcord.data.config import Columns
from wcord.data.visits import names_in, stack_visits, visits_of

BY = Columns(visits_of="who", order_by="when")


@pytest.mark.parametrize(
    "when", [["10", "9", "1"], [10.0, 9.0, 1.0], ["2019-10-01", "2019-09-01", "2018-01-01"], ["1e1", "9", "-1"]]
)
def test_visits_are_in_the_order_of_time(when: list[object]) -> None:
    frame = pd.DataFrame({"who": ["a", "a", "b"], "when": when})
    assert visits_of(frame, BY) == {"a": [1, 0], "b": [2]}


@pytest.mark.parametrize(
    ("when", "message"),
    [
        (["1", "", "2"], "1 rows have no value in column 'when', the first in row 2"),
        (["1", "NA", "2"], "1 rows have no value in column 'when'"),
        (["1", "1", "2"], "who 'a' has two rows of one when"),
        (["first", "second", "1"], "holds text, which says no order"),
    ],
)
def test_visits_without_a_place_are_told(when: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        visits_of(pd.DataFrame({"who": ["a", "a", "b"], "when": when}), BY)


def test_names_and_labels_of_subjects() -> None:
    assert names_in(pd.DataFrame({"who": [7.0, 8.0]}), "who").tolist() == ["7", "8"]
    assert names_in(pd.DataFrame({"who": ["NA", "x"]}), "who").tolist() == ["NA", "x"]
    values, visits = np.arange(6.0).reshape(3, 2), {"a": [1, 0], "b": [2]}
    stacked = stack_visits(BY, visits, values, np.array(["x", "x", "y"], object))
    assert stacked[0].tolist() == [[2, 0], [3, 1]]
    assert np.isnan(stacked[1, :, 1]).all()
    with pytest.raises(UsageError, match=r"the visits of who 'a' have different labels \(x, z\)"):
        stack_visits(BY, visits, values, np.array(["x", "z", "y"], object))
