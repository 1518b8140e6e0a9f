"""Columns that tell rows apart: left out with a note, seen where they are named, and no feature is taken for one."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wcord.checks import UsageError
from wcord.data.config import DataConfig
from wcord.data.opening import open_data
from wcord.data.sources.identifiers import is_identifier, left_out

N = 60
DRAW = np.random.default_rng(0)
LABEL = np.sort(DRAW.choice(["x", "y"], N))
SHUFFLED = DRAW.permutation(N)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Unnamed: 0", range(N)),
        ("Unnamed: 0", range(1, N + 1)),
        ("Unnamed: 0", SHUFFLED),
        ("index", range(N)),
        ("__index_level_0__", SHUFFLED * 3 + 1),
        ("row", range(0, 10 * N, 10)),
        ("measured", np.linspace(0, 1, N)),
        ("counter", range(N, 0, -1)),
        ("number_of_case", SHUFFLED + 1000),
        ("patient_id", DRAW.choice(10**7, N, replace=False)),
        ("PassengerId", DRAW.choice(10**7, N, replace=False).astype(float)),
        ("record no", DRAW.choice(10**7, N, replace=False)),
        ("uuid", [f"{n:032x}" for n in DRAW.choice(10**7, N, replace=False)]),
        ("file", [f"scans/{n}.png" for n in SHUFFLED]),
        ("store_id", list(range(30)) * 2),
        ("row", np.arange(N) // 2),
        ("sample_index", np.arange(N) // 2),
        ("Unnamed: 0", [*range(N // 2), *range(N // 2)]),
        ("index", [*range(35), *range(N - 35)]),
        ("split", ["train", "test", "val"] * (N // 3)),
        ("fold", ["Training", "Validation"] * (N // 2)),
        ("label.1", LABEL),
        ("species", np.where(LABEL == "x", "cat", "dog")),
        ("code", np.where(LABEL == "x", 1, 2)),
        ("outcome2", (LABEL == "x").astype(float)),
        ("LABEL", (LABEL == "y").astype(int)),
        ("died", np.where(LABEL == "x", "yes", "")),
        ("copy", [None, *np.where(LABEL == "x", "p", "q")[1:]]),
        ("target", DRAW.normal(size=N)),
        ("class", [f"{name}{n % 2}" for n, name in enumerate(LABEL)]),
        ("Target", LABEL),
    ],
)
def test_what_tells_rows_apart_is_left_out_and_seen_where_it_is_named(tmp_path: Path, name: str, values) -> None:
    frame = pd.DataFrame({name: list(values), "width": DRAW.normal(size=N), "label": LABEL})
    out, notes = left_out(frame, [name, "width"], "label")
    assert list(out) == [name]
    assert len(notes) == 1
    frame.to_csv(tmp_path / "t.csv", index=False)
    data = open_data(DataConfig(data=f"table:{tmp_path / 't.csv'}", label="label"))
    assert data.columns == ("width",)
    remedy = "--input" if name not in ("split", "fold") else "train.csv and test.csv"
    assert any(f"not inputs: {name!r} (" in note and remedy in note for note in data.notes)
    if frame[name].dtype.kind in "if":
        assert open_data(DataConfig(data=f"table:{tmp_path / 't.csv'}", label="label", input=(name,))).columns == (
            name,
        )


@pytest.mark.parametrize(
    ("name", "values", "noted"),
    [
        ("income", DRAW.choice(10**7, N, replace=False), True),
        ("age", np.sort(DRAW.normal(size=N)), True),
        ("heat_index", list(range(30)) * 2, True),
        ("block", np.arange(N) // 2, True),
        ("age", DRAW.integers(18, 80, N), False),
        ("acid", DRAW.normal(size=N), False),
        ("id", [0, 1, 2] * (N // 3), False),
        ("zone", list("abc") * (N // 3), False),
        ("index", DRAW.normal(size=N), False),
    ],
)
def test_features_are_seen(name: str, values, noted: bool) -> None:
    frame = pd.DataFrame({name: list(values), "width": DRAW.normal(size=N), "label": LABEL})
    out, notes = left_out(frame, [name, "width"], "label")
    assert not out
    assert any(repr(name) in note for note in notes) == noted


def test_columns_that_go_with_the_label_are_told_apart_from_rows() -> None:
    width = DRAW.normal(size=N)
    three = pd.DataFrame({"kind": list("abc") * (N // 3), "width": width})
    three["is_a"] = (three["kind"] == "a").astype(int)
    three["fine"] = three["kind"] + pd.Series([str(n // 3 % 2) for n in range(N)])
    out, (note,) = left_out(three, ["width", "is_a", "fine"], "kind")
    assert not out
    assert "may reveal the label: 'is_a' (is decided by it in every row), 'fine' (decides it in every row)" in note
    two = pd.DataFrame({"label": LABEL, "y": width, "class": list("abc") * (N // 3)})
    out, (note,) = left_out(two, ["y", "class"], "label")
    assert not out
    assert "input columns that may reveal the label: 'y' (is named as a label is), 'class'" in note
    few = pd.DataFrame({"label": [0, 1] * 4, "b": [True, False] * 4, "target": ["p", "q"] * 4})
    assert list(left_out(few, ["b", "target"], "label")[0]) == ["target"]


def test_pandas_own_index_is_left_out_wherever_it_comes_from(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": DRAW.normal(size=N), "label": LABEL})
    frame.to_csv(tmp_path / "c.csv")
    frame.to_csv(tmp_path / "r.csv", header=["a", "label"], index_label=False)  # as R writes it
    frame.sample(frac=1, random_state=0).to_parquet(tmp_path / "p.parquet")
    for name in ("c.csv", "r.csv", "p.parquet"):
        assert open_data(DataConfig(data=f"table:{tmp_path / name}")).columns == ("a",), name


def test_a_table_of_nothing_else_is_refused_if_a_name_gives_it_away(tmp_path: Path) -> None:
    for name, columns in (("id", None), ("Unnamed: 0", None), ("when", ("when",))):
        pd.DataFrame({name: range(N), "label": LABEL}).to_csv(tmp_path / "t.csv", index=False)
        if columns is None:
            with pytest.raises(UsageError, match=r"no input column besides the label but .* \(counts the rows\)"):
                open_data(DataConfig(data=f"table:{tmp_path / 't.csv'}"))
        else:
            data = open_data(DataConfig(data=f"table:{tmp_path / 't.csv'}"))
            assert data.columns == columns
            assert any("may identify rows: 'when'" in note for note in data.notes)
    assert not is_identifier("number")
