"""A row's recipe gives the row's configuration back."""

import dataclasses
import tomllib
from pathlib import Path

import pytest

from wcord.benchmark.recipe import find_row, has_data, parse_overrides, recipe
from wcord.benchmark.rows import Place, Row, TeacherRun
from wcord.benchmark.suite import Suite
from wcord.benchmark.suite_file import read_suite
from wcord.checks import UsageError
from wcord.training.config import DistillConfig, TrainConfig, configure


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
