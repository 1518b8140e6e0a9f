"""Which parquet files are the splits of one data set; several data sets and missing parts are refused."""

from pathlib import Path

import pytest

from wcord.checks import UsageError
from wcord.data.sources.parquet_files import find_splits


def found(root: Path, *names: str) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    splits, notes = find_splits(str(root))
    return {split: [path.relative_to(root).as_posix() for path in paths] for split, paths in splits.items()}, notes


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (["train.parquet"], ["test.parquet"]),
        (["data/train-00000-of-00001-a1b2.parquet"], ["data/test-00000-of-00001-c3d4.parquet"]),
        (["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"], ["test-0.parquet"]),
        (["default/train/0000.parquet", "default/train/0001.parquet"], ["default/test/0000.parquet"]),
        (["default/partial-train/0000.parquet"], ["default/partial-test/0000.parquet"]),
        (["train/part-00000-7f.snappy.parquet"], ["test/part-00000-7f.snappy.parquet"]),
        (["train/year=2019/0.parquet", "train/year=2020/0.parquet"], ["test/year=2020/0.parquet"]),
        (["Train/train-0.parquet"], ["Test/test-0.parquet"]),
        (["train_0.parquet", "train_1.parquet"], ["test_0.parquet"]),
    ],
)
def test_layouts(tmp_path: Path, train: list[str], test: list[str]) -> None:
    assert found(tmp_path, *train, *test) == ({"train": train, "test": test}, ())


@pytest.mark.parametrize(
    "name",
    [
        "train_small-00000-of-00001.parquet",
        "trainval.parquet",
        "training_extra-0.parquet",
        "train-clean-100.parquet",
        "extra/all.parquet",
        "train/small.parquet",
        ".cache/train-0.parquet",
    ],
)
def test_others_are_passed_over_with_a_note(tmp_path: Path, name: str) -> None:
    splits, notes = found(tmp_path, "train.parquet", name)
    assert splits == {"train": ["train.parquet"]}
    assert all(f"skipped: 1 parquet files ({name})" == note for note in notes)
    assert notes or name.startswith(".")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["plain/train-0.parquet", "rotated/train-0.parquet"], r"parquet:.*/plain \| parquet:.*/rotated"),
        (["plain/train/0000.parquet", "rotated/train/0000.parquet"], r"parquet:.*/plain \| parquet:.*/rotated"),
        (["train/plain/0000.parquet", "train/rotated/0000.parquet"], "leave one of them there"),
        (["train.parquet", "small/train.parquet"], r"\('\.', 'small'\): leave one of them there"),
        (["train-00000-of-00003.parquet", "train-00002-of-00003.parquet"], "lacks 1 of the 3 parts.* number 00001"),
        (["train-00000-of-00001.parquet", "test-00001-of-00002.parquet"], "lacks 1 of the 2 parts of its test split"),
        (["train-00000-of-00001.parquet", "train-00000-of-00002.parquet"], "a train split in 1 and 2 parts"),
        (["train-00000-of-00001.parquet", "train-00000-of-00001-a.parquet"], "a part of its train split twice"),
        (["train-00000-of-00001.parquet", "train.parquet"], "a part of its train split twice"),
        (["0000.parquet"], r"needs files named train\*\.parquet; it holds 0000\.parquet"),
    ],
)
def test_what_is_no_single_data_set_is_refused(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        found(tmp_path, *names)


def test_validation_is_read_where_there_is_no_test_and_a_file_is_no_folder(tmp_path: Path) -> None:
    assert found(tmp_path, "train.parquet", "val.parquet")[0]["validation"] == ["val.parquet"]
    with pytest.raises(UsageError, match="is a file: name its folder"):
        find_splits(str(tmp_path / "train.parquet"))
