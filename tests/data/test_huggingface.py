"""Tables: which split is the test split, what is refused."""

import io
import os
import subprocess
import sys
from pathlib import Path

import datasets
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from wcord.checks import UsageError
from wcord.data import huggingface
from wcord.data.config import Columns, DataConfig
from wcord.data.huggingface import hub_source, parquet_source, table_source
from wcord.data.sources import open_data
from wcord.data.stores import ColumnImages


def table(labels: list[int]) -> datasets.Dataset:
    buffer = io.BytesIO()
    Image.new("L", (4, 4)).save(buffer, "PNG")
    rows = {"image": [{"bytes": buffer.getvalue(), "path": None}] * len(labels), "label": labels}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    return datasets.Dataset.from_dict(rows, features=features)


def test_a_test_split_with_its_labels_kept_back_gives_way_to_validation() -> None:
    tables = datasets.DatasetDict(train=table([0, 1, 0]), test=table([-1, -1]), validation=table([1, 0]))
    source = table_source(tables, "x", Columns())
    assert source.test is not None
    assert source.test.targets.tolist() == [1, 0]
    assert source.classes == ("0", "1")


def test_without_any_labelled_test_split_there_is_none() -> None:
    assert table_source(datasets.DatasetDict(train=table([0, 1])), "x", Columns()).test is None


def test_tables_that_cannot_serve_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no split named 'train'; it has test"):
        table_source(datasets.DatasetDict(test=table([0, 1])), "x", Columns())
    with pytest.raises(UsageError, match=r"needs files named train\*\.parquet; it holds no \.parquet file"):
        parquet_source(str(tmp_path), Columns())
    (tmp_path / "train.parquet").write_bytes(b"no table")
    with pytest.raises(UsageError, match="cannot be loaded"):
        parquet_source(str(tmp_path), Columns())
    with pytest.raises(UsageError, match=r"hub data set .* cannot be loaded"):
        hub_source(str(tmp_path / "none"), Columns())
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
from wcord.data.sources import open_data
data = open_data(DataConfig(data="parquet:{place}"))
print(len(data.train), len(data.test), data.train.targets.tolist(), data.train.shape)
"""
    where = {"HOME": str(home), "HF_HUB_OFFLINE": "1", "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=where, check=True)
    assert done.stdout.strip() == "6 2 [0, 1, 0, 1, 1, 1] (1, 4, 4)"
    assert not any(path.suffix == ".arrow" for path in home.rglob("*"))


def test_of_a_large_one_a_copy_is_written_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface, "HELD", 10)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    source = parquet_source(str(folder(tmp_path / "set")), Columns())
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
    source = parquet_source(str(tmp_path), Columns())
    store = source.train.store
    assert isinstance(store, ColumnImages)
    assert isinstance(store.encoded(2), bytes)
    with pytest.raises(UsageError, match=r"image in row 2 of the train split cannot be read"):
        open_data(DataConfig(data=f"parquet:{tmp_path}"))
