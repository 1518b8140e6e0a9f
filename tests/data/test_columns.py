"""Image and label columns are found where they are clear, and asked for where they are not."""

import pytest
from datasets import ClassLabel, Features, Image, Value

from wcord.checks import UsageError
from wcord.data.columns import class_names, image_column, label_column

TABLE = Features({"picture": Image(), "kind": ClassLabel(names=["a", "b"]), "number": Value("int64")})


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
    two = Features({"a": Image(), "b": Image(), "fine": ClassLabel(num_classes=3), "coarse": ClassLabel(num_classes=2)})
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
