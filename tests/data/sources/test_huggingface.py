"""Tables: which split is the test split, what is refused."""

import io
import os
import subprocess
import sys
from pathlib import Path

import datasets
import pyarrow
import pytest
from datasets import ClassLabel, Features, Value
from PIL import Image
from pyarrow import parquet

from wcord.checks import UsageError
from wcord.data.config import DataConfig
from wcord.data.opening import open_data
from wcord.data.samples import ReadRequest
from wcord.data.sources import huggingface
from wcord.data.sources.huggingface import (
    class_names,
    hub_source,
    image_column,
    label_column,
    parquet_source,
    table_source,
)
from wcord.data.stores import ColumnImages


def table(labels: list[int]) -> datasets.Dataset:
    buffer = io.BytesIO()
    Image.new("L", (4, 4)).save(buffer, "PNG")
    rows = {"image": [{"bytes": buffer.getvalue(), "path": None}] * len(labels), "label": labels}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    return datasets.Dataset.from_dict(rows, features=features)


def test_a_test_split_with_its_labels_kept_back_gives_way_to_validation() -> None:
    tables = datasets.DatasetDict(train=table([0, 1, 0]), test=table([-1, -1]), validation=table([1, 0]))
    source = table_source(tables, "x", ReadRequest())
    assert source.test is not None
    assert source.test.targets.tolist() == [1, 0]
    assert source.classes == ("0", "1")


def test_without_any_labeled_test_split_there_is_none() -> None:
    assert table_source(datasets.DatasetDict(train=table([0, 1])), "x", ReadRequest()).test is None


def test_tables_that_cannot_serve_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no split named 'train'; it has test"):
        table_source(datasets.DatasetDict(test=table([0, 1])), "x", ReadRequest())
    with pytest.raises(UsageError, match=r"needs files named train\*\.parquet; it holds no \.parquet file"):
        parquet_source(str(tmp_path), ReadRequest())
    (tmp_path / "train.parquet").write_bytes(b"no table")
    with pytest.raises(UsageError, match="cannot be loaded"):
        parquet_source(str(tmp_path), ReadRequest())
    with pytest.raises(UsageError, match=r"hub data set .* cannot be loaded"):
        hub_source(str(tmp_path / "none"), ReadRequest())
    assert datasets.are_progress_bars_disabled() is False


def folder(place: Path) -> Path:
    place.mkdir()
    table([0, 1, 0, 1]).to_parquet(place / "train-00000-of-00002.parquet")
    table([1, 1]).to_parquet(place / "train-00001-of-00002.parquet")
    table([1, 0]).to_parquet(place / "test.parquet")
    return place


def test_a_parquet_folder_is_not_copied(tmp_path: Path) -> None:
    place, home = folder(tmp_path / "set"), tmp_path / "home"
    home.mkdir()
    home.chmod(0o500)
    code = f"""
from wcord.data.config import DataConfig
from wcord.data.opening import open_data
data = open_data(DataConfig(data="parquet:{place}"))
print(len(data.train), len(data.test), data.train.targets.tolist(), data.train.shape)
"""
    where = {"HOME": str(home), "HF_HUB_OFFLINE": "1", "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=where, check=True)
    assert done.stdout.strip() == "6 2 [0, 1, 0, 1, 1, 1] (1, 4, 4)"
    assert not any(path.suffix == ".arrow" for path in home.rglob("*"))


def test_of_a_large_one_a_copy_is_written_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface, "MEMORY_LIMIT", 10)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    source = parquet_source(str(folder(tmp_path / "set")), ReadRequest())
    assert source.notes == (f"the parquet files, 0.0 GiB, are copied to {tmp_path / 'cache'}",)
    assert source.train.targets.tolist() == [0, 1, 0, 1, 1, 1]


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"bytes": None, "path": None},
        {"bytes": None, "path": ""},
        *({"bytes": None, "path": path} for path in ("/dev/zero", "/dev/stdin", "/", "none.png", "/etc/hostname")),
    ],
)
def test_rows_without_a_picture_are_told(tmp_path: Path, value: dict[str, object] | None) -> None:
    kind = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
    whole = table([0]).with_format("arrow")[:]["image"][0].as_py()
    rows = {"image": pyarrow.array([whole, whole, value], kind), "label": pyarrow.array([0, 1, 0])}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    parquet.write_table(pyarrow.table(rows).cast(features.arrow_schema), tmp_path / "train.parquet")
    source = parquet_source(str(tmp_path), ReadRequest())
    store = source.train.store
    assert isinstance(store, ColumnImages)
    assert isinstance(store.encoded(2), bytes)
    with pytest.raises(UsageError, match=r"image in row 2 of the train split cannot be read"):
        open_data(DataConfig(data=f"parquet:{tmp_path}"))


IMAGE = datasets.Image()
TABLE = Features({"picture": IMAGE, "kind": ClassLabel(names=["a", "b"]), "number": Value("int64")})


def test_clear_columns_are_found() -> None:
    assert image_column(TABLE, ()) == "picture"
    assert label_column(TABLE, None, "picture") == "kind"
    assert class_names(TABLE, "kind") == ["a", "b"]
    assert class_names(TABLE, "number") is None


def test_files_without_the_hubs_metadata() -> None:
    raw = Features(
        {"img": {"bytes": Value("binary"), "path": Value("string")}, "label": Value("int64"), "x": Value("int64")}
    )
    assert image_column(raw, ()) == "img"
    assert label_column(raw, None, "img") == "label"
    assert image_column(Features({"data": Value("binary"), "y": Value("int8")}), ()) == "data"


def test_several_and_none_are_told_with_the_choices() -> None:
    two = Features(
        {
            "a": datasets.Image(),
            "b": datasets.Image(),
            "fine": ClassLabel(num_classes=3),
            "coarse": ClassLabel(num_classes=2),
        }
    )
    with pytest.raises(UsageError, match=r"several image columns, choose one: --input a \| b"):
        image_column(two, ())
    with pytest.raises(UsageError, match=r"several label columns, choose one: --label fine \| coarse"):
        label_column(two, None, "a")
    assert label_column(two, "coarse", "a") == "coarse"
    with pytest.raises(UsageError, match="unknown label column 'corse': did you mean 'coarse'"):
        label_column(two, "corse", "a")
    bare = Features({"width": Value("float32")})
    with pytest.raises(UsageError, match="no image column; its columns: width"):
        image_column(bare, ())
    with pytest.raises(UsageError, match="no label column; its columns: width"):
        label_column(bare, None, "")
