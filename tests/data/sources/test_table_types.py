"""Types of columns are settled from all files of a table, and by the network's file where one is measured."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from wcord.checks import UsageError
from wcord.data.config import DataConfig, Known
from wcord.data.dataset import DataSet
from wcord.data.opening import open_data
from wcord.data.sources.table import read_rows
from wcord.data.sources.table_file import read_table
from wcord.data.sources.table_types import settle

N = 60
DRAW = np.random.default_rng(0)


def folder(place: Path, train: pd.DataFrame, test: pd.DataFrame, **settings: object) -> str:
    place.mkdir(exist_ok=True)
    train.to_csv(place / "train.csv", index=False, **settings)
    test.to_csv(place / "test.csv", index=False, **settings)
    return f"table:{place}"


def rows(data: DataSet) -> list[np.ndarray]:
    return [split.read(torch.arange(len(split))).flatten(1).numpy() for split in (data.train, data.test)]


@pytest.mark.parametrize(
    "values",
    [["01", "02", "1A"], ["TRUE", "FALSE", "unknown"], ["1.50", "2.50", "n.k."], ["1", "2", "1e1x"], ["007", "7", "b"]],
)
def test_a_cell_is_one_category_in_both_files_and_in_prediction(tmp_path: Path, values: list[str]) -> None:
    frame = pd.DataFrame({"code": values * (N // 3), "a": DRAW.normal(size=N), "label": [0, 1, 1] * (N // 3)})
    part = frame[frame["code"] != values[2]]
    data = open_data(DataConfig(data=folder(tmp_path, frame, part)))
    train, test = rows(data)
    np.testing.assert_array_equal(train[part.index], test)
    assert data.categories["code"] == tuple(sorted(values))
    known = Known(data.categories, data.formats)
    seen = read_rows(tmp_path / "test.csv", data.columns, known).flatten(1).numpy()
    np.testing.assert_array_equal(seen.astype(np.float32), test)
    alone = open_data(DataConfig(data=f"table:{tmp_path / 'test.csv'}", input=data.columns, holdout=0.5), known=known)
    assert sorted(map(str, np.concatenate(rows(alone)))) == sorted(map(str, test))


def test_labels_are_one_thing_in_both_files_and_stay_as_they_are_written(tmp_path: Path) -> None:
    for values in (["01", "02", "1A"], ["10 %", "20 %", "x"], ["1 000", "2 000", "3"], ["TRUE", "FALSE", "?"]):
        frame = pd.DataFrame({"a": DRAW.normal(size=N), "label": values * (N // 3)})
        data = open_data(DataConfig(data=folder(tmp_path, frame, frame[frame["label"] != values[2]])))
        assert set(data.classes) == set(values)


def test_doubles_stay_exact(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": DRAW.normal(size=N), "b": 1e9 + DRAW.normal(size=N), "label": [0, 1] * (N // 2)})
    frame.to_csv(tmp_path / "t.csv", index=False)
    settled = settle({"train": read_table(tmp_path / "t.csv")}).frames["train"]
    np.testing.assert_array_equal(settled[["a", "b"]], frame[["a", "b"]])
    german = frame.assign(c=["1.250", "999"] * (N // 2))
    german.to_csv(tmp_path / "g.csv", index=False, sep=";", decimal=",")
    settled = settle({"train": read_table(tmp_path / "g.csv")}).frames["train"]
    np.testing.assert_array_equal(settled[["a", "b"]].astype(float), frame[["a", "b"]])
    assert settled["c"].tolist()[:2] == ["1250", "999"]


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        ("a;p\n0,5;1.250\n1,5;999\n", "a;p\n2;1.000\n", ([1250, 999], [1000])),
        ("a;p\n1;999\n2;998\n", "a;p\n0,5;1.250\n", ([999, 998], [1250])),
        ("a;p\n1;1.250.000\n2;998\n", "a;p\n5;1.250\n", ([1250000, 998], [1250])),
        ("a;p\n0.5;1.250\n2;998\n", "a;p\n5;1.251\n", ([1.25, 998], [1.251])),
        ("a,p\n1,1.250\n2,998\n", "a,p\n5,1.251\n", ([1.25, 998], [1.251])),
        ("a,p\n1,37%\n2,40 %\n", "a,p\n5,12%\n", ([0.37, 0.4], [0.12])),
    ],
)
def test_formats_are_found_in_all_columns_of_all_files(tmp_path: Path, train: str, test: str, expected: tuple) -> None:
    for name, text in (("train", train), ("test", test)):
        (tmp_path / f"{name}.csv").write_text(text)
    settled = settle({name: read_table(tmp_path / f"{name}.csv") for name in ("train", "test")})
    settled.require_clear(["a", "p"])
    assert tuple(frame["p"].astype(float).tolist() for frame in settled.frames.values()) == expected


@pytest.mark.parametrize(
    ("text", "column"), [("a;p\n1;1.250\n2;998\n", "p"), ("a;b;p\n0,5;0.5;1.250\n0,7;0.25;998\n", "p")]
)
def test_what_may_mean_two_numbers_is_refused_where_it_is_seen(tmp_path: Path, text: str, column: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    settled = settle({"train": read_table(tmp_path / "t.csv")})
    settled.require_clear(["a"])
    with pytest.raises(UsageError, match=r"column 'p' holds '1.250': it may mean .* so write 1250 or 1,250"):
        settled.require_clear([column])
    settle({"train": read_table(tmp_path / "t.csv")}, known=Known(formats={})).require_clear(["p"])


def test_a_network_sees_numbers_in_the_format_of_its_training(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for text, formats, told in (
        ("a\n37\n", {"a": "percent signs"}, "written with plain digits, and with percent signs in the table"),
        ("a\n37%\n", {}, "written with percent signs, and with plain digits in the table"),
        ("a;b\n211.685;1\n", {"a": "groups of thousands"}, "may mean 211685 or 211.685"),
    ):
        path.write_text(text)
        with pytest.raises(UsageError, match=told):
            read_rows(path, ["a"], Known(formats=formats))
    path.write_text("a;b\n211.685;1\n")
    assert read_rows(path, ["a"], Known(formats={})).item() == 211.685
    path.write_text("a\n37%\n")
    assert read_rows(path, ["a"], Known()).item() == 0.37  # an old file does not say


def test_values_of_the_test_file_alone_are_gaps_with_a_note(tmp_path: Path) -> None:
    frame = pd.DataFrame({"c": list("xy") * (N // 2), "a": DRAW.normal(size=N), "label": [0, 0, 1] * (N // 3)})
    place = folder(tmp_path, frame, frame.assign(c=["z", "x"] * (N // 2)))
    data = open_data(DataConfig(data=place))
    assert data.columns == ("c=y", "a")
    assert data.categories == {"c": ("x", "y")}
    assert np.isnan(rows(data)[1][::2, 0]).all()
    assert "column 'c': values that no training row has are taken for gaps: 'z' in 30 rows" in data.notes
    again = open_data(DataConfig(data=place, input=data.columns), known=Known(data.categories))
    np.testing.assert_array_equal(rows(again)[1], rows(data)[1])


def test_names_and_cells_have_one_unicode_form(tmp_path: Path) -> None:
    import unicodedata

    def apart(text: str) -> str:
        return unicodedata.normalize("NFD", text)

    frame = pd.DataFrame({"größe": ["müde", "süß", "x"] * (N // 3), "a": DRAW.normal(size=N), "été": [0, 1] * (N // 2)})
    other = pd.DataFrame({apart(name): frame[name] for name in frame.columns})
    other[apart("größe")] = other[apart("größe")].map(apart)
    data = open_data(DataConfig(data=folder(tmp_path, frame, other), label=apart("été")))
    assert data.columns == ("größe=süß", "größe=x", "a")
    np.testing.assert_array_equal(*rows(data))
    other.to_parquet(tmp_path / "p.parquet")
    seen = read_rows(tmp_path / "p.parquet", [apart(name) for name in data.columns], Known(data.categories))
    np.testing.assert_array_equal(seen.flatten(1).numpy().astype(np.float32), rows(data)[0])


@pytest.mark.parametrize(
    ("cells", "label", "told"),
    [
        ([[1, 0], [0, 1]], False, r"column 'x' holds \[1, 0\] \(list\) in one cell"),
        ([{"a": 1}, {"a": 2}], False, "column 'x' holds {'a': 1"),
        ([[1, 0], [0, 1]], True, "one-hot rows"),
        ([[1, 1], [0, 1]], True, "mark several classes"),
        ([[0.2, 0.8], [0.5, 0.5]], True, "shares of classes that sum to 1"),
        ([{"a": 1}, {"a": 2}], True, "give one class number or name"),
    ],
)
def test_cells_that_hold_several_values_are_told(tmp_path: Path, cells: list, label: bool, told: str) -> None:
    frame = pd.DataFrame({"x": cells * (N // 2), "a": DRAW.normal(size=N), "label": [0, 0, 1, 1] * (N // 4)})
    frame.to_parquet(tmp_path / "t.parquet")
    config = {"label": "x", "input": ("a",)} if label else {}
    with pytest.raises(UsageError, match=told):
        open_data(DataConfig(data=f"table:{tmp_path / 't.parquet'}", **config))


def test_a_table_folder_has_its_splits_under_their_usual_names(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": DRAW.normal(size=N), "label": [0, 1] * (N // 2)})

    def opened(*names: str) -> DataSet:
        place = tmp_path / "-".join(names).replace(".", "_")
        place.mkdir()
        for number, name in enumerate(names):
            part = frame.head(N - 2 * number)
            part.to_parquet(place / name) if name.endswith("parquet") else part.to_csv(place / name, index=False)
        return open_data(DataConfig(data=f"table:{place}"))

    for names in (("training.csv", "testing.csv"), ("train.csv", "val.csv"), ("iris_train.csv", "iris_test.csv")):
        data = opened(*names)
        assert (len(data.train), len(data.test)) == (N, N - 2)
        assert any(repr(names[1]) in note for note in data.notes)
    data = opened("train.csv", "test.csv", "val.csv", "more.csv")
    assert len(data.test) == N - 2
    assert any("not read: 'more.csv', 'val.csv'" in note for note in data.notes)
    for names in (("train.csv", "train.parquet"), ("train_a.csv", "train_b.csv"), ("x.csv",), ("test.csv",)):
        with pytest.raises(UsageError, match=r"several files that may be its train split|needs a file train.csv"):
            opened(*names)


def test_a_value_that_only_rows_held_out_have_is_noted(tmp_path: Path) -> None:
    frame = pd.DataFrame({"c": list("xy") * (N // 2), "a": DRAW.normal(size=N), "label": [0, 0, 1] * (N // 3)})
    frame.to_csv(tmp_path / "t.csv", index=False)
    config = DataConfig(data=f"table:{tmp_path / 't.csv'}")
    plain = open_data(config)
    held = [row for row in range(N) if np.float32(frame["a"][row]) in rows(plain)[1][:, plain.columns.index("a")]]
    frame.loc[held[:2], "c"] = "z"
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert "column 'c': 'z' stands in 2 test rows and in no training row" in open_data(config).notes
