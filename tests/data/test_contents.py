"""Data are known again wherever they lie and however they are read; whatever changes in them is told."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from wcord.data.config import DataConfig, PairingConfig
from wcord.data.contents import contents_of, difference, fingerprint
from wcord.data.dataset import DataSet
from wcord.data.opening import from_arrays, open_data
from wcord.data.split import MemorySplit, Split

CLASSES = ("ant", "bee", "cat")


def folder(root: Path, count: int = 6, suffix: str = "bmp") -> Path:
    """Make class folders of pictures that are all of one size in bytes."""
    generator = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in CLASSES:
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = generator.integers(0, 256, (8, 8, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{i}.{suffix}")
    return root


def opened(root: Path, **settings: object) -> DataSet:
    return open_data(replace(DataConfig(data=f"imagefolder:{root}"), **settings))


def swap(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "one more": (
        lambda root: shutil.copy(root / "train/ant/0.bmp", root / "train/ant/9.bmp"),
        "train split had 18 samples and now has 19",
    ),
    "one fewer to test on": (
        lambda root: (root / "test/cat/5.bmp").unlink(),
        "test split had 18 samples and now has 17",
    ),
    "two classes exchanged": (
        lambda root: swap(root / "train/ant", root / "train/bee"),
        "train split holds other samples",
    ),
    "two files exchanged": (
        lambda root: swap(root / "test/ant/0.bmp", root / "test/ant/1.bmp"),
        "test split holds other samples",
    ),
    "a file renamed": (
        lambda root: (root / "train/ant/0.bmp").rename(root / "train/ant/00.bmp"),
        "files of other names",
    ),
    "a class renamed": (
        lambda root: [(root / split / "cat").rename(root / split / "cow") for split in ("train", "test")],
        "classes have other names",
    ),
    "a file moved to another class": (
        lambda root: (root / "train/ant/0.bmp").rename(root / "train/bee/a.bmp"),
        "train split holds files of other names",
    ),
    "pixels replaced in place": (
        lambda root: Image.new("RGB", (8, 8)).save(root / "train/cat/3.bmp"),
        "train split holds other samples, though as many",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_in_a_folder_is_told(tmp_path: Path, change: str) -> None:
    root = folder(tmp_path / "set")
    begun = contents_of(opened(root))
    alter, told = CHANGES[change]
    alter(root)
    assert told in (difference(begun, contents_of(opened(root))) or "")


def test_place_memory_size_and_view_do_not_count(tmp_path: Path) -> None:
    root = folder(tmp_path / "set")
    begun = contents_of(opened(root))
    shutil.copytree(root, tmp_path / "far" / "away" / "set")
    for settings in ({}, {"in_memory": "no"}, {"image_size": 4}, {"view": "gray"}, {"workers": 0, "augment": "none"}):
        assert contents_of(opened(tmp_path / "far" / "away" / "set", **settings)) == begun


def test_other_samples_of_the_same_files_are_others(tmp_path: Path) -> None:
    root = folder(tmp_path / "set")
    begun, now = (contents_of(opened(root, holdout=0.5, split_seed=seed)) for seed in (0, 1))
    assert difference(begun, now) == "train split holds files of other names"
    assert difference(begun, begun) is None


@pytest.mark.parametrize(
    ("alter", "told"),
    [
        (lambda x, y: (x[1:], y[1:]), "train split had 24 samples and now has 23"),
        (lambda x, y: (x[::-1], y), "train split holds other samples"),
        (lambda x, y: (x, (y + 1) % 3), "train split has other labels"),
        (lambda x, y: (x, np.array(["u", "v", "w"])[y]), "classes have other names"),
        (lambda x, y: (np.where(x == x.max(), x / 2, x), y), "train split holds other samples"),
    ],
)
def test_arrays_are_known_by_what_they_hold(alter: Callable, told: str) -> None:
    x = np.random.default_rng(0).random((30, 1, 5, 5)).astype(np.float32)
    y = np.arange(30) % 3
    begun = contents_of(from_arrays(x[:24], y[:24], x[24:], y[24:]))
    assert difference(begun, contents_of(from_arrays(x[:24], y[:24], x[24:], y[24:]))) is None
    changed = alter(x[:24], y[:24])
    labels = y[24:] if changed[1].dtype.kind != "U" else np.array(["u", "v", "w"])[y[24:]]
    assert told in (difference(begun, contents_of(from_arrays(*changed, x[24:], labels))) or "")


def test_numbers_count_to_their_last_bit() -> None:
    x = torch.full((6, 1, 3, 3), 0.3)
    nearly = torch.nextafter(x, torch.ones(1))
    y = torch.arange(6) % 2
    one, again, other = (
        contents_of(DataSet(MemorySplit(v, y), MemorySplit(v, y), ("a", "b"), "x", "none"))
        for v in (x, x.clone(), nearly)
    )
    assert difference(one, again) is None
    assert difference(one, other) == "train split holds other samples, though as many"


def parquet(root: Path, values: list[int]) -> DataSet:
    import io

    def png(value: int) -> bytes:
        out = io.BytesIO()
        Image.new("L", (4, 4), value).save(out, "BMP")
        return out.getvalue()

    root.mkdir()
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    for split in ("train", "test"):
        rows = {
            "image": [{"bytes": png(v), "path": None} for v in values],
            "label": [i % 2 for i in range(len(values))],
        }
        datasets.Dataset.from_dict(rows, features=features).to_parquet(str(root / f"{split}-0.parquet"))
    return open_data(DataConfig(data=f"parquet:{root}"))


def test_parquet_is_known_by_its_bytes(tmp_path: Path) -> None:
    begun = contents_of(parquet(tmp_path / "a", [1, 2, 3, 4]))
    assert difference(begun, contents_of(parquet(tmp_path / "b", [1, 2, 3, 4]))) is None
    told = difference(begun, contents_of(parquet(tmp_path / "c", [1, 2, 3, 5])))
    assert told == "train split holds other samples, though as many"


def test_what_the_teacher_sees_counts_too(tmp_path: Path) -> None:
    mine, theirs = folder(tmp_path / "mine"), folder(tmp_path / "theirs")
    both = DataConfig(data=f"imagefolder:{mine}"), {"data": f"imagefolder:{theirs}"}, PairingConfig(pair_by="path")
    begun = contents_of(open_data(*both))
    Image.new("RGB", (8, 8)).save(theirs / "test" / "cat" / "3.bmp")
    told = difference(begun, contents_of(open_data(*both)))
    assert told == "teacher's test split holds other samples, though as many"


class Drawn(Split):
    """A split of one's own, which may give other images at each reading."""

    def __init__(self) -> None:
        self.targets, self.shape = torch.arange(6) % 2, (1, 4, 4)

    def read(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.rand(len(rows), *self.shape)


def test_splits_of_ones_own_are_known_by_their_labels() -> None:
    one, other = (contents_of(DataSet(Drawn(), Drawn(), ("a", "b"), "own", "none")) for _ in range(2))
    assert difference(one, other) is None


def test_a_table_with_its_columns(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,label\n" + "".join(f"{i},{i * i % 7},{i % 2}\n" for i in range(40)))
    begun = contents_of(open_data(DataConfig(data=f"table:{tmp_path / 't.csv'}")))
    narrow = contents_of(open_data(DataConfig(data=f"table:{tmp_path / 't.csv'}", input=("a",))))
    assert "columns" in (difference(begun, narrow) or "")
    (tmp_path / "t.csv").write_text("a,b,label\n" + "".join(f"{i},{i * i % 5},{i % 2}\n" for i in range(40)))
    again = contents_of(open_data(DataConfig(data=f"table:{tmp_path / 't.csv'}")))
    assert difference(begun, again) == "train split holds other samples, though as many"


@pytest.mark.parametrize(
    ("dtype", "shift"), [(np.float64, 60.0), (np.float64, 2.0**-20), (np.float32, 2.0**-20), (np.int64, 1)]
)
def test_numbers_count_as_they_are_stored(dtype: type, shift: float) -> None:
    base = 1.7e9 if dtype is not np.float32 else 0.5
    values = (base + np.arange(24)[:, None] + np.zeros((24, 3))).astype(dtype)

    def contents(values: np.ndarray) -> dict[str, Any]:
        store = torch.from_numpy(values)[:, :, None, None]
        rows = torch.arange(len(store))
        return {"train": fingerprint((store, rows))}

    signs = np.where(np.arange(24)[:, None] % 2, 1, -1)
    assert contents(values) == contents(values.copy())
    assert contents(values) != contents((values + signs * dtype(shift)).astype(dtype))


def test_what_an_earlier_version_noted_otherwise_is_passed_over(tmp_path: Path) -> None:
    now = contents_of(opened(folder(tmp_path / "set")))
    before = {**now, "train": {k: v for k, v in now["train"].items() if k != "content"} | {"samples_hold": "x"}}
    assert difference(before, now) is None
    before["train"]["labels"] = "others"
    assert difference(before, now) == "train split has other labels"


def test_files_beside_the_data_are_compared(tmp_path: Path) -> None:
    now = contents_of(opened(folder(tmp_path / "set"))) | {"files": {"label_map": "a"}}
    assert difference(now, now | {"files": {"label_map": "b"}}) == "file of --label-map holds something else"
    assert difference({name: value for name, value in now.items() if name != "files"}, now) is None
    taught = now | {"teacher": now}
    begun = taught | {"teacher": now | {"train": now["train"] | {"labels": "others"}}}
    assert difference(begun, taught) == "teacher's train split has other labels"
