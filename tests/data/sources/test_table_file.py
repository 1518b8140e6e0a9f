"""Files of tables as other programs write them: separators, encodings, headers, and what is refused in one line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.data.sources.table_file import read_table
from wcord.data.sources.table_types import settle

ROWS = {"a": [1.5, 2.0, -3.25], "b": [1, 2, 3], "label": ["x", "y", "x"]}


def read(folder: Path, content: str | bytes, name: str = "t.csv") -> tuple[pd.DataFrame, tuple[str, ...]]:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    table = read_table(folder / name)
    settled = settle({"train": table})
    return settled.frames["train"], (*table.notes, *settled.notes)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_separators(tmp_path: Path, separator: str, suffix: str) -> None:
    frame, notes = read(tmp_path, pd.DataFrame(ROWS).to_csv(index=False, sep=separator), f"t.{suffix}")
    assert frame.to_dict("list") == ROWS
    assert len(notes) == (separator != {"csv": ",", "tsv": "\t"}[suffix])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    frame, _ = read(tmp_path, "größe,label\n1,été\n2,où\n".encode(encoding))
    assert frame.to_dict("list") == {"größe": [1, 2], "label": ["été", "où"]}


@pytest.mark.parametrize(
    ("content", "columns", "first"),
    [
        ("sep=;\na;label\n1;x\n2;y\n", ["a", "label"], [1, "x"]),
        ("a,b,label,\n1,2,x,\n3,4,y,\n", ["a", "b", "label"], [1, 2, "x"]),
        ("a,b,label\n1,2,x,\n3,4,y,\n", ["a", "b", "label"], [1, 2, "x"]),
        ('"a","b","label"\n"r1",1,2,x\n"r2",3,4,y\n', ["Unnamed: 0", "a", "b", "label"], ["r1", 1, 2, "x"]),
        (" a , label \n1, x\n2, y\n", ["a", "label"], [1, "x"]),
        ('a,label\n"1\n2",x\n3,y\n', ["a", "label"], ["1\n2", "x"]),
        ('"a;b",label\n1,x\n2,y\n', ["a;b", "label"], [1, "x"]),
        ("a\r\n1\r\n2\r\n", ["a"], [1]),
    ],
)
def test_headers_and_rows(tmp_path: Path, content: str, columns: list[str], first: list[object]) -> None:
    frame, _ = read(tmp_path, content)
    assert list(frame.columns) == columns
    assert frame.iloc[0].tolist() == first


@pytest.mark.parametrize("header", ["a,label,label", "a,label, label ", "label,a,label,a"])
def test_two_columns_of_one_name_are_refused(tmp_path: Path, header: str) -> None:
    row = ",".join("1" * len(header.split(",")))
    with pytest.raises(UsageError, match=r"has 2 columns named '(label|a)': rename or remove one"):
        read(tmp_path, f"{header}\n{row}\n{row}\n")


def test_words_are_no_gaps(tmp_path: Path) -> None:
    words = ["NA", "None", "null", "n/a", "nan", "NaN", "N/A", "<NA>", "NULL", "#N/A"]
    frame, _ = read(tmp_path, "w,n\n" + "".join(f"{word},1\n" for word in words) + ",\n")
    assert frame["w"].tolist()[:-1] == words
    assert frame.iloc[-1].isna().all()


def test_an_index_of_parquet_is_a_column_and_its_names_are_different(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    frame = pd.DataFrame(ROWS).set_index("label")
    frame.to_parquet(tmp_path / "t.parquet")
    assert set(read_table(tmp_path / "t.parquet").frame.columns) == {"label", "a", "b"}
    two = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(two, tmp_path / "two.parquet")
    with pytest.raises(UsageError, match="has 2 columns named 'a'"):
        read_table(tmp_path / "two.parquet")


@pytest.mark.parametrize("content", ["", "a,label\n1,x\n2,y,3\n", b"\x00\x01\x02"])
def test_damaged_files_are_told_in_one_line(tmp_path: Path, content: str | bytes) -> None:
    with pytest.raises(UsageError, match="cannot be read") as caught:
        read(tmp_path, content)
    assert "\n" not in str(caught.value)


@settings(max_examples=40, deadline=None)
@given(
    numbers=st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=12),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    decimal=st.sampled_from([".", ","]),
)
def test_what_pandas_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[float], separator: str, decimal: str
) -> None:
    written = pd.DataFrame({"a": [*numbers, 0.5], "label": ["x", *["y"] * len(numbers)]})
    content = written.to_csv(index=False, sep=separator, decimal=decimal, quotechar='"')
    frame, _ = read(tmp_path_factory.mktemp("t"), content)
    np.testing.assert_allclose(frame["a"].astype(float), written["a"], rtol=1e-14)
    assert frame["label"].tolist() == written["label"].tolist()


BODY = "a,b,label\n0.5,1,x\n0.25,2,y\n0.75,3,x\n"
ROWS = {"a": [0.5, 0.25, 0.75], "b": [1, 2, 3], "label": ["x", "y", "x"]}


@pytest.mark.parametrize(
    "text",
    [
        "# written by me\n" + BODY,
        "# by me, in May, twice\n#\n" + BODY,
        "A report\n\n" + BODY,
        "A report, of 2024\n\n" + BODY,
        "A report,,\n" + BODY,
        "# " + BODY,
        BODY.replace(",", " "),
        BODY.replace(",", "   ").replace("\n", " \n "),
        "A title of five words\n" + BODY.replace(",", ";"),
    ],
)
def test_the_header_is_found(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert read_table(tmp_path / "t.csv").frame.to_dict("list") == ROWS


@pytest.mark.parametrize(
    "text",
    [
        "0.582,1.277,1\n0.1,0.2,0\n0.3,0.4,1\n",
        "5.1,3.5,setosa\n4.9,3.0,setosa\n6.1,2.9,virginica\n6.0,2.2,virginica\n",
        "A1,0.5,x\nA2,0.7,y\nA3,0.1,x\n",
        "5,0,0,0\n3,0,0,1\n4,1,0,0\n",
        "1.5;2,5;x\n1.5;3,5;x\n",
        "yes,M,a\nno,F,b\nyes,F,a\nno,M,b\n",
    ],
)
def test_a_table_without_header_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UsageError, match=r"has no header: its first line \(.*write a line with a name for each column"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    "header", ["0,1,2", "1,2,3", ",0,1", "label,400.5,401.0", "name,1990,2000", "1990,2000,class", "x,y,label"]
)
def test_headers_with_numbers_are_headers(tmp_path: Path, header: str) -> None:
    body = "a,b,x\n" if header.endswith("class") else ""
    (tmp_path / "t.csv").write_text(f"{header}\n" + (body or "0,1.5,2\n1,2.5,3\n0,3.5,3\n"))
    names = [name or "Unnamed: 0" for name in header.split(",")]
    assert list(read_table(tmp_path / "t.csv").frame.columns) == names


def test_rows_of_other_lengths(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,c\n1,2,3,4\n5,6,7\n8,9,0\n")
    with pytest.raises(UsageError, match="row 1 has 4 cells, but the header has 3"):
        read_table(path)
    path.write_text("a,b,c\n1,2,3\n" * 1 + "5,6\n8,9,\n4\n")
    note = "table 't.csv': 2 rows have fewer cells than the header, the first row 2: taken as empty: 'c'"
    assert read_table(path).notes == (note,)
    path.write_bytes("name,label\nété,1\nü,0\n".encode("mac-roman"))
    assert "read as Windows-1252, which gives 'ŽtŽ'" in read_table(path).notes[0]
