"""From sources to data sets: what is chosen, what the teacher inherits, what suits the images."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from wcord.checks import UsageError
from wcord.data.assemble import assemble, teacher_config
from wcord.data.config import DataConfig
from wcord.data.opening import from_arrays, open_data
from wcord.data.samples import Source, all_rows


def arrays(count: int = 40, shape: tuple[int, int, int] = (3, 8, 8), *, test: bool = True) -> Source:
    """A source of two classes in memory, each picture of its own value."""
    images = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, *shape)
    split = all_rows(images, torch.arange(count) % 2)
    return Source(split, split if test else None, ("a", "b"), "arrays")


def test_subset_and_holdout_are_stratified_and_reproducible() -> None:
    config = DataConfig(subset=10.0, holdout=0.2, split_seed=3)
    first, again = open_data(config), open_data(config)
    assert first.train.targets.bincount().tolist() == [10] * 10
    rows = torch.arange(len(first.train))
    assert torch.equal(first.train.read(rows), again.train.read(rows))
    whole = open_data(DataConfig())
    held = open_data(DataConfig(holdout=0.25))
    assert len(held.train) + len(held.test) == len(whole.train)
    fractions = held.test.targets.bincount() / whole.train.targets.bincount()
    assert ((fractions - 0.25).abs() < 0.02).all()
    taken = {tuple(image.flatten().tolist()) for image in held.test.read(torch.arange(len(held.test)))}
    left = {tuple(image.flatten().tolist()) for image in held.train.read(torch.arange(len(held.train)))}
    assert len(taken & left) < 3  # the set itself holds a few equal pictures
    with pytest.raises(UsageError, match="subset asks for 1000 images of each class"):
        open_data(DataConfig(subset=1000.0))


def test_without_a_test_split_a_fixed_fifth_of_each_class_is_held_out_and_said_so() -> None:
    data = assemble(arrays(test=False), DataConfig(data="arrays"))
    assert (len(data.train), len(data.test)) == (32, 8)
    assert data.test.targets.bincount().tolist() == [4, 4]
    assert any("a fixed fifth of each class" in note for note in data.notes)
    other = assemble(arrays(test=False), DataConfig(data="arrays", split_seed=1))
    every = torch.arange(8)
    assert not torch.equal(data.test.read(every), other.test.read(every))


@pytest.mark.parametrize(
    ("shape", "augment"), [((3, 32, 32), "crop-flip"), ((1, 28, 28), "shift"), ((3, 96, 120), "resized-crop")]
)
def test_augmentation_suits_the_form_of_the_pictures(shape: tuple[int, int, int], augment: str) -> None:
    assert assemble(arrays(4, shape), DataConfig(data="arrays")).augment == augment
    assert assemble(arrays(4, shape), DataConfig(data="arrays", augment="none")).augment == "none"


def test_nothing_left_to_evaluate_on_is_told() -> None:
    with pytest.raises(UsageError, match="no sample is left to evaluate on: 2 in all"):
        assemble(arrays(2, test=False), DataConfig(data="arrays"))


def test_a_teacher_sees_the_students_data_but_for_what_is_said() -> None:
    config = DataConfig(data="table:s.csv", label="y", input=("x",), view="visits=1", merge=("a=b+c",), subset=5.0,
                        group_by="id", visits_of="id", order_by="when")  # fmt: skip
    same = teacher_config(config, {"input": ("x", "z")})
    assert (same.data, same.input, same.view, same.subset, same.merge) == (
        "table:s.csv", ("x", "z"), None, 5.0, ("a=b+c",)
    )  # fmt: skip
    # Other classes are not merged as the student's are.
    assert teacher_config(config, {"label": "z"}).merge == ()
    table = teacher_config(config, {"data": "table:t.csv"})
    assert (table.input, table.subset, table.group_by, table.visits_of, table.label) == ((), None, None, "id", "y")
    arrays_ = teacher_config(config, {"data": "npz:t.npz"})
    assert (arrays_.visits_of, arrays_.order_by, arrays_.label) == (None, None, None)
    own = teacher_config(config, {"data": "table:t.csv", "visits_of": "who", "order_by": "age"})
    assert (own.visits_of, own.order_by) == ("who", "age")


NAMES = st.sampled_from(["a", "b"])


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "data": st.sampled_from(["digits", "table:t.csv", "imagefolder:p"]),
            "input": st.lists(NAMES).map(tuple),
            "label": NAMES,
            "merge": st.just(("x=a+b",)),
            "group_by": NAMES,
            "visits_of": NAMES,
            "order_by": NAMES,
            "image_size": st.integers(1, 64),
            "crop_fraction": st.floats(0.1, 1),
            "subset": st.floats(0.1, 9),
            "view": st.just("gray"),
        },
    )
)
def test_to_lay_nothing_over_the_students_data_changes_only_the_view(settings: dict[str, Any]) -> None:
    config = DataConfig(**settings)
    assert teacher_config(config, {}) == dataclasses.replace(config, view=None)
    assert teacher_config(config, {"view": config.view or ""}) == config


def test_pictures_and_a_table_of_them_are_one_sample_each(tmp_path: Path) -> None:
    values = np.arange(40, dtype=np.uint8)
    np.savez(tmp_path / "s.npz", x_train=values[:, None, None].repeat(8, 1).repeat(8, 2), y_train=values % 2)
    rows = "\n".join(f"{value},{value % 2}" for value in values)
    (tmp_path / "t.csv").write_text(f"x,label\n{rows}\n")
    pairing = {"data": f"table:{tmp_path / 't.csv'}"}
    data = open_data(DataConfig(data=f"npz:{tmp_path / 's.npz'}"), pairing)
    every = torch.arange(len(data.train))
    assert data.of_teacher.train.shape == (1, 1, 1)
    assert torch.equal(data.train.read(every)[:, 0, 0, 0].float(), data.of_teacher.train.read(every).flatten())


@pytest.mark.parametrize("kind", ["imagefolder", "npz", "table", "own"])
def test_classes_without_samples_in_a_split_are_told(kind: str, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    labels = {"train": np.array(["ant", "bee", "cow"] * 8), "test": np.array(["ant"] * 6)}
    images = {split: draw.integers(0, 256, (len(of), 8, 8), np.uint8) for split, of in labels.items()}
    if kind == "own":
        data = from_arrays(images["train"], labels["train"], images["test"], labels["test"])
    elif kind == "npz":
        sides = (("x", images), ("y", labels))
        np.savez(tmp_path / "a.npz", **{f"{name}_{split}": of[split] for split in labels for name, of in sides})
        data = open_data(DataConfig(data=f"npz:{tmp_path / 'a.npz'}"))
    elif kind == "table":
        for split, of in labels.items():
            rows = [f"{row},{row % 7},{name}" for row, name in enumerate(of)]
            (tmp_path / f"{split}.csv").write_text("\n".join(["one,two,label", *rows]))
        data = open_data(DataConfig(data=f"table:{tmp_path}"))
    else:
        for split, of in labels.items():
            for number, name in enumerate(of):
                (tmp_path / split / name).mkdir(parents=True, exist_ok=True)
                Image.fromarray(images[split][number]).save(tmp_path / split / name / f"{number}.png")
        data = open_data(DataConfig(data=f"imagefolder:{tmp_path}"))
    told = "2 of the 3 classes have no test sample ('bee', 'cow'): nothing is measured of them"
    assert [note for note in data.notes if "of the 3 classes" in note] == [told]


def test_a_class_that_is_too_small_to_be_held_out_is_told() -> None:
    images, labels = np.zeros((21, 8, 8), np.uint8), [0] * 10 + [1] * 10 + [2]
    notes = from_arrays(images, labels, classes=("a", "b", "c")).notes
    assert notes[-1] == "1 of the 3 classes have no test sample ('c'): nothing is measured of them"
