"""Numbers in the formats of spreadsheets become plain where the format is certain, and stay text where it is not."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wcord.data.sources.number_formats import in_plain_digits, is_number_like, way_notes, ways_to_write


def plain(**columns: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    frame = pd.DataFrame(columns, dtype=object)
    ways = ways_to_write({name: frame[name].unique().tolist() for name in frame.columns}).chosen
    written = {n: (in_plain_digits(frame[n], ways[n]) if n in ways else frame[n]).tolist() for n in frame.columns}
    return written, way_notes(ways)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["3,14", "2", "-0,5"], ["3.14", "2", "-0.5"]),
        (["1.234,5", "12,25", ""], ["1234.5", "12.25", ""]),
        (["1 234,5", "1 234", "7"], ["1234.5", "1234", "7"]),
        (["1,234,567", "1,234", "987"], ["1234567", "1234", "987"]),
        (["1,234", "3.5", "12"], ["1234", "3.5", "12"]),
        (["1'234", "12", "1'000'000.5"], ["1234", "12", "1000000.5"]),
        (["1\u202f234", "12"], ["1234", "12"]),
        (["12%", "50 %"], ["0.12", "0.5"]),
        (["12,5 %", "3%"], ["0.125", "0.03"]),
        (["\u22123,5", "1,25"], ["-3.5", "1.25"]),
        (["3,14", "?", "2,7"], ["3.14", "?", "2.7"]),
    ],
)
def test_formats(texts: list[str], expected: list[str]) -> None:
    found, notes = plain(a=texts)
    assert found["a"] == expected
    assert len(notes) == 1


@pytest.mark.parametrize(
    "texts", [["1,234", "2,345"], ["1,234", "987"], ["3,14", "2.71"], ["12%", "0.5"], ["x,y", "z"]]
)
def test_what_is_not_certain_stays_as_it_is(texts: list[str]) -> None:
    assert plain(a=texts) == ({"a": texts}, [])


def test_another_column_tells_what_commas_mean() -> None:
    assert plain(a=["1,234", "987"], b=["0,5", "1"])[0]["a"] == ["1.234", "987"]
    assert plain(a=["1,234", "987"], b=["1,234,567", "1"])[0]["a"] == ["1234", "987"]
    assert ways_to_write({"a": ["1,234", "987"]}, semicolons=True).chosen == {"a": "decimal commas"}


@given(st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=20))
def test_decimal_commas_are_read_back(numbers: list[float]) -> None:
    texts = [repr(number).replace(".", ",") for number in numbers]
    found, _ = plain(a=[*texts, "0,5"])
    assert [float(text) for text in found["a"][:-1]] == numbers
    assert all(map(is_number_like, texts))
