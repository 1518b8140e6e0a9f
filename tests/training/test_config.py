"""Settings from recipes: by name, typed, unknown names refused, and back to the same TOML."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.data.config import PairingConfig
from wcord.training.config import (
    DistillConfig,
    TrainConfig,
    changed,
    configure,
    learning_rate,
    read_config,
    read_recipe,
    setting_names,
    setting_values,
    to_toml,
)

BASE = {"teacher": "resnet14", "student": "resnet8", "out": "runs/x"}


def test_flat_names_and_tables_give_the_same() -> None:
    flat = configure(DistillConfig, BASE | {"epochs": 3, "data": "digits", "subset": 0.5})
    nested = configure(DistillConfig, BASE | {"training": {"epochs": 3}, "data": {"data": "digits", "subset": 0.5}})
    assert flat == nested
    assert flat.training.epochs == 3
    assert flat.out == Path("runs/x")


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown setting 'epoch': did you mean 'epochs'"):
        configure(DistillConfig, BASE | {"epoch": 3})
    with pytest.raises(UsageError, match=r"unknown setting in \[training\] 'lrr'"):
        configure(DistillConfig, BASE | {"training": {"lrr": 3}})


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": "many"}, "epochs must be a whole number between 1 and 1000000, received 'many'"),
        ({"epochs": True}, "epochs must be a whole number"),
        ({"schedule": "stepp"}, "schedule must be one of step, cosine, constant"),
        ({"milestones": 0.5}, "milestones must be a list"),
        ({"lr": "fast"}, "lr must be a finite number above 0"),
    ],
)
def test_values_of_another_type_are_refused(setting: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        configure(DistillConfig, BASE | setting)


def test_missing_settings_are_named() -> None:
    with pytest.raises(UsageError, match="missing setting 'student': give --student"):
        configure(DistillConfig, {"teacher": "resnet14", "out": "x"})


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "epochs": st.integers(1, 500),
            "lr": st.floats(1e-6, 10),
            "milestones": st.lists(st.floats(0.01, 1), max_size=4, unique=True).map(sorted),
            "method": st.sampled_from(["kd", "wcord+kd"]),
            "subset": st.floats(0.01, 500),
            "teacher_weights": st.just("a/b.pth"),
            "set": st.lists(st.just("kd.temperature=2"), max_size=1),
            "skip_bad_images": st.booleans(),
        },
    )
)
def test_saved_configuration_gives_itself_back(settings: dict[str, object]) -> None:
    import tomllib

    config = configure(DistillConfig, BASE | settings)
    assert configure(DistillConfig, tomllib.loads(to_toml(config))) == config


def test_recipe_that_is_no_toml_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("epochs = = 3")
    with pytest.raises(UsageError, match="is not valid TOML"):
        read_recipe(tmp_path / "bad.toml")
    with pytest.raises(UsageError, match="does not exist"):
        read_recipe(tmp_path / "none.toml")


def test_learning_rate_follows_the_benchmark_rule() -> None:
    training = configure(TrainConfig, {"model": "x", "out": "y"}).training
    assert learning_rate(training, "resnet20") == 0.05
    assert learning_rate(training, "ShuffleV2") == 0.01
    adamw = configure(TrainConfig, {"model": "x", "out": "y", "optimizer": "adamw"}).training
    assert learning_rate(adamw, "resnet20") == 1e-3
    given_rate = configure(TrainConfig, {"model": "x", "out": "y", "lr": 0.3}).training
    assert learning_rate(given_rate, "ShuffleV2") == 0.3


def test_every_setting_is_named_once() -> None:
    names = setting_names(DistillConfig)
    assert len(names) == len(set(names))
    assert {"data", "epochs", "method", "label"} <= set(names)


OF_TEACHER = {"view": "gray", "input": ("a", "b"), "data": "table:t.csv", "image_size": 32}
"""What a teacher sees otherwise."""


@pytest.mark.parametrize(
    "recipe",
    [
        """
        teacher = "t"
        teacher_weights = "w.pth"
        teacher_view = "gray"
        teacher_input = ["a", "b"]
        teacher_data = "table:t.csv"
        teacher_image_size = 32
        student = "s"
        student_view = "edges"
        unpaired = "drop"
        """,
        """
        teacher = { model = "t", weights = "w.pth" }
        [teacher_data]
        view = "gray"
        input = ["a", "b"]
        data = "table:t.csv"
        image_size = 32
        [student]
        model = "s"
        data = { view = "edges" }
        [pairing]
        unpaired = "drop"
        """,
        """
        [teacher]
        model = "t"
        weights = "w.pth"
        [teacher.data]
        view = "gray"
        input = ["a", "b"]
        data = "table:t.csv"
        image_size = 32
        [student]
        model = "s"
        view = "edges"
        [pairing]
        unpaired = "drop"
        """,
        # As earlier versions saved it.
        """
        teacher = "t"
        teacher_weights = "w.pth"
        student = "s"
        [data]
        view = "edges"
        [pairing]
        teacher_view = "gray"
        teacher_input = ["a", "b"]
        teacher_data = "table:t.csv"
        teacher_image_size = 32
        unpaired = "drop"
        """,
    ],
)
def test_what_the_teacher_sees_is_one_table_however_it_is_written(tmp_path: Path, recipe: str) -> None:
    (tmp_path / "config.toml").write_text(f'out = "runs/x"\n{recipe}')
    config = read_config(tmp_path / "config.toml")
    assert isinstance(config, DistillConfig)
    assert (config.teacher_data, config.pairing) == (OF_TEACHER, PairingConfig(unpaired="drop"))
    assert (config.teacher, config.student, config.data.view) == ("t", "s", "edges")
    assert config.teacher_weights == Path("w.pth")
    (tmp_path / "config.toml").write_text(to_toml(config))
    assert read_config(tmp_path / "config.toml") == config
    assert changed(config, {"teacher_data": "digits"}).teacher_data == OF_TEACHER | {"data": "digits"}


def test_settings_that_the_teacher_has_as_the_student_are_not_set() -> None:
    config = configure(DistillConfig, BASE | {"teacher_view": None, "pairing": {"teacher_input": []}})
    assert config == configure(DistillConfig, BASE)
    assert config.teacher_data == {}
    assert "teacher_data" not in to_toml(config)
    values = setting_values(config)  # as runs of earlier versions noted them
    assert (values["teacher_view"], values["teacher_input"], values["teacher_crop_fraction"]) == (None, (), None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"teacher_data": {"subset": 3}}, r"unknown setting in \[teacher\.data\] 'subset'"),
        ({"teacher_data": {"view": 3}}, "teacher_view must be text, received 3"),
        ({"teacher": {"model": "t", "wieghts": "w.pth"}}, "unknown setting 'teacher_wieghts': did you mean 'teacher_w"),
        ({"teacher_image_size": 0}, "teacher_image_size must be a whole number"),
    ],
)
def test_a_wrong_setting_of_the_teachers_data_is_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        configure(DistillConfig, BASE | settings)


def test_a_name_of_the_student_is_unknown_in_the_table_of_the_teacher() -> None:
    settings = {"teacher": {"model": "resnet14", "student_view": "gray"}, "student": "resnet8", "out": "x"}
    with pytest.raises(UsageError, match="unknown setting 'teacher_student_view'"):
        configure(DistillConfig, settings)


def test_a_number_in_place_of_a_table_is_refused() -> None:
    with pytest.raises(UsageError, match=r"\[training\] must be a table of settings, received 5"):
        configure(DistillConfig, {"teacher": "a", "student": "b", "out": "x", "training": 5})


@pytest.mark.parametrize(
    ("twice", "name"),
    [
        ({"view": "gray", "student_view": "edges"}, "view"),
        ({"epochs": 3, "training": {"epochs": 4}}, "epochs"),
        ({"teacher_view": "gray", "pairing": {"teacher_view": "edges"}}, "teacher_view"),
    ],
)
def test_a_setting_that_is_set_twice_is_refused(twice: dict[str, object], name: str) -> None:
    with pytest.raises(UsageError, match=f"^{name} is set twice"):
        configure(DistillConfig, {"teacher": "a", "student": "b", "out": "x", **twice})
