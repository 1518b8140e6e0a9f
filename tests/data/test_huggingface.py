"""Tables: which split is the test split, what is refused."""

import io
from pathlib import Path

import datasets
import pytest
from PIL import Image

from wcord.checks import UsageError
from wcord.data.config import Columns
from wcord.data.huggingface import hub_source, parquet_source, table_source


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
