"""Settings from recipes: by name, typed, unknown names refused, and back to the same TOML."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.training.config import (
    DistillConfig,
    TrainConfig,
    configure,
    learning_rate,
    read_recipe,
    setting_names,
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
