"""Every source gives the samples that lie there, and says in one line what is wrong with it."""

import io
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from wcord.checks import UsageError
from wcord.data.config import DataConfig
from wcord.data.opening import from_arrays, open_data

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def png(value: int, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, value if mode == "L" else (value, value, value)).save(buffer, "PNG")
    return buffer.getvalue()


def parquet(folder: Path, *, broken: int | None = None) -> str:
    """Write a data set with two label columns, as CIFAR-100 has, 12 + 6 images."""
    features = datasets.Features(
        {
            "img": datasets.Image(),
            "fine_label": datasets.ClassLabel(names=["a", "b", "c"]),
            "coarse_label": datasets.ClassLabel(names=["x", "y"]),
        }
    )
    for split, count in (("train", 12), ("test", 6)):
        images = [{"bytes": b"no image" if i == broken else png(10 * i), "path": None} for i in range(count)]
        columns = {
            "img": images,
            "fine_label": [i % 3 for i in range(count)],
            "coarse_label": [i % 2 for i in range(count)],
        }
        table = datasets.Dataset.from_dict(columns, features=features)
        table.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return f"parquet:{folder}"


def image_folder(root: Path, *, splits: tuple[str, ...] = ("train", "test"), count: int = 5) -> str:
    for split in splits:
        for level, name in enumerate(("cat", "dog")):
            place = root / split / name
            place.mkdir(parents=True)
            for i in range(count):
                (place / f"{i}.png").write_bytes(png(100 * level + i))
    return f"imagefolder:{root}"


def test_digits_are_split_by_class_and_always_the_same() -> None:
    first, second = open_data(DataConfig()), open_data(DataConfig(split_seed=7))
    assert first.train.shape == (1, 8, 8)
    assert len(first.train) + len(first.test) == 1797
    assert first.classes == tuple("0123456789")
    assert torch.equal(first.test.targets, second.test.targets)
    rows = torch.arange(len(first.train))
    assert torch.equal(first.train.read(rows), second.train.read(rows))
    assert first.train.read(rows).max() == 255


def test_columns_of_a_table_are_found_and_several_labels_are_asked_for(tmp_path: Path) -> None:
    source = parquet(tmp_path)
    with pytest.raises(UsageError, match=r"coarse_label.*fine_label|fine_label.*coarse_label"):
        open_data(DataConfig(data=source))
    data = open_data(DataConfig(data=source, label="fine_label"))
    assert data.classes == ("a", "b", "c")
    assert data.train.targets.tolist() == [i % 3 for i in range(12)]
    images = data.train.read(torch.arange(12))
    assert images.dtype == torch.uint8
    assert images[:, 0, 0, 0].tolist() == [10 * i for i in range(12)]
    coarse = open_data(DataConfig(data=source, label="coarse_label"))
    assert coarse.classes == ("x", "y")
    with pytest.raises(UsageError, match="fine"):
        open_data(DataConfig(data=source, label="fin_label"))


def test_streaming_reads_the_same_as_memory(tmp_path: Path) -> None:
    source = parquet(tmp_path)
    memory = open_data(DataConfig(data=source, label="fine_label", in_memory="yes"))
    stream = open_data(DataConfig(data=source, label="fine_label", in_memory="no"))
    assert type(memory.train) is not type(stream.train)
    rows = torch.tensor([3, 0, 11])
    assert torch.equal(memory.train.read(rows), stream.train.read(rows))


@pytest.mark.parametrize("in_memory", ["yes", "no"])
def test_one_bad_image_is_named_or_left_out_and_counted(tmp_path: Path, in_memory: str) -> None:
    source = parquet(tmp_path, broken=4)

    def read_all() -> None:
        data = open_data(DataConfig(data=source, label="fine_label", in_memory=in_memory))
        data.train.read(torch.arange(len(data.train)))

    with pytest.raises(UsageError, match=r"image in row 4 of the \w+ split.*--skip-bad-images"):
        read_all()
    skipped = open_data(DataConfig(data=source, label="fine_label", in_memory=in_memory, skip_bad_images=True))
    assert len(skipped.train) == 11
    assert 40 not in skipped.train.read(torch.arange(11))[:, 0, 0, 0].tolist()
    assert any("left out 1 of 12" in note for note in skipped.notes)


def test_folders_give_a_class_each(tmp_path: Path) -> None:
    data = open_data(DataConfig(data=image_folder(tmp_path, splits=("train", "val"))))
    assert data.classes == ("cat", "dog")
    assert len(data.train) == len(data.test) == 10
    pixels = data.train.read(torch.arange(10))[:, 0, 0, 0]
    assert torch.equal(pixels >= 100, data.train.targets == 1)


def test_class_folders_without_a_split_hold_a_fifth_out(tmp_path: Path) -> None:
    image_folder(tmp_path, splits=("all",), count=10)
    data = open_data(DataConfig(data=f"imagefolder:{tmp_path / 'all'}"))
    assert (len(data.train), len(data.test)) == (16, 4)
    assert data.test.targets.bincount().tolist() == [2, 2]
    assert any("held out" in note for note in data.notes)


def test_images_of_several_sizes_are_brought_to_one(tmp_path: Path) -> None:
    source = image_folder(tmp_path)
    (tmp_path / "train" / "cat" / "0.png").write_bytes(png(7, (30, 20)))
    assert open_data(DataConfig(data=source)).train.shape == (3, 224, 224)
    assert open_data(DataConfig(data=source, image_size=12)).train.shape == (3, 12, 12)


def test_gray_sets_stay_gray(tmp_path: Path) -> None:
    source = image_folder(tmp_path)
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(png(50, mode="L"))
    assert open_data(DataConfig(data=source)).train.shape == (1, 8, 8)


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    source = image_folder(tmp_path)
    (tmp_path / "train" / "cow").mkdir()
    with pytest.raises(UsageError, match="cow"):
        open_data(DataConfig(data=source))


def test_arrays_and_npz(tmp_path: Path) -> None:
    images = np.arange(20 * 64, dtype=np.uint8).reshape(20, 8, 8)
    labels = np.arange(20) % 2
    np.savez(tmp_path / "a.npz", x_train=images, y_train=labels, x_test=images[:4], y_test=labels[:4])
    data = open_data(DataConfig(data=f"npz:{tmp_path / 'a.npz'}"))
    assert data.train.shape == (1, 8, 8)
    assert torch.equal(data.train.read(torch.arange(20))[:, 0], torch.from_numpy(images))
    assert data.augment == "none"
    np.savez(tmp_path / "b.npz", other=images)
    with pytest.raises(UsageError, match="x_train"):
        open_data(DataConfig(data=f"npz:{tmp_path / 'b.npz'}"))


def test_nan_in_arrays_is_counted_and_placed() -> None:
    values = np.zeros((6, 1, 4, 4), np.float32)
    values[[2, 5], 0, 1, 1] = np.nan
    with pytest.raises(UsageError, match=r"NaN.*2|2.*NaN"):
        from_arrays(values, np.arange(6) % 2)


def test_unknown_and_missing_sources_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'imagefolder'"):
        open_data(DataConfig(data="imgfolder:x"))
    for data in (f"parquet:{tmp_path / 'none'}", f"imagefolder:{tmp_path / 'none'}", f"npz:{tmp_path / 'none.npz'}"):
        with pytest.raises(UsageError, match="none"):
            open_data(DataConfig(data=data))
    with pytest.raises(UsageError, match="CIFAR100"):
        open_data(DataConfig(data=f"torchvision:CIFAR100@{tmp_path}"))


def test_a_local_set_of_the_hub_opens_by_name(tmp_path: Path) -> None:
    parquet(tmp_path)
    data = open_data(DataConfig(data=f"hub:{tmp_path}", label="fine_label"))
    assert len(data.train) == 12


@pytest.mark.data
@pytest.mark.skipif(not (SHARED / "cifar100").is_dir(), reason="CIFAR-100 does not lie beside the project")
def test_cifar100_as_it_lies_on_the_hub() -> None:
    data = open_data(DataConfig(data=f"parquet:{SHARED / 'cifar100'}", label="fine_label", in_memory="no"))
    assert (len(data.train), len(data.test), data.train.shape) == (50_000, 10_000, (3, 32, 32))
    assert data.classes[:3] == ("apple", "aquarium_fish", "baby")
    assert data.train.targets.bincount().tolist() == [500] * 100
    assert data.augment == "crop-flip"
