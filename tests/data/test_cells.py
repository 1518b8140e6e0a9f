"""Which cells of a column are numbers, words or gaps, and which one keeps a column of numbers from being one."""

import numpy as np
import pandas as pd
import pytest

from wcord.checks import UsageError
from wcord.data.cells import GAP_WORDS, kinds_of, numbers_of, scalars, texts_of


@pytest.mark.parametrize("word", ["NA", "N/A", "NaN", "null", "None", "?", "-", "."])
def test_words_for_gaps_are_gaps_among_numbers_and_words_among_words(word: str) -> None:
    numbers = kinds_of(pd.Series(["1", "2.5", word, ""]))
    assert (list(numbers.numbers), numbers.gaps, numbers.words) == (["1", "2.5"], [word], [])
    words = kinds_of(pd.Series(["EU", word, ""]))
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
    assert kinds_of(pd.Series(texts)).culprit() == culprit


def test_typed_columns() -> None:
    assert texts_of(pd.Series([True, None, False], dtype=object)).tolist() == ["True", "", "False"]
    assert texts_of(pd.Series([1, None], dtype="Int64")).tolist() == ["1", ""]
    assert numbers_of("b", pd.Series([True, False])).tolist() == [1, 0]
    assert numbers_of("b", pd.Series(["True", "FALSE", "true"])).tolist() == [1, 0, 1]
    assert scalars(pd.Series([True, False])).tolist() == ["True", "False"]
    assert scalars(pd.Series([7.0, np.nan])).tolist() == [7, None]
    assert scalars(pd.Series(["007", "7", " 8 "])).tolist() == [7, 7, 8]
    assert scalars(pd.Series(["12345678901234567891", "12345678901234567890"])).tolist()[0] == 12345678901234567891
