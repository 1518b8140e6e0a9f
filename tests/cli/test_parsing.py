"""From arguments to a command's dataclass: recipes first, then options; the nearest name for a wrong one."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from wcord.checks import UsageError
from wcord.cli.parsing import parse
from wcord.cli.probe import Probe
from wcord.training.config import DistillConfig, TrainConfig


@dataclass(frozen=True)
class Counted:
    """A command."""

    run: Path
    """A folder."""
    count: int = 3
    """How many."""


def train(*arguments: str) -> TrainConfig:
    return parse(TrainConfig, "train", list(arguments))


def test_options_are_checked() -> None:
    assert parse(Counted, "x", ["--count", "5", "a"], positional="run") == Counted(Path("a"), 5)
    with pytest.raises(UsageError, match="unknown option '--cuont': did you mean '--count'"):
        parse(Counted, "x", ["a", "--cuont", "5"], positional="run")
    with pytest.raises(UsageError, match="--count must be a whole number, received 'many'"):
        parse(Counted, "x", ["a", "--count", "many"], positional="run")


def test_options_override_a_recipe_and_a_recipe_defaults(tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text('model = "resnet8"\nout = "a"\n[training]\nepochs = 7\nlr = 0.5\nmilestones = [0.2, 0.4]\n')
    config = train("--recipe", str(recipe), "--epochs", "2", "--milestones", "0.3")
    training = config.training
    assert (config.model, training.epochs, training.lr, training.batch_size) == ("resnet8", 2, 0.5, 64)
    assert training.milestones == (0.3,)
    recipe.write_text("shots = [5, 10]\nimage_size = 32\nweights = ['w']\n[data]\nlabel = 'fine'\n")
    probe = parse(Probe, "probe", [f"--recipe={recipe}", "--image-size", "16"])
    assert (probe.shots, probe.data.image_size, probe.data.label, probe.json) == ((5, 10), 16, "fine", False)
    for text, message in [("jsn = false", "unknown setting 'jsn': did you mean 'json'"), ("[x]\na = 1", "'x'")]:
        recipe.write_text(text)
        with pytest.raises(UsageError, match=message):
            parse(Probe, "probe", [f"--recipe={recipe}"])
    with pytest.raises(UsageError, match="--recipe needs a value"):
        train("--recipe")
    with pytest.raises(UsageError, match="unknown option '--recipe'"):
        parse(Counted, "x", [f"--recipe={recipe}"])


def test_a_missing_setting_is_named_and_synonyms_are_known() -> None:
    with pytest.raises(UsageError, match="missing --out: give it, or a --recipe that holds it; see wcord train --help"):
        train("--model", "resnet8")
    with pytest.raises(UsageError, match="missing RUN: give it; see wcord x --help"):
        parse(Counted, "x", ["--count", "1"], positional="run")
    options = ["--teacher", "a", "--student", "b", "--out", "o", "--student-view", "gray"]
    assert parse(DistillConfig, "distill", options).data.view == "gray"
    with pytest.raises(UsageError, match="unknown option '--student-view'"):
        train("--model", "a", "--out", "o", "--student-view", "gray")


def test_the_help_comes_before_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help", "--count"], ["--cuont", "-h"]):
        with pytest.raises(SystemExit) as error:
            parse(Counted, "x", arguments, positional="run")
        assert error.value.code == 0
        assert capsys.readouterr().out.startswith("usage: wcord x RUN [OPTIONS]")


@pytest.mark.parametrize("written", ["option", "recipe"])
def test_finetune_changes_defaults_below_the_recipe_and_the_options(tmp_path: Path, written: str) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        f'model = "resnet8"\nout = "a"\n[training]\nepochs = 7\nfinetune = {str(written == "recipe").lower()}\n'
    )
    options = ["--finetune"] if written == "option" else []
    training = train("--recipe", str(recipe), *options, "--weight-decay", "0.1").training
    assert training.finetune
    assert (training.epochs, training.optimizer, training.schedule) == (7, "adamw", "cosine")
    assert (training.weight_decay, training.warmup_epochs, training.body_rate) == (0.1, 1.0, 0.1)


def test_an_option_repeats_or_takes_back_what_the_recipe_switches_on(tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text('model = "resnet8"\nout = "a"\noverwrite = true\npretrained = true\nfinetune = true\n')
    config = train("--recipe", str(recipe), "--overwrite", "--pretrained", "--finetune", "--epochs", "3")
    assert (config.overwrite, config.pretrained, config.training.finetune) == (True, True, True)
    config = train("--recipe", str(recipe), "--no-overwrite", "--no-finetune")
    assert (config.overwrite, config.training.finetune, config.training.optimizer) == (False, False, "sgd")


@pytest.mark.parametrize(
    "setting", ["teacher_pretrained", "student_pretrained", "teacher_ema_weights", "student_ema_weights"]
)
def test_options_of_each_network(setting: str) -> None:
    option = f"--{setting.replace('_', '-')}"
    options = ["--teacher", "resnet8", "--student", "resnet8", "--out", "a", option, "--teacher-embedding", "fc"]
    config = parse(DistillConfig, "distill", options)
    assert getattr(config, setting)
    assert (config.teacher_embedding, config.student_embedding) == ("fc", None)


def test_options_and_a_recipe_say_what_the_teacher_sees_alike(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(
        'out = "o"\n[teacher]\nmodel = "t"\n[teacher.data]\ndata = "table:t.csv"\ninput = ["x", "y"]\n'
        'view = "visits=2"\nlabel = "y"\nvisits_of = "who"\norder_by = "when"\n'
        '[student]\nmodel = "s"\ndata.input = ["x"]\n'
    )
    by_recipe = parse(DistillConfig, "distill", ["--recipe", str(tmp_path / "r.toml")])
    options = (
        "--teacher t --student s --out o --teacher-data table:t.csv --teacher-input x y --teacher-view visits=2 "
        "--teacher-label y --teacher-visits-of who --teacher-order-by when --student-input x"
    )
    assert parse(DistillConfig, "distill", options.split()) == by_recipe
    assert by_recipe.teacher_data["view"] == "visits=2"
    overridden = parse(DistillConfig, "distill", ["--recipe", str(tmp_path / "r.toml"), "--teacher-view", ""])
    assert overridden.teacher_data == by_recipe.teacher_data | {"view": ""}
