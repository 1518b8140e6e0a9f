"""What the teacher sees of each of the student's samples, however the two are found together, and bad pairs told."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from wcord.checks import UsageError
from wcord.data.config import DataConfig, PairingConfig
from wcord.data.dataset import DataSet, Partner
from wcord.data.loader import Loader
from wcord.data.opening import open_data
from wcord.data.pairing import crossing


def folder(root: Path, names: dict[str, int], *, size: int = 8, deep: bool = False) -> str:
    """Write one-colored pictures: path below the root → value."""
    for name, value in names.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((size, size), value, np.uint16) if deep else np.full((size, size, 3), value, np.uint8)
        Image.fromarray(pixels).save(path)
    return f"imagefolder:{root}"


def pictures(offset: int = 0, *, prefix: str = "", kind: str = "png") -> dict[str, int]:
    """Return twelve training and six test pictures of two classes, each of its own value."""
    found = {}
    for split, count in (("train", 12), ("test", 6)):
        for i in range(count):
            value = (20 if split == "train" else 150) + 2 * i
            found[f"{split}/{'ab'[i % 2]}/{prefix}{split}{i:02d}.{kind}"] = value + offset
    return found


def inputs(
    data: DataSet, name: str = "train", *, augment: str = "none"
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return what student and teacher see of a whole split, and the targets."""
    split = data.train if name == "train" else data.test
    loader = Loader(split, batch_size=len(split), partner=data.partner(name), augment=augment)
    (batch,) = loader.batches()
    return batch.student_input, batch.teacher_input, batch.target


def unseen(data: DataSet) -> tuple[int, int]:
    """Return the sizes of the splits, of which the teacher sees the training samples alone, and that is said."""
    assert len(data.of_teacher.train) == len(data.train)
    assert len(data.of_teacher.test) == 0
    assert len([note for note in data.notes if note.startswith("the teacher sees none of the test samples")]) == 1
    return len(data.train), len(data.test)


def test_two_views_of_one_record_are_read_once() -> None:
    data = open_data(DataConfig(view="resize=4"), {"view": "edges"})
    assert data.train.shape == (1, 4, 4)
    assert data.of_teacher.train.shape == (1, 8, 8)
    assert data.train.base is data.of_teacher.train.base
    batch = next(Loader(data.train, batch_size=5, shuffle=True, partner=data.partner("train")).batches())
    assert batch.student_input.shape == (5, 1, 4, 4)
    whole = open_data(DataConfig()).train.read(batch.index).float() / 255 if batch.index is not None else None
    assert whole is not None
    assert torch.allclose(
        batch.student_input, torch.nn.functional.interpolate(whole, (4, 4), mode="bilinear", antialias=True)
    )


def test_no_pairing_leaves_one_input() -> None:
    data = open_data(DataConfig(), {})
    assert data.teacher is None
    assert data.of_teacher is data
    seen, taught, _ = inputs(data, "test")
    assert taught is seen


@pytest.mark.parametrize("augment", ["shift", "crop-flip", "resized-crop"])
def test_shared_augmentation_shows_both_the_same_crop(augment: str) -> None:
    config = DataConfig()
    views = {"view": "resize=4"}
    both = open_data(config, views)
    seen, taught, _ = inputs(both, augment=augment)
    small = torch.nn.functional.interpolate(seen, (4, 4), mode="bilinear", antialias=True)
    assert torch.allclose(small, taught, atol=1e-6)
    apart = open_data(config, {"view": "resize=8"}, PairingConfig(pair_augment="separate"))
    seen, taught, _ = inputs(apart, augment=augment)
    assert not torch.allclose(seen, taught)


def test_shared_augmentation_of_folders_of_two_sizes(tmp_path: Path) -> None:
    rows = np.linspace(0, 255, 32, dtype=np.uint8)
    large = np.stack(
        [np.broadcast_to(rows[:, None], (32, 32)), np.broadcast_to(rows, (32, 32)), np.zeros((32, 32))], -1
    )
    for size, root in ((32, tmp_path / "large"), (16, tmp_path / "small")):
        for i in range(12):
            path = root / "ab"[i % 2] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(large.astype(np.uint8)).resize((size, size), Image.Resampling.BOX).save(path)
    pairing = {"data": f"imagefolder:{tmp_path / 'large'}"}, PairingConfig(pair_by="stem")
    data = open_data(DataConfig(data=f"imagefolder:{tmp_path / 'small'}"), *pairing)
    seen, taught, _ = inputs(data, augment="crop-flip")
    near = torch.nn.functional.interpolate(taught, (16, 16), mode="area")
    assert (near - seen).abs().mean() < 0.03  # a crop that may be half a small pixel off
    assert (near[0] - seen[1]).abs().mean() > 0.03 or (near[1] - seen[2]).abs().mean() > 0.03


def test_folders_are_paired_by_stem_whatever_their_order(tmp_path: Path) -> None:
    student = folder(tmp_path / "s", pictures())
    names = pictures(offset=5)
    # Other classes' folders and another type of file: only the stem counts.
    moved = {
        f"{path.split('/')[0]}/{'z' if value % 3 else 'y'}/{Path(path).stem}.bmp": value
        for path, value in names.items()
    }
    teacher = folder(tmp_path / "t", moved, size=12)
    data = open_data(DataConfig(data=student), {"data": teacher}, PairingConfig(pair_by="stem"))
    for split in ("train", "test"):
        seen, taught, _ = inputs(data, split)
        assert torch.equal((taught[:, 0, 0, 0] * 255).round(), (seen[:, 0, 0, 0] * 255).round() + 5)
        assert taught.shape[2:] == (12, 12)


def test_folders_are_paired_by_path_where_stems_repeat(tmp_path: Path) -> None:
    names = {
        f"{split}/{kind}/{i}.png": 20 * i + (7 if kind == "b" else 0)
        for split in ("train", "test")
        for kind in "ab"
        for i in range(4)
    }
    student = folder(tmp_path / "s", names)
    teacher = folder(tmp_path / "t", {name: value + 1 for name, value in names.items()})
    data = open_data(DataConfig(data=student), {"data": teacher}, PairingConfig(pair_by="path"))
    seen, taught, _ = inputs(data)
    assert torch.equal((taught * 255).round(), (seen * 255).round() + 1)
    with pytest.raises(
        UsageError,
        match=r"the student's train split has 4 names that occur more than once: '0', '1', '2', …; .*--pair-by path",
    ):
        open_data(DataConfig(data=student), {"data": teacher}, PairingConfig(pair_by="stem"))


def test_missing_partners_are_listed_and_left_out_on_request(tmp_path: Path) -> None:
    student = folder(tmp_path / "s", pictures())
    some = {path: value for path, value in pictures(offset=1).items() if "train03" not in path and "test01" not in path}
    teacher = folder(tmp_path / "t", some | {"train/a/stranger.png": 3})
    config = DataConfig(data=student)
    message = (
        r"1 train samples of the student's data have no partner: 'train03'; "
        r"1 train samples of the teacher's data have no partner: 'stranger'; .*--unpaired drop"
    )
    with pytest.raises(UsageError, match=message):
        open_data(config, {"data": teacher}, PairingConfig(pair_by="stem"))
    data = open_data(config, {"data": teacher}, PairingConfig(pair_by="stem", unpaired="drop"))
    assert (len(data.train), len(data.test)) == (11, 5)
    assert any(
        "left out: 1 test samples of the student's data have no partner: 'test01'" in note for note in data.notes
    )
    seen, taught, _ = inputs(data)
    assert torch.equal((taught * 255).round(), (seen * 255).round() + 1)


def test_no_partner_at_all_is_told_with_both_sides_names(tmp_path: Path) -> None:
    student = folder(tmp_path / "s", pictures())
    teacher = folder(tmp_path / "t", pictures(prefix="x"))
    with pytest.raises(
        UsageError, match=r"no sample of the student's train split has a partner: .*'train00'.*'xtrain00'"
    ):
        open_data(DataConfig(data=student), {"data": teacher}, PairingConfig(pair_by="stem", unpaired="drop"))


def test_unreadable_pictures_are_left_out_with_their_partners(tmp_path: Path) -> None:
    student, teacher = folder(tmp_path / "s", pictures()), folder(tmp_path / "t", pictures(offset=1))
    (tmp_path / "s/train/a/train02.png").write_bytes(b"no picture")
    (tmp_path / "t/train/b/train05.png").write_bytes(b"no picture")
    config = DataConfig(data=student, skip_bad_images=True)
    data = open_data(config, {"data": teacher}, PairingConfig(pair_by="stem"))
    assert len(data.train) == len(data.of_teacher.train) == 10
    seen, taught, _ = inputs(data)
    assert torch.equal((taught * 255).round(), (seen * 255).round() + 1)


def test_rows_are_paired_in_order_where_there_are_as_many(tmp_path: Path) -> None:
    one, two, short = tmp_path / "one.npz", tmp_path / "two.npz", tmp_path / "short.npz"
    images, labels = np.arange(20, dtype=np.uint8)[:, None, None].repeat(8, 1).repeat(8, 2), np.arange(20) % 2
    np.savez(one, x_train=images, y_train=labels)
    np.savez(two, x_train=images + 100, y_train=labels)
    np.savez(short, x_train=images[:19], y_train=labels[:19])
    data = open_data(DataConfig(data=f"npz:{one}"), {"data": f"npz:{two}"})
    for split in ("train", "test"):
        seen, taught, _ = inputs(data, split)
        assert torch.equal((taught * 255).round(), (seen * 255).round() + 100)
    with pytest.raises(
        UsageError, match=r"student's train split has 20 samples and the teacher's 19: .*--pair-by stem"
    ):
        open_data(DataConfig(data=f"npz:{one}"), {"data": f"npz:{short}"})
    with pytest.raises(UsageError, match=r"cannot be paired by stem: that needs a folder of files"):
        open_data(DataConfig(data=f"npz:{one}"), {"data": f"npz:{two}"}, PairingConfig(pair_by="stem"))


def test_two_columns_of_one_table(tmp_path: Path) -> None:
    def table(count: int, first: int) -> datasets.Dataset:
        values = range(first, first + count)
        color = [Image.fromarray(np.full((6, 6, 3), value, np.uint8)) for value in values]
        depth = [Image.fromarray(np.full((6, 6), 1000 + value, np.uint16)) for value in values]
        columns = {"rgb": color, "depth": depth, "label": [value % 2 for value in values]}
        kinds = datasets.Features(rgb=datasets.Image(), depth=datasets.Image(), label=datasets.Value("int64"))
        return datasets.Dataset.from_dict(columns, features=kinds)

    table(12, 10).to_parquet(tmp_path / "train.parquet")
    table(6, 100).to_parquet(tmp_path / "test.parquet")
    config = DataConfig(data=f"parquet:{tmp_path}", input=("depth",))
    data = open_data(config, {"input": ("rgb",)})
    assert (data.train.shape, data.of_teacher.train.shape) == ((1, 6, 6), (3, 6, 6))
    seen, taught, target = inputs(data)
    assert torch.equal((seen[:, 0, 0, 0] * 65535).round() - 1000, (taught[:, 0, 0, 0] * 255).round())
    assert torch.equal(target, torch.arange(12) % 2)


@pytest.mark.parametrize("settings", [{}, {"in_memory": "no"}, {"skip_bad_images": True}])
def test_the_teachers_column_may_be_empty_in_the_test_table(tmp_path: Path, settings: dict[str, Any]) -> None:
    kinds = datasets.Features(low=datasets.Image(), high=datasets.Image(), label=datasets.Value("int64"))
    for split, size in (("train", 8), ("test", 0)):
        low = [Image.new("L", (4, 4), 10 * i) for i in range(6)]
        high = [Image.new("L", (size, size), 10 * i) if size else None for i in range(6)]
        table = datasets.Dataset.from_dict({"low": low, "high": high, "label": [0, 1] * 3}, features=kinds)
        table.to_parquet(tmp_path / f"{split}.parquet")
    config = DataConfig(data=f"parquet:{tmp_path}", input=("low",), **settings)
    data = open_data(config, {"input": ("high",)})
    assert unseen(data) == (6, 6)
    assert data.of_teacher.train.shape == (1, 8, 8)


def test_rows_of_another_split_are_no_partners(tmp_path: Path) -> None:
    """A test split whose labels are kept back is skipped, but then the next one is not the student's."""
    kinds = datasets.Features(image=datasets.Image(), label=datasets.Value("int64"))
    for side, hidden in (("s", False), ("t", True)):
        for split in ("train", "test", "val"):
            labels = [-1] * 6 if hidden and split == "test" else [0, 1] * 3
            columns = {"image": [Image.new("L", (4, 4), i) for i in range(6)], "label": labels}
            datasets.Dataset.from_dict(columns, features=kinds).to_parquet(tmp_path / side / f"{split}.parquet")
    student = DataConfig(data=f"parquet:{tmp_path / 's'}")
    assert unseen(open_data(student, {"data": f"parquet:{tmp_path / 't'}"})) == (6, 6)
    # Data of another kind have one test split, whatever its name.
    arrays = {f"x_{split}": np.zeros((6, 4, 4), np.uint8) for split in ("train", "test")}
    np.savez(tmp_path / "t.npz", **arrays, y_train=[0, 1] * 3, y_test=[0, 1] * 3)
    data = open_data(student, {"data": f"npz:{tmp_path / 't.npz'}"})
    assert len(data.of_teacher.test) == len(data.test) == 6


def test_tables_are_joined_on_a_key_column(tmp_path: Path) -> None:
    rows = 30
    frame = pd.DataFrame({"id": range(rows), "x": np.arange(rows) / 10, "label": np.arange(rows) % 2})
    frame.to_csv(tmp_path / "student.csv", index=False)
    other = pd.DataFrame({"id": range(rows), "w": np.arange(rows) * 3.0, "z": 1.0, "label": np.arange(rows) % 2})
    other.sample(frac=1, random_state=0).to_csv(tmp_path / "teacher.csv", index=False)
    config = DataConfig(data=f"table:{tmp_path / 'student.csv'}")
    pairing = {"data": f"table:{tmp_path / 'teacher.csv'}"}, PairingConfig(join="id")
    data = open_data(config, *pairing)
    assert (data.train.shape, data.of_teacher.train.shape) == ((1, 1, 1), (2, 1, 1))
    seen, taught, _ = inputs(data)
    assert torch.allclose(seen[:, 0] * 30, taught[:, 0])
    other.loc[3, "id"] = 4
    other.to_csv(tmp_path / "teacher.csv", index=False)
    with pytest.raises(UsageError, match=r"the teacher's train split has 1 names that occur more than once: '4'"):
        open_data(config, *pairing)
    with pytest.raises(UsageError, match=r"unknown column 'idd': did you mean 'id'"):
        open_data(config, pairing[0], PairingConfig(join="idd"))


def test_a_row_of_the_student_meets_the_later_visits_in_the_teachers_table(tmp_path: Path) -> None:
    subjects = [f"s{i}" for i in range(20)]
    first = pd.DataFrame({"who": subjects, "x": np.arange(20.0), "label": np.arange(20) % 2})
    first.to_csv(tmp_path / "first.csv", index=False)
    rows = [
        {"who": who, "when": v, "x": i + 100.0 * v, "label": i % 2}
        for i, who in enumerate(subjects)
        for v in (2, 1, 0)[: 1 + i % 3]
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "all.csv", index=False)
    config = DataConfig(data=f"table:{tmp_path / 'first.csv'}")
    teacher, join = f"table:{tmp_path / 'all.csv'}", PairingConfig(join="who")
    data = open_data(config, {"data": teacher, "visits_of": "who", "order_by": "when"}, join)
    assert (data.train.shape, data.of_teacher.train.shape) == ((1, 1, 1), (1, 3, 1))
    seen, taught, _ = inputs(data)
    for row, visits in zip(seen.flatten().tolist(), taught[:, 0, :, 0].tolist(), strict=True):
        number = round(row)
        wanted = sorted(number + 100.0 * v for v in (2, 1, 0)[: 1 + number % 3])
        assert [visit for visit in visits if visit == visit] == wanted
    with pytest.raises(UsageError, match="unknown column 'whom': did you mean 'who'"):
        open_data(config, {"data": teacher, "visits_of": "whom", "order_by": "when"}, join)
    with pytest.raises(UsageError, match="visits_of and order_by go together"):
        open_data(config, {"data": teacher, "visits_of": "who"}, join)
    for column in ("who", ""):
        with pytest.raises(UsageError, match="go with --teacher-data"):
            open_data(config, {"visits_of": column})
    # The other way round: the teacher's table has no visits, though the student's has.
    visits = DataConfig(data=teacher, visits_of="who", order_by="when")
    with pytest.raises(UsageError, match="unknown column 'when'"):
        open_data(visits, {"data": config.data}, join)
    data = open_data(visits, {"data": config.data, "visits_of": ""}, join)
    assert (data.train.shape, data.of_teacher.train.shape) == ((1, 3, 1), (1, 1, 1))


def test_by_label_a_sample_of_the_class_is_drawn_anew_each_epoch(tmp_path: Path) -> None:
    images = np.arange(200, dtype=np.uint8)[:, None, None].repeat(8, 1).repeat(8, 2)
    np.savez(tmp_path / "many.npz", x_train=images, y_train=np.array(["b", "a"])[np.arange(200) % 2])
    np.savez(tmp_path / "few.npz", x_train=images[:20], y_train=np.array(["a", "b"])[np.arange(20) % 2])
    pairing = {"data": f"npz:{tmp_path / 'many.npz'}"}, PairingConfig(pair_by="label")
    data = open_data(DataConfig(data=f"npz:{tmp_path / 'few.npz'}"), *pairing)
    loader = Loader(data.train, batch_size=16, partner=data.partner("train"), seed=3)
    drawn = []
    for epoch in range(2):
        (batch,) = loader.batches(epoch)
        values = (batch.teacher_input[:, 0, 0, 0] * 255).round().long()
        assert torch.equal(1 - values % 2, batch.target)  # class a is 0, and odd in the teacher's set
        drawn.append(values)
    assert not torch.equal(*drawn)
    (again,) = loader.batches(0)
    assert torch.equal((again.teacher_input[:, 0, 0, 0] * 255).round().long(), drawn[0])
    parts = [
        next(Loader(data.train, batch_size=16, partner=data.partner("train"), seed=3, rank=r, world_size=2).batches())
        for r in range(2)
    ]
    assert torch.equal(torch.cat([part.teacher_input for part in parts]), again.teacher_input)


def test_by_label_every_class_needs_a_sample(tmp_path: Path) -> None:
    images = np.zeros((30, 8, 8), np.uint8)
    np.savez(tmp_path / "three.npz", x_train=images, y_train=np.array(["a", "b", "c"])[np.arange(30) % 3])
    np.savez(tmp_path / "two.npz", x_train=images, y_train=np.array(["a", "b"])[np.arange(30) % 2])
    pairing = {"data": f"npz:{tmp_path / 'two.npz'}"}, PairingConfig(pair_by="label")
    with pytest.raises(UsageError, match=r"the teacher's lacks 'c' \(it has 'a', 'b'\)"):
        open_data(DataConfig(data=f"npz:{tmp_path / 'three.npz'}"), *pairing)


def test_a_column_is_refused_where_there_are_none() -> None:
    with pytest.raises(
        UsageError, match=r"--join names a column, which data of kind 'digits' do not have: it goes with hub:, parquet:"
    ):
        open_data(DataConfig(), {"data": "digits"}, PairingConfig(join="id"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pair_by": "label"}, "--pair-by needs --teacher-data"),
        ({"join": "id", "pair_by": "row"}, "--join and --pair-by are two ways"),
    ],
)
def test_a_way_to_pair_that_has_nothing_to_pair_is_refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_data(DataConfig(), {}, PairingConfig(**settings))


def npz(path: Path, count: int, *, labels: int = 2, turned: bool = False, test: int = 0) -> str:
    images = np.arange(count, dtype=np.uint8)[:, None, None].repeat(8, 1).repeat(8, 2)
    numbers = (np.arange(count) + turned) % labels
    more = {"x_test": images[:test], "y_test": numbers[:test]} if test else {}
    np.savez(path, x_train=images, y_train=numbers, **more)
    return f"npz:{path}"


def test_rows_whose_labels_say_otherwise_are_refused(tmp_path: Path) -> None:
    config = DataConfig(data=npz(tmp_path / "s.npz", 20))
    with pytest.raises(UsageError, match=r"20 of 20 train pairs have different labels: .*in different orders"):
        open_data(config, {"data": npz(tmp_path / "t.npz", 20, turned=True)})


def test_rows_are_paired_where_the_student_alone_has_a_test_split(tmp_path: Path) -> None:
    split, whole = npz(tmp_path / "s.npz", 20, test=10), npz(tmp_path / "t.npz", 20)
    data = open_data(DataConfig(data=split), {"data": whole})
    assert unseen(data) == (20, 10)
    with pytest.raises(UsageError, match="the teacher's data have a test split and the student's have none"):
        open_data(DataConfig(data=whole), {"data": split})
    with pytest.raises(UsageError, match="the student's train split has 20 samples and the teacher's 30"):
        open_data(DataConfig(data=split), {"data": npz(tmp_path / "l.npz", 30)})


def to_train_on(offset: int = 0) -> dict[str, int]:
    return {name: value for name, value in pictures(offset).items() if name.startswith("train/")}


@pytest.mark.parametrize("settings", [{}, {"in_memory": "no"}, {"skip_bad_images": True}, {"image_size": 4}])
def test_the_teachers_folder_needs_no_test_samples(tmp_path: Path, settings: dict[str, Any]) -> None:
    student, teacher = folder(tmp_path / "s", pictures()), folder(tmp_path / "t", to_train_on(1), size=16)
    if settings.get("skip_bad_images"):
        (tmp_path / "s" / "test" / "a" / "test00.png").write_bytes(b"no picture")
    config, by_stem = DataConfig(data=student, **settings), PairingConfig(pair_by="stem")
    data = open_data(config, {"data": teacher}, by_stem)
    assert unseen(data) == (12, 5 if settings.get("skip_bad_images") else 6)
    assert data.of_teacher.cut == {}
    seen, taught, _ = inputs(data)
    assert torch.allclose(taught[:, 0, 0, 0] * 255, seen[:, 0, 0, 0] * 255 + 1)
    # Where a part of the training samples is measured on, the teacher sees that.
    held = open_data(replace(config, holdout=0.25), {"data": teacher}, by_stem)
    assert len(held.of_teacher.test) == len(held.test) > 0
    assert not any("sees none" in note for note in held.notes)
    # A training sample of the teacher's that nothing is paired with is told as ever.
    more = folder(tmp_path / "more", to_train_on(1) | {"train/a/more.png": 3})
    with pytest.raises(UsageError, match="1 train samples of the teacher's data have no partner: 'more'"):
        open_data(config, {"data": more}, by_stem)


def test_test_samples_may_have_partners_in_a_folder_without_splits(tmp_path: Path) -> None:
    student = folder(tmp_path / "s", pictures())
    flat = {name.partition("/")[2]: value for name, value in pictures(1).items()}
    config = DataConfig(data=student)
    data = open_data(config, {"data": folder(tmp_path / "w", flat)}, PairingConfig(pair_by="stem"))
    _, taught, _ = inputs(data, "test")
    assert (taught[:, 0, 0, 0] * 255).round().tolist() == [151, 155, 159, 153, 157, 161]
    del flat["b/test05.png"]
    some = folder(tmp_path / "some", flat)
    with pytest.raises(UsageError, match="1 test samples of the student's data have no partner: 'test05'; add them"):
        open_data(config, {"data": some}, PairingConfig(pair_by="stem"))


@pytest.mark.parametrize("way", ["stem", "path"])
def test_a_partner_of_a_training_sample_is_none_of_a_test_sample_of_its_name(tmp_path: Path, way: Any) -> None:
    """Names may begin anew in each split: train/a/0.png and test/a/0.png are two samples."""
    counts = (("train", 6), ("test", 3))
    anew = {f"{split}/{'ab'[i % 2]}/{i}.png": 10 * i for split, count in counts for i in range(count)}
    student = folder(tmp_path / "s", anew)
    teacher = folder(tmp_path / "t", {name: value for name, value in anew.items() if name.startswith("train/")})
    config, pairing = DataConfig(data=student), PairingConfig(pair_by=way)
    assert unseen(open_data(config, {"data": teacher}, pairing)) == (6, 3)
    folder(tmp_path / "s", {"test/a/9.png": 9})
    folder(tmp_path / "t", {"train/a/9.png": 9})
    with pytest.raises(UsageError, match="; 3 of them have a training sample's name and thus no partner"):
        open_data(config, {"data": teacher}, pairing)
    data = open_data(config, {"data": teacher}, replace(pairing, unpaired="drop"))
    assert (len(data.train), len(data.test), len(data.of_teacher.test)) == (6, 1, 1)


def test_unreadable_pictures_are_left_out_on_both_sides_of_one_store(tmp_path: Path) -> None:
    place = folder(tmp_path / "s", pictures())
    (tmp_path / "s" / "train" / "a" / "train00.png").write_bytes(b"no picture")
    data = open_data(DataConfig(data=place, skip_bad_images=True), {"view": "edges"})
    assert (len(data.train), len(data.of_teacher.train), len(data.test), len(data.of_teacher.test)) == (11, 11, 6, 6)
    arrays = DataConfig(data=npz(tmp_path / "s.npz", 20, test=10), skip_bad_images=True)
    data = open_data(arrays, {"data": npz(tmp_path / "t.npz", 20, test=10)})
    assert (len(data.train), len(data.of_teacher.train), len(data.of_teacher.test)) == (20, 20, 10)


def test_by_label_a_class_may_not_be_missing_among_the_partners(tmp_path: Path) -> None:
    data = open_data(DataConfig(data=npz(tmp_path / "s.npz", 30, labels=3)))
    lacking = open_data(DataConfig(data=npz(tmp_path / "t.npz", 30, labels=2)))
    partner = Partner(lacking.train, pairs="label")
    with pytest.raises(UsageError, match="need a sample of each class on the teacher's side"):
        Loader(data.train, batch_size=8, partner=partner)


def test_what_is_held_out_does_not_depend_on_who_has_a_partner(tmp_path: Path) -> None:
    student = folder(
        tmp_path / "s", {name.replace("train/", ""): v for name, v in pictures().items() if "train" in name}
    )
    some = {name.replace("train/", ""): v + 1 for name, v in pictures().items() if "train" in name and "03" not in name}
    teacher = folder(tmp_path / "t", some)
    alone = open_data(DataConfig(data=student))
    paired = open_data(DataConfig(data=student), {"data": teacher}, PairingConfig(pair_by="stem", unpaired="drop"))
    whole = {int(value) for value in alone.test.read(torch.arange(len(alone.test)))[:, 0, 0, 0]}
    kept = {int(value) for value in paired.test.read(torch.arange(len(paired.test)))[:, 0, 0, 0]}
    assert kept <= whole


def test_a_group_is_on_one_side_in_both_tables(tmp_path: Path) -> None:
    rows = 40
    frame = pd.DataFrame({"id": [f"P{i}" for i in range(rows)], "x": range(rows), "label": np.arange(rows) % 2})
    other = frame.rename(columns={"x": "w"}).sample(frac=1, random_state=1)
    for name, each in (("s", frame), ("t", other)):
        each.to_csv(tmp_path / f"{name}.csv", index=False)
    teacher = f"table:{tmp_path / 't.csv'}"
    alone = open_data(DataConfig(data=teacher, group_by="id"))
    both = open_data(
        DataConfig(data=f"table:{tmp_path / 's.csv'}", group_by="id"), {"data": teacher}, PairingConfig(join="id")
    )
    held = [sorted(split.read(torch.arange(len(split))).flatten().tolist()) for split in (alone.test, both.test)]
    assert held[0] == held[1]


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_partners_are_those_in_memory(tmp_path: Path, workers: int) -> None:
    student, teacher = folder(tmp_path / "s", pictures()), folder(tmp_path / "t", pictures(offset=1), size=16)
    pairing = {"data": teacher, "view": "gray"}, PairingConfig(pair_by="stem")
    found = []
    for in_memory in ("yes", "no"):
        data = open_data(DataConfig(data=student, view="resize=4", in_memory=in_memory), *pairing)
        loader = Loader(
            data.train, batch_size=5, shuffle=True, seed=2, augment="crop-flip", workers=workers, views=2,
            partner=data.partner("train"),
        )  # fmt: skip
        found.append(list(loader.batches(1)))
    for held, streamed in zip(*found, strict=True):
        assert torch.equal(held.student_input, streamed.student_input)
        assert torch.equal(held.teacher_input, streamed.teacher_input)
        assert len(held) == 2 * len(set(held.index.tolist())) if held.index is not None else False


@pytest.mark.parametrize("augment", ["auto", "crop-flip"])
def test_rows_of_a_table_are_not_cropped_as_the_students_pictures_are(tmp_path: Path, augment: str) -> None:
    rows = 20
    kinds = datasets.Features(picture=datasets.Image(), id=datasets.Value("int64"), label=datasets.Value("int64"))
    draw = np.random.default_rng(0)
    held = [Image.fromarray(draw.integers(0, 256, (16, 16, 3), np.uint8)) for _ in range(rows)]
    columns = {"picture": held, "id": list(range(rows)), "label": [i % 2 for i in range(rows)]}
    datasets.Dataset.from_dict(columns, features=kinds).to_parquet(tmp_path / "set" / "train.parquet")
    frame = pd.DataFrame({"id": range(rows), "w": np.arange(rows) + 1.0, "label": np.arange(rows) % 2})
    frame.to_csv(tmp_path / "t.csv", index=False)
    data = open_data(
        DataConfig(data=f"parquet:{tmp_path / 'set'}", label="label", augment=augment),
        {"data": f"table:{tmp_path / 't.csv'}", "label": "label"},
        PairingConfig(join="id"),
    )
    assert data.augment == "crop-flip"
    seen, taught, _ = inputs(data, augment=data.augment)
    assert not torch.equal(seen, inputs(data)[0])
    assert torch.equal(taught, inputs(data)[1])
    assert sorted(taught.flatten().tolist()) == sorted(data.of_teacher.train.read(torch.arange(16)).flatten().tolist())
    # The other way round the teacher's pictures stay as they are, too.
    back = open_data(
        DataConfig(data=f"table:{tmp_path / 't.csv'}", label="label"),
        {"data": f"parquet:{tmp_path / 'set'}", "label": "label"},
        PairingConfig(join="id"),
    )
    assert (back.augment, back.of_teacher.augment) == ("none", "none")


def test_data_beside_each_other_share_crops_where_both_are_pictures_or_the_same() -> None:
    def shared(student: DataSet, teacher: DataSet) -> bool:
        partner = student.beside(teacher).partner("train")
        assert partner is not None
        return partner.pairs == "shared"

    table, again = open_data(DataConfig(data="sklearn:iris")), open_data(DataConfig(data="sklearn:iris"))
    assert shared(table, table)
    assert not shared(table, again)
    assert not shared(replace(table, pictures=True), again)
    assert shared(replace(table, pictures=True), replace(again, pictures=True))


def seen_alone(data: DataSet) -> list[str]:
    return [note for note in data.notes if "a teacher that was trained on its own data" in note]


def test_test_samples_that_a_teacher_alone_has_seen_are_counted(tmp_path: Path) -> None:
    flat = {name.replace("train/", ""): v for name, v in pictures().items() if "train" in name}
    student = folder(tmp_path / "s", flat)
    by_stem = PairingConfig(pair_by="stem", unpaired="drop")
    assert seen_alone(open_data(DataConfig(data=student), {"data": folder(tmp_path / "t", flat)}, by_stem)) == []
    # More files of the teacher's: alone it holds out a fifth of those.
    more = flat | {f"{'ab'[i % 2]}/more{i:02d}.png": 90 + i for i in range(18)}
    data = open_data(DataConfig(data=student), {"data": folder(tmp_path / "m", more)}, by_stem)
    alone = open_data(DataConfig(data=f"imagefolder:{tmp_path / 'm'}"))
    held = {int(value) for value in alone.test.read(torch.arange(len(alone.test)))[:, 0, 0, 0]}
    partners = {int(value) for value in data.of_teacher.test.read(torch.arange(len(data.test)))[:, 0, 0, 0]}
    seen = len(partners - held)
    assert seen
    assert seen_alone(data)[0].startswith(
        f"a teacher that was trained on its own data and labels alone has seen {seen} of the {len(partners)} test"
    )
    # It has a test split and the student has none: the partners of held-out samples are what it was trained on.
    split = folder(tmp_path / "split", pictures())
    data = open_data(DataConfig(data=student), {"data": split}, by_stem)
    assert f"has seen {len(data.test)} of the {len(data.test)} test samples" in seen_alone(data)[0]
    # Both have one.
    other = folder(tmp_path / "other", pictures(1))
    assert seen_alone(open_data(DataConfig(data=split), {"data": other}, by_stem)) == []


def test_other_labels_hold_out_other_samples_unless_groups_decide(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"who": range(60), "x": draw.normal(size=60), "a": draw.integers(0, 2, 60)})
    frame["b"] = draw.integers(0, 3, 60)
    frame.to_csv(tmp_path / "t.csv", index=False)
    config = DataConfig(data=f"table:{tmp_path / 't.csv'}", label="a", input=("x",))
    labels = {"label": "b", "input": ("x",)}
    data = open_data(config, labels)
    alone = open_data(replace(config, label="b"))
    own, theirs = ({float(v) for v in each.test.read(torch.arange(len(each.test))).flatten()} for each in (data, alone))
    assert f"has seen {len(own - theirs)} of the {len(own)} test samples" in seen_alone(data)[0]
    assert data.of_teacher.cut == alone.cut
    assert data.of_teacher.cut != data.cut
    assert seen_alone(open_data(replace(config, group_by="who"), labels)) == []


def test_of_a_test_split_without_its_labels_the_teacher_sees_nothing(tmp_path: Path) -> None:
    kinds = datasets.Features(image=datasets.Image(), a=datasets.Value("int64"), b=datasets.Value("int64"))
    for split, label in (("train", 1), ("test", -1)):
        held = [Image.new("L", (8, 8), i) for i in range(8)]
        columns = {"image": held, "a": [0, 1] * 4, "b": [0, label] * 4 if split == "train" else [label] * 8}
        datasets.Dataset.from_dict(columns, features=kinds).to_parquet(tmp_path / f"{split}.parquet")
    config = DataConfig(data=f"parquet:{tmp_path}", label="a")
    assert unseen(open_data(config, {"label": "b"})) == (8, 8)
    held = open_data(DataConfig(data=f"parquet:{tmp_path}", label="a", holdout=0.25), {"label": "b"})
    assert (len(held.train), len(held.test)) == (6, 2)
    # Another split that has them is not the one that the student is measured on.
    (tmp_path / "val.parquet").write_bytes((tmp_path / "train.parquet").read_bytes())
    assert unseen(open_data(config, {"label": "b"})) == (8, 8)


def test_the_teachers_pictures_have_a_size_of_their_own(tmp_path: Path) -> None:
    student, teacher = folder(tmp_path / "s", pictures()), folder(tmp_path / "t", pictures(1), size=32)
    config = DataConfig(data=student, image_size=4, crop_fraction=0.5)
    other, by_stem = {"data": teacher}, PairingConfig(pair_by="stem")
    assert open_data(config, other, by_stem).of_teacher.train.shape == (3, 32, 32)
    data = open_data(config, other | {"image_size": 16, "crop_fraction": 0.5}, by_stem)
    taught = data.of_teacher
    assert (data.train.shape, taught.train.shape, taught.crop_fraction) == ((3, 4, 4), (3, 16, 16), 0.5)
    with pytest.raises(UsageError, match="--teacher-image-size and --teacher-crop-fraction go with --teacher-data"):
        open_data(config, {"image_size": 16})
    with pytest.raises(UsageError, match="--teacher-crop-fraction needs --teacher-image-size"):
        open_data(config, other | {"crop_fraction": 0.5}, by_stem)
    with pytest.raises(UsageError, match="teacher_crop_fraction must be a finite number above 0"):
        open_data(config, other | {"image_size": 16, "crop_fraction": 0.0}, by_stem)


def test_classes_that_the_teachers_data_have_together_already_are_not_merged_there(tmp_path: Path) -> None:
    fine = folder(tmp_path / "s", {f"{'abc'[i % 3]}/{i:02d}.png": i for i in range(30)})
    names = {f"{'axx'[i % 3]}/{i:02d}.png": i for i in range(30)}
    by_stem = PairingConfig(pair_by="stem")
    data = open_data(DataConfig(data=fine, merge=("x=b+c",)), {"data": folder(tmp_path / "t", names)}, by_stem)
    assert data.classes == data.of_teacher.classes == ("a", "x")
    names = {f"{'abb'[i % 3]}/{i:02d}.png": i for i in range(30)}
    data = open_data(DataConfig(data=fine, merge=("b=b+c",)), {"data": folder(tmp_path / "b", names)}, by_stem)
    assert data.classes == data.of_teacher.classes == ("a", "b")


def test_where_the_teachers_groups_are_not_known_nothing_is_claimed(tmp_path: Path) -> None:
    frame = pd.DataFrame({"scan": range(40), "patient": np.arange(40) // 2, "x": range(40), "label": np.arange(40) % 2})
    for name in ("a", "b"):
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    config = DataConfig(data=f"table:{tmp_path / 'a.csv'}", group_by="patient")
    data = open_data(config, {"data": f"table:{tmp_path / 'b.csv'}"}, PairingConfig(join="scan"))
    assert seen_alone(data) == []
    assert data.of_teacher.cut == {}


@pytest.mark.parametrize(
    ("theirs", "others", "apart", "text"),
    [
        ([0, 0, 1, 1], ["eins", "zwei"], False, "'a' with 'eins', 'b' with 'zwei'"),
        ([1, 1, 0, 0], ["eins", "zwei"], False, "'a' with 'zwei', 'b' with 'eins'"),
        ([1, 1, 0, 0], ["0", "1"], False, "'a' with '1', 'b' with '0'"),
        ([0, 1, 2, 3], ["p", "q", "r", "s"], False, "'a' with 'p', 'b' with 'r'"),
        ([0, 1, 0, 1], ["eins", "zwei"], True, "of 'a' are paired with those of 'eins' (1), 'zwei' (1)"),
        ([0, 1, 1, 2], ["p", "q", "r"], True, "at least 1 of 4 train pairs"),
    ],
)
def test_how_classes_meet(theirs: list[int], others: list[str], apart: bool, text: str) -> None:
    found = crossing("train", torch.tensor([0, 0, 1, 1]), torch.tensor(theirs), ["a", "b"], others)
    assert found is not None
    assert found.apart == apart
    assert text in found.text


@pytest.mark.parametrize("others", [["a", "b"], ["b", "a"], ["0", "1"], []])
def test_nothing_is_said_of_the_same_names_of_numbers_in_order_and_of_no_labels(others: list[str]) -> None:
    labels = torch.tensor([0, 0, 1, 1])
    assert crossing("train", labels, labels, ["a", "b"], others) is None


def test_ten_thousand_classes_cost_no_table_of_them() -> None:
    count = 10_000
    own = torch.arange(count).repeat(2)
    names, others = [f"a{n:05}" for n in range(count)], [f"b{n:05}" for n in range(count)]
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        found = crossing("train", own, order[own], names, others)
    assert found is not None
    assert not found.apart
    assert max(event.cpu_memory_usage for event in profile.events()) < 10e6, "a table of them takes 800 MB"
