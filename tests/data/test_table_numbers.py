"""Columns as numbers: no column vanishes, and what is taken for a gap or a category is noted."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wcord.checks import UsageError
from wcord.data.config import DataConfig, Known
from wcord.data.sources import open_data
from wcord.data.table import read_rows
from wcord.data.table_numbers import see


@pytest.mark.parametrize(
    ("values", "columns"),
    [
        (["EU", None], ["where=EU"]),
        (["NA", "EU"], ["where=NA"]),
        (["NA", "EU", "AS"], ["where=EU", "where=NA"]),
        (["None", "Mild", None], ["where=None"]),
        (["n/a", "null"], ["where=null"]),
        (["EU", "EU"], ["where=EU"]),
        (["Unknown", "x"], ["where=x"]),
        (["NA", None], ["where=NA"]),
    ],
)
def test_no_category_vanishes(values: list[str | None], columns: list[str]) -> None:
    found = see(pd.DataFrame({"where": values * 6}), ["where"])
    assert list(found.frame.columns) == columns
    assert found.frame.isna().to_numpy().any() == (None in values)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["1", "2", "?"], "column 'a': taken for gaps: '?' in 4 rows"),
        (["1", "NA", "n/a"], "taken for gaps: 'NA' in 4 rows, 'n/a' in 4 rows"),
        (["NA", "NA", "NA"], "taken for gaps: 'NA' in 12 rows"),
        (["True", "?", "False"], "taken for gaps: '?' in 4 rows"),
        (["2", "4", "more"], "column 'a' holds numbers and words ('more'), and is taken as categories"),
        (["M", "M ", "F"], "values of column 'a' differ by case or spaces alone"),
        ([5, 5, 5], "1 columns are the same in every row, and tell nothing: a"),
        (["EU", "EU", "EU"], "the same in every row, and tell nothing: a=EU"),
        ([None, None, np.nan], "1 columns are empty, and tell nothing: a"),
    ],
)
def test_what_was_decided_is_noted(values: list[object], told: str) -> None:
    assert any(told in note for note in see(pd.DataFrame({"a": values * 4}), ["a"]).notes)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, np.inf], "holds infinity"),
        ([1.0, 1e300], r"column 'a' holds numbers as large as 1e\+300"),
        ([0.0, 1e-40], "column 'a' holds numbers as small as 1e-40"),
        ([f"text {n}" for n in range(30)] * 2, "holds 30 different texts"),
    ],
)
def test_what_no_network_can_see_is_told_by_column(values: list[object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        see(pd.DataFrame({"a": values}), ["a"])


def test_training_and_prediction_read_a_file_alike(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "where": draw.choice(["NA", "EU", ""], 40),
            "doors": draw.choice(["2", "4", "5more"], 40),
            "cells": draw.choice(["1", "7", "?"], 40),
            "smokes": draw.choice(["True", "False"], 40),
            "share": draw.choice(["5 %", "12,5 %"], 40),
            "label": draw.choice(["None", "NA", "ill"], 40),
        }
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    place = f"table:{tmp_path / 't.csv'}"
    data = open_data(DataConfig(data=place, holdout=0.25))
    assert data.classes == ("NA", "None", "ill")
    seen = torch_rows(data)
    rows = read_rows(tmp_path / "t.csv", data.columns, Known(data.categories, data.formats)).flatten(1).numpy()
    assert sorted(map(str, seen.round(6))) == sorted(map(str, rows.astype(np.float32).round(6)))
    again = open_data(DataConfig(data=place, holdout=0.25, input=data.columns))
    np.testing.assert_array_equal(torch_rows(again), seen)
    frame.query("doors != '5more'").head(3).to_csv(tmp_path / "few.csv", index=False)
    few = read_rows(tmp_path / "few.csv", data.columns, Known(data.categories, data.formats)).flatten(1).numpy()
    kept = frame.query("doors != '5more'").index[:3]
    np.testing.assert_array_equal(few, rows[kept])
    frame.assign(cells="?").head(3).to_csv(tmp_path / "gaps.csv", index=False)
    gaps = read_rows(tmp_path / "gaps.csv", data.columns, Known(data.categories, data.formats)).flatten(1).numpy()
    assert np.isnan(gaps[:, data.columns.index("cells")]).all()


def torch_rows(data) -> np.ndarray:
    import torch

    return torch.cat([split.read(torch.arange(len(split))) for split in (data.train, data.test)]).flatten(1).numpy()
