"""Where a table written as text begins: titles, comments, spaces between columns, and no header at all."""

from pathlib import Path

import pytest

from wcord.checks import UsageError
from wcord.data.table_file import read_table

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
