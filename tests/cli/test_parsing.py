"""From arguments to a command's dataclass: recipes first, then flags, the nearest name for a wrong one."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from wcord.checks import UsageError
from wcord.cli.parsing import configuration, parse_checked, with_recipe
from wcord.cli.probe import Probe
from wcord.training.config import DistillConfig, TrainConfig


@dataclass(frozen=True)
class Asked:
    """A command."""

    count: int = 3
    """How many."""


def test_flags_are_checked_before_they_are_parsed() -> None:
    assert parse_checked(Asked, "x", ["--count", "5"]).count == 5
    with pytest.raises(UsageError, match="unknown option '--cuont': did you mean '--count'"):
        parse_checked(Asked, "x", ["--cuont", "5"])
    with pytest.raises(UsageError, match="count must be a whole number, received 'many'"):
        parse_checked(Asked, "x", ["--count", "many"])


def test_flags_override_a_recipe_and_a_recipe_defaults(tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text('model = "resnet8"\nout = "a"\n[training]\nepochs = 7\nlr = 0.5\n')
    config = configuration(TrainConfig, "train", ["--recipe", str(recipe), "--epochs", "2"])
    assert (config.model, config.training.epochs, config.training.lr, config.training.batch_size) == (
        "resnet8",
        2,
        0.5,
        64,
    )
    recipe.write_text("shots = [5, 10]\nimage_size = 32\n")
    flags = with_recipe(Probe, [f"--recipe={recipe}", "--image-size", "16"])
    assert flags == ["--shots", "5", "10", "--image-size", "32", "--image-size", "16"]
    recipe.write_text("json = false\nskip_bad_images = true\n[data]\nlabel = 'fine'\n")
    assert with_recipe(Probe, [f"--recipe={recipe}"]) == ["--skip-bad-images", "--label", "fine"]
    for text, message in [("jsn = false", "unknown setting 'jsn': did you mean 'json'"), ("[x]\na = 1", "'x'")]:
        recipe.write_text(text)
        with pytest.raises(UsageError, match=message):
            with_recipe(Probe, [f"--recipe={recipe}"])
    with pytest.raises(UsageError, match="--recipe needs a value"):
        with_recipe(Probe, ["--recipe"])


def test_what_is_missing_is_named_and_synonyms_are_known() -> None:
    with pytest.raises(UsageError, match="missing --out"):
        configuration(TrainConfig, "train", ["--model", "resnet8"])
    flags = ["--teacher", "a", "--student", "b", "--out", "o", "--student-view", "gray"]
    assert configuration(DistillConfig, "distill", flags).data.view == "gray"


@pytest.mark.parametrize("written", ["flag", "recipe"])
def test_finetune_lies_below_the_recipe_and_the_flags(tmp_path: Path, written: str) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        f'model = "resnet8"\nout = "a"\n[training]\nepochs = 7\nfinetune = {str(written == "recipe").lower()}\n'
    )
    flags = ["--finetune"] if written == "flag" else []
    training = configuration(TrainConfig, "train", ["--recipe", str(recipe), *flags, "--weight-decay", "0.1"]).training
    assert training.finetune
    assert (training.epochs, training.optimizer, training.schedule) == (7, "adamw", "cosine")
    assert (training.weight_decay, training.warmup_epochs, training.body_rate) == (0.1, 1.0, 0.1)


def test_a_flag_may_repeat_what_the_recipe_says(tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text('model = "resnet8"\nout = "a"\noverwrite = true\npretrained = true\nfinetune = true\n')
    said = ["--recipe", str(recipe), "--overwrite", "--pretrained", "--finetune", "--epochs", "3"]
    config = configuration(TrainConfig, "train", said)
    assert (config.overwrite, config.pretrained, config.training.finetune, config.training.epochs) == (
        True,
        True,
        True,
        3,
    )


@pytest.mark.parametrize(
    ("flag", "setting"),
    [
        ("--teacher-pretrained", "teacher_pretrained"),
        ("--student-pretrained", "student_pretrained"),
        ("--teacher-ema-weights", "teacher_ema_weights"),
        ("--student-ema-weights", "student_ema_weights"),
    ],
)
def test_flags_of_each_network(flag: str, setting: str) -> None:
    said = ["--teacher", "resnet8", "--student", "resnet8", "--out", "a", flag, "--teacher-embedding", "fc"]
    config = configuration(DistillConfig, "distill", said)
    assert getattr(config, setting)
    assert (config.teacher_embedding, config.student_embedding) == ("fc", None)
