"""Columns as numbers: no column vanishes, and what is taken for a gap or a category is noted."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wcord.checks import UsageError
from wcord.data.config import DataConfig, Known
from wcord.data.opening import open_data
from wcord.data.sources.table import read_rows
from wcord.data.sources.table_columns import GAP_WORDS, numbers_of, numeric_columns, scalars, texts_of, values_of


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
    found = numeric_columns(pd.DataFrame({"where": values * 6}), ["where"])
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
        ([5, 5, 5], "1 columns are the same in every row, not informative: a"),
        (["EU", "EU", "EU"], "the same in every row, not informative: a=EU"),
        ([None, None, np.nan], "1 columns are empty, not informative: a"),
    ],
)
def test_what_was_decided_is_noted(values: list[object], told: str) -> None:
    assert any(told in note for note in numeric_columns(pd.DataFrame({"a": values * 4}), ["a"]).notes)


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
        numeric_columns(pd.DataFrame({"a": values}), ["a"])


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


@pytest.mark.parametrize("word", ["NA", "N/A", "NaN", "null", "None", "?", "-", "."])
def test_words_for_gaps_are_gaps_among_numbers_and_words_among_words(word: str) -> None:
    numbers = values_of(pd.Series(["1", "2.5", word, ""]))
    assert (list(numbers.numbers), numbers.gaps, numbers.words) == (["1", "2.5"], [word], [])
    words = values_of(pd.Series(["EU", word, ""]))
    assert (words.gaps, sorted(words.words)) == ([], sorted(["EU", word]))
    assert np.isnan(numbers_of("a", pd.Series(["1", "2.5", word, ""]))).tolist() == [False, False, True, True]


@pytest.mark.parametrize("word", ["Unknown", "missing", "nope", "-1x"])
def test_other_words_are_none(word: str) -> None:
    assert word.casefold() not in GAP_WORDS
    with pytest.raises(UsageError, match=f"column 'age' holds '{word}' in row 3, which is no number: repair it"):
        numbers_of("age", pd.Series(["31", "45", word, "28", "?"]))


@pytest.mark.parametrize(
    ("texts", "culprit"),
    [
        (["31", "45", "oops", "28"], "oops"),
        ([*map(str, range(400)), *["bad"] * 30], "bad"),
        ([*map(str, range(100)), *["bad"] * 60], "bad"),
        (["1,234", "987", "5"], "1,234"),
        (["3,14", "2.71"], "3,14"),
        (["2", "3", "4", "5more"] * 9, None),
        (["2", "4", "more"] * 9, None),
        (["10-14", "15-19", "20-24"] * 4, None),
        (["NA", "EU"] * 4, None),
        (["1", "2", "x", "y"] * 3, None),
    ],
)
def test_a_column_of_numbers_with_a_mistake_is_told_from_categories(texts: list[str], culprit: str | None) -> None:
    assert values_of(pd.Series(texts)).culprit() == culprit


def test_typed_columns() -> None:
    assert texts_of(pd.Series([True, None, False], dtype=object)).tolist() == ["True", "", "False"]
    assert texts_of(pd.Series([1, None], dtype="Int64")).tolist() == ["1", ""]
    assert numbers_of("b", pd.Series([True, False])).tolist() == [1, 0]
    assert numbers_of("b", pd.Series(["True", "FALSE", "true"])).tolist() == [1, 0, 1]
    assert scalars(pd.Series([True, False])).tolist() == ["True", "False"]
    assert scalars(pd.Series([7.0, np.nan])).tolist() == [7, None]
    assert scalars(pd.Series(["007", "7", " 8 "])).tolist() == [7, 7, 8]
    assert scalars(pd.Series(["12345678901234567891", "12345678901234567890"])).tolist()[0] == 12345678901234567891
