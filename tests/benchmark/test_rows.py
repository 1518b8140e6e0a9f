"""Rows have names, folders and whole configurations."""

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

import pytest

from wcord.benchmark.rows import (
    PLACE,
    Place,
    Row,
    TeacherRun,
    choose,
    find_row,
    flat_settings,
    has_data,
    parse_overrides,
    recipe,
)
from wcord.benchmark.suite import Suite, read_suite
from wcord.checks import UsageError
from wcord.training.config import DistillConfig, TrainConfig, configure, setting_names


def test_a_row_says_everything_that_a_run_needs() -> None:
    suite = read_suite("mini")
    row = Row(suite, suite.pairs[0], "crd_uniform", 2)
    assert row.name == "mini/resnet14x2-resnet8/crd_uniform"
    place = Place(out=Path("out"), data="parquet:there", device="cpu", override={"precision": "bf16", "workers": 1})
    config = row.config(place, Path("t.pth"))
    assert (config.teacher, config.student, config.teacher_weights) == ("resnet14x2", "resnet8", Path("t.pth"))
    assert (config.method, config.set) == ("crd", ("crd.negatives=uniform",))
    assert (config.data.data, config.data.label, config.data.subset) == ("parquet:there", "fine_label", 100.0)
    assert (config.training.epochs, config.training.seed, config.training.channels_last) == (30, 2, True)
    assert (config.training.precision, config.data.workers, config.training.device) == ("bf16", 1, "cpu")
    assert config.training.teacher_cache == Path("out/teacher_cache")
    assert config.out == row.folder(Path("out")) == Path("out/mini/resnet14x2-resnet8/crd_uniform/seed2")


def test_a_teacher_is_trained_like_the_students_but_for_what_the_suite_says() -> None:
    training = TeacherRun(read_suite("mini"), "resnet14x2")
    config = training.config(Place(out=Path("out"), data="parquet:there", override={"epochs": 1}))
    assert (config.model, config.data.image_size, config.training.channels_last) == ("resnet14x2", 16, True)
    assert (config.training.lr, config.training.epochs, config.training.seed) == (0.1, 1, 0)
    assert training.weights(Path("out")) == Path("out/mini/teachers/resnet14x2/student.safetensors")
    assert config.out == training.folder(Path("out"))


def test_views_are_the_students_only_where_the_suite_says_so() -> None:
    suite = read_suite("strong")
    place = Place(out=Path("out"), data="parquet:there")
    assert Row(suite, suite.pairs[0], "lskd", 0).config(place, None).data.views == 2
    teacher = TeacherRun(suite, "wrn_40_2").config(place)
    assert (teacher.data.views, teacher.training.epochs) == (1, 240)


def test_a_suite_without_trained_teachers_says_so() -> None:
    with pytest.raises(UsageError, match="imagenet trains no teachers"):
        TeacherRun(read_suite("imagenet"), "timm:resnet34").config(Place(out=Path()))


def test_choice_by_flag_or_folder_one_seed_before_the_next(tiny: Suite) -> None:
    rows = choose(tiny, pairs=["resnet14:resnet8"], methods=["warm", "wcord+kd"], seeds=[5, 3, 5])
    assert [(row.label, row.seed) for row in rows] == [("warm", 5), ("wcord+kd", 5), ("warm", 3), ("wcord+kd", 3)]
    assert choose(tiny, pairs=["resnet14-resnet8"]) == choose(tiny)
    assert [(row.label, row.seed) for row in choose(tiny)] == [("ce", 0), ("kd", 0), ("ce", 1), ("kd", 1)]
    with pytest.raises(UsageError, match="unknown pair of tiny 'resnet14:resnet9'"):
        choose(tiny, pairs=["resnet14:resnet9"])
    with pytest.raises(UsageError, match="unknown method 'kdd'"):
        choose(tiny, methods=["kdd"])


def test_what_was_published_for_a_pair_alone_goes_to_the_rows_that_hold_the_method() -> None:
    suite = read_suite("crd13")
    pair = next(pair for pair in suite.pairs if pair.flag == "resnet56:resnet20")
    place = Place(out=Path("out"), data="parquet:there")
    assert Row(suite, pair, "dkd+wcord", 0).config(place, None).set == ("dkd.beta=2",)
    assert Row(suite, pair, "reviewkd", 0).config(place, None).set == ("reviewkd.weight=0.6",)
    assert Row(suite, pair, "crd_uniform", 0).config(place, None).set == ("crd.negatives=uniform",)
    assert Row(suite, suite.pairs[5], "dkd", 0).config(place, None).set == ()


def test_options_of_one_row_go_to_no_sum() -> None:
    suite = read_suite("imagenet")
    place = Place(out=Path("out"), data="imagefolder:there")
    options = {label: suite.settings(suite.pairs[0], label).set for label in ("kd", "wcord+kd", "dkd")}
    assert options["kd"] == ("ce.weight=0.5", "kd.weight=0.5", "kd.temperature=1")
    assert options["wcord+kd"] == ()
    assert options["dkd"] == ("dkd.beta=0.5", "dkd.temperature=1", "dkd.warmup=0")
    assert Row(suite, suite.pairs[1], "dkd", 0).config(place, None).set[0] == "dkd.beta=2"


def test_where_splits_go_by_seed_each_seed_has_its_teacher_and_its_split() -> None:
    suite = read_suite("privileged_columns")
    place = Place(out=Path("runs"), device="cpu")
    for row in choose(suite, methods=["kd"], seeds=[0, 3]):
        config, teacher = row.config(place, None), row.teacher.config(place)
        assert config.data.split_seed == teacher.data.split_seed == teacher.training.seed == row.seed
        assert row.teacher.folder(place.out) == Path(f"runs/privileged_columns/teachers/mlp64x2.seed{row.seed}")
        assert len(config.data.input) == 4
        assert teacher.data.input == ()
        assert config.allow_weak_teacher  # its split counts as well; elsewhere a weak teacher is most often a mistake
    mini = read_suite("mini")
    assert not Row(mini, mini.pairs[0], "kd", 0).config(place, None).allow_weak_teacher


@pytest.mark.parametrize("table", [{"teacher": {"data": {"view": "gray"}}}, {"teacher_view": "gray"}])
def test_a_suite_says_what_the_teacher_sees(table: dict[str, Any]) -> None:
    suite = dataclasses.replace(read_suite("mini"), distill=table)
    config = Row(suite, suite.pairs[0], "kd", 0).config(Place(out=Path("r"), teacher_data="npz:t"), None)
    assert (config.teacher, config.teacher_data) == (suite.pairs[0].teacher, {"view": "gray", "data": "npz:t"})


def test_the_teachers_data_may_be_others() -> None:
    suite = read_suite("mini")
    place = Place(out=Path("runs"), data="npz:student", teacher_data="npz:teacher")
    (row,) = choose(suite, methods=["kd"], seeds=[0])
    assert row.config(place, None).data.data == "npz:student"
    assert row.config(place, None).teacher_data["data"] == "npz:teacher"
    assert row.teacher.config(place).data.data == "npz:teacher"


def test_a_recipe_and_the_flags_of_a_place_give_the_row() -> None:
    suite = read_suite("mini")
    row = find_row(suite, "mini/resnet14x2-resnet8/wcord+kd/seed1")
    assert row == Row(suite, suite.pairs[0], "wcord+kd", 1)
    place = Place(out=Path("out"), data="parquet:there")
    settings = tomllib.loads(recipe(row, Place(out=Path("other"))))
    assert "data" not in settings["data"]
    assert not {"out", "teacher_weights"} & settings.keys()
    flags = {"data": "parquet:there", "out": "out/row", "teacher_weights": "t.pth"}
    config = configure(DistillConfig, {**settings, **{k: v for k, v in flags.items() if k != "data"}})
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, data="parquet:there"))
    expected = row.config(place, Path("t.pth"))
    training = dataclasses.replace(expected.training, teacher_cache=None)
    assert config == dataclasses.replace(expected, out=Path("out/row"), training=training)


def test_teachers_have_recipes_too() -> None:
    suite = read_suite("mini")
    row = find_row(suite, "teachers/resnet14x2")
    assert row == TeacherRun(suite, "resnet14x2")
    settings = tomllib.loads(recipe(row, Place(out=Path("out"), data="parquet:there")))
    config = configure(TrainConfig, {**settings, "out": "run"})
    assert (config.model, config.training.epochs, config.data.data) == ("resnet14x2", 40, "parquet:there")


def test_the_data_stands_in_a_recipe_where_it_is_known(tiny: Suite) -> None:
    place = Place(out=Path())
    assert has_data(tiny, place)
    assert tomllib.loads(recipe(find_row(tiny, "resnet14-resnet8/kd"), place))["data"]["data"] == "digits"
    assert not has_data(read_suite("mini"), place)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("kd", "a row is named tiny/TEACHER-STUDENT/METHOD"),
        ("tiny/resnet14-resnet8/kd/seed0/more", "a row is named"),
        ("resnet15-resnet8/kd", "unknown pair of tiny 'resnet15-resnet8'"),
        ("resnet14-resnet8/kdd", "unknown method 'kdd'"),
        ("teachers/resnet8", "unknown teacher of tiny 'resnet8'"),
    ],
)
def test_wrong_names_get_one_line(tiny: Suite, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_row(tiny, name)


def test_overrides_are_settings_of_data_and_training() -> None:
    assert parse_overrides(["lr=0.1", "milestones=[0.5]", "augment=none"]) == {
        "lr": 0.1,
        "milestones": [0.5],
        "augment": "none",
    }
    with pytest.raises(UsageError, match="is not of the form NAME=VALUE"):
        parse_overrides(["epochs"])
    with pytest.raises(UsageError, match="unknown setting to override 'epoch': did you mean 'epochs'"):
        parse_overrides(["epoch=3"])
    for own in ("seed=3", "data=digits", "method=kd"):
        with pytest.raises(UsageError, match="unknown setting to override"):
            parse_overrides([own])


def test_settings_are_flat_and_what_is_not_set_is_left_out() -> None:
    given = {"teacher": "resnet14", "student": "resnet8", "out": Path("o"), "data": "digits", "epochs": 3}
    flat = flat_settings(configure(DistillConfig, given))
    assert (flat["data"], flat["epochs"], flat["out"], flat["milestones"]) == ("digits", 3, "o", [0.625, 0.75, 0.875])
    assert not {"lr", "training", "teacher_weights"} & flat.keys()


def test_what_belongs_to_a_place_is_a_setting() -> None:
    assert set(setting_names(DistillConfig)) >= PLACE


def test_a_variant_may_train_otherwise_than_its_suite() -> None:
    place = Place(out=Path("out"), data="npz:x")
    rows = choose(read_suite("mini"), methods=["sskd", "ft"], seeds=[0])
    assert [row.config(place, None).training.preparation_epochs for row in rows] == [8, 4]
    assert len({row.suite.settings(row.pair, row.label) for row in rows}) == 2
