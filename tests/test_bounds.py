"""Settings and their bounds: each has some, and each way in keeps to them."""

import dataclasses
import pkgutil
import typing
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

import wcord.cli
from wcord import api
from wcord.bounds import Ascending, Bounds, Device, File, Name, OnlyWith, SameLength, Text, checked, convert
from wcord.checks import UsageError
from wcord.cli import main
from wcord.cli.evaluate import Evaluate
from wcord.data.config import DataConfig, PairingConfig
from wcord.data.opening import open_data
from wcord.training.config import DistillConfig, TrainConfig, TrainingConfig, configure, declared_settings

RULES = (Bounds, Text)
NAN, INF = float("nan"), float("inf")
RUN = {"model": "resnet8", "out": "runs/x"}


def settings_of_commands() -> Iterator[type]:
    """Every dataclass that a command is parsed into, and those inside."""
    modules = [import_module(f"wcord.cli.{found.name}") for found in pkgutil.iter_modules(wcord.cli.__path__)]
    found = {
        thing
        for module in modules
        for thing in vars(module).values()
        if isinstance(thing, type)
        and dataclasses.is_dataclass(thing)
        and thing.__module__ not in ("wcord.bounds", "wcord.overwriting")
    }
    return iter(sorted(found | {DataConfig, PairingConfig, TrainingConfig}, key=lambda kind: kind.__name__))


def leaves(hint: Any, rules: tuple[object, ...] = ()) -> Iterator[tuple[Any, tuple[object, ...]]]:
    """The plain types in an annotation, each with the rules that surround it."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        yield from leaves(parts[0], (*rules, *parts[1:]))
    elif origin is Literal or not parts:
        yield hint, rules
    else:
        for part in parts:
            yield from leaves(part, rules)


def unbounded(kind: type) -> list[str]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return [
        f"{kind.__name__}.{name}"
        for name, hint in hints.items()
        for leaf, rules in leaves(hint)
        if leaf in (int, float, str, Path) and not any(isinstance(rule, RULES) for rule in rules)
    ]


def test_every_number_and_text_of_every_command_has_declared_bounds() -> None:
    kinds = list(settings_of_commands())
    assert {"TrainConfig", "DistillConfig", "Evaluate", "Resume", "Benchmark"} <= {kind.__name__ for kind in kinds}
    assert [name for kind in kinds for name in unbounded(kind)] == []


def test_a_field_without_bounds_would_be_found() -> None:
    @dataclass(frozen=True)
    class Careless:
        power: float = 1.0
        names: tuple[str, ...] = ()
        fine: Annotated[int, Bounds(0)] | None = None

    assert unbounded(Careless) == ["Careless.power", "Careless.names"]


def numeric_settings() -> list[tuple[str, Any]]:
    return [(name, hint) for name, hint in declared_settings(DistillConfig).items() if _numbers(hint)]


def _numbers(hint: Any) -> bool:
    return any(leaf in (int, float) for leaf, _ in leaves(hint))


def _listed(hint: Any, value: object) -> object:
    return [value] if any(typing.get_origin(part) is tuple for part in (hint, *_inner(hint))) else value


def _inner(hint: Any) -> tuple[Any, ...]:
    parts = [part for part in typing.get_args(hint) if typing.get_args(part)]
    return (*parts, *(inner for part in parts for inner in _inner(part)))


@pytest.mark.parametrize(("name", "hint"), numeric_settings())
@pytest.mark.parametrize("value", [NAN, INF, -INF, True, "x", "", [[]], {}, 10**400, -(10**30)])
def test_no_numeric_setting_takes_what_is_no_number(name: str, hint: Any, value: object) -> None:
    with pytest.raises(UsageError, match=f"^{name} (must|has)"):
        convert(name, _listed(hint, value), hint)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number between 1 and"),
        ({"epochs": 1.5}, "epochs must be a whole number between 1 and 1000000, received 1.5"),
        ({"batch_size": -1}, "batch_size must be"),
        ({"lr": 0}, "lr must be a finite number above 0, received 0"),
        ({"momentum": 1}, "momentum must be a finite number of at least 0 and below 1"),
        ({"weight_decay": -0.1}, "weight_decay must be a finite number of at least 0"),
        ({"milestones": [1.5]}, "milestones must be a finite number above 0 and at most 1"),
        ({"milestones": [0.0, 0.5]}, "milestones must be"),
        ({"milestones": [0.5, 0.5]}, "milestones must rise"),
        ({"milestones": [0.5], "schedule": "cosine"}, "milestones has no effect with schedule = cosine"),
        ({"momentum": 0.5, "optimizer": "adamw"}, "momentum has no effect with optimizer = adamw"),
        ({"warmup_epochs": -1}, "warmup_epochs must be"),
        ({"warmup_epochs": 3, "epochs": 2}, "warmup_epochs must be at most epochs, which is 2, received 3.0"),
        ({"preparation_epochs": -1}, "preparation_epochs must be"),
        ({"ema": 1}, "ema must be a finite number above 0 and below 1"),
        ({"ema": 0}, "ema must be"),
        ({"label_smoothing": 1}, "label_smoothing must be a finite number of at least 0 and below 1"),
        ({"clip_norm": 0}, "clip_norm must be"),
        ({"max_time": 0}, "max_time must be"),
        ({"eval_every": 0}, "eval_every must be"),
        ({"checkpoint_every": -1}, "checkpoint_every must be"),
        ({"workers": -1}, "workers must be"),
        ({"seed": 2**63}, "seed must be a whole number between"),
        ({"split_seed": -(2**63) - 1}, "split_seed must be"),
        ({"subset": 0}, "subset must be"),
        ({"holdout": 1}, "holdout must be"),
        ({"crop_fraction": 0}, "crop_fraction must be"),
        ({"views": 0}, "views must be"),
        ({"image_size": 0}, "image_size must be a whole number between 1 and 8192"),
        ({"image_size": 100_000}, "image_size must be"),
        ({"device": "cpu:7"}, "device must be auto, cpu, cuda, cuda:1"),
        ({"out": ""}, "out must not be empty"),
        ({"label": " "}, "label must not be empty"),
        ({"data": "a\0b"}, "data must not hold a null character"),
        ({"merge": ["a=b+c", ""]}, "merge must not be empty"),
        ({"weights": ""}, "weights must not be empty"),
        ({"compile": "yes"}, "compile must be true or false, received 'yes'"),
        ({"label": 3}, "label must be text, received 3"),
        ({"out": 3}, "out must be a path, received 3"),
        ({"optimizer": ["sgd"]}, "optimizer must be one of sgd, adamw"),
    ],
)
def test_a_recipe_keeps_to_the_bounds(setting: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        configure(TrainConfig, RUN | setting)


@pytest.mark.parametrize(
    "setting",
    [
        {"epochs": 10**6},
        {"warmup_epochs": 2, "epochs": 2},
        {"milestones": []},
        {"milestones": [1]},
        {"seed": 2**63 - 1},
        {"seed": -3},
        {"ema": 0.999},
        {"view": ""},
        {"visits_of": ""},
        {"holdout": 0},
        {"workers": 0},
        {"optimizer": "adamw", "momentum": 0.9},
        {"schedule": "cosine", "milestones": [0.625, 0.75, 0.875]},
        {"device": "cuda:3"},
    ],
)
def test_what_lies_on_a_bound_is_taken(setting: dict[str, object]) -> None:
    assert configure(TrainConfig, RUN | setting)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--warmup-epochs", "nan"], "--warmup-epochs must be a finite number of at least 0, received nan"),
        (["--warmup-epochs=-1"], "--warmup-epochs must be"),
        (["--epochs", "2", "--warmup-epochs", "inf"], "--warmup-epochs must be"),
        (["--checkpoint-every", "-1"], "--checkpoint-every must be"),
        (["--device", "vulkan"], "device must be auto, cpu"),
        (["--out", ""], "--out must not be empty"),
        (["--out="], "--out must not be empty"),
        (["--weights", ""], "--weights must not be empty"),
        (["--tracker", ""], "--tracker must be one of tensorboard, wandb, mlflow, received ''"),
        (["--ema", "1"], "ema must be"),
    ],
)
def test_the_command_line_keeps_to_the_bounds(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--model", "resnet8", "--out", str(tmp_path / "run"), *flags]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "", "--weights", "w"], "PATHS must not be empty"),
        (["predict", "x", "--weights", "w", "--top", "0"], "top must be a whole number between 1 and"),
        (["probe", "--weights", "w", "--shots", "5", "0"], "shots must be"),
        (["probe", "--weights", "w", "--neighbours", "-1"], "neighbours must be"),
        (["evaluate", "--mean", "0.5", "--std", "0.5", "0.5"], "mean and std must have one number a channel each"),
        (["evaluate", "--std", "1e-45"], "std must be a finite number of at least 1e-30, received 1e-45"),
        (["benchmark", "mini", "--max-time", "0"], "--max-time must be"),
        (["demo", "--seed", str(2**64)], "seed must be"),
        (["report", "r", "--out", ""], "--out must not be empty"),
        (["train", "--resume", "r", "--workers", "-1"], "workers must be"),
        (["export", "", "--format", "onnx"], "RUN must not be empty"),
    ],
)
def test_every_command_keeps_to_the_bounds(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_recipe_out_of_bounds_is_refused_and_one_for_more_epochs_than_the_default_is_not(tmp_path: Path) -> None:
    from wcord.cli.parsing import parse

    recipe = tmp_path / "r.toml"
    recipe.write_text("warmup_epochs = 300\n")
    flags = ["--model", "a", "--out", "b", "--recipe", str(recipe)]
    assert parse(TrainConfig, "train", [*flags, "--epochs", "400"]).training.warmup_epochs == 300
    with pytest.raises(UsageError, match="warmup_epochs must be at most epochs, which is 240"):
        parse(TrainConfig, "train", flags)
    recipe.write_text("lr = nan\n")
    with pytest.raises(UsageError, match="lr must be a finite number above 0, received nan"):
        parse(TrainConfig, "train", [*flags, "--lr", "0.1"])


def test_calls_in_python_keep_to_the_bounds(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="batch_size must be"):
        api.distill("resnet8", "resnet8", out=tmp_path / "r", batch_size=0)
    config = configure(TrainConfig, RUN | {"out": tmp_path / "r"})
    with pytest.raises(UsageError, match="ema must be"):
        api.start(replace(config, training=replace(config.training, ema=1.0)))
    with pytest.raises(UsageError, match="image_size must be"):
        open_data(DataConfig(image_size=0))
    with pytest.raises(UsageError, match="teacher_image_size must be"):
        open_data(DataConfig(), {"image_size": 10**6})
    with pytest.raises(UsageError, match="subset must be"):
        api.evaluate("resnet8", subset=NAN)
    with pytest.raises(UsageError, match="unknown setting 'subst': did you mean 'subset'"):
        api.evaluate("resnet8", subst=1)
    with pytest.raises(UsageError, match="views must be"):
        api.evaluate("resnet8", data=DataConfig(views=0))


def test_values_become_the_types_that_are_declared() -> None:
    made = checked(Evaluate(mean=[0, 1], std=[1, 1], data=DataConfig(subset=5)))
    assert made.mean == (0.0, 1.0)
    assert isinstance(made.data.subset, float)
    assert convert("out", "a/b", File) == Path("a/b")
    assert convert("device", None, Device | None) is None
    with pytest.raises(UsageError, match="x must be a list, received 'ab'"):
        convert("x", "ab", tuple[Name, ...])


def test_rules_that_look_at_other_settings_pass_where_those_are_not_known() -> None:
    assert convert("std", (1.0,), Annotated[tuple[float, ...], SameLength("mean")]) == (1.0,)
    assert convert("momentum", 0.5, Annotated[float, OnlyWith("optimizer", "sgd", 0.9)]) == 0.5
    assert convert("warmup", 9, Annotated[int, Bounds(0, "epochs")]) == 9
    assert convert("steps", (1, 2), Annotated[tuple[int, ...], Ascending()]) == (1, 2)
