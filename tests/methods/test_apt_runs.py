"""APT in whole runs: stopped and resumed, in two processes, from the command line, and on faces."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.support.small_runs import logged, run_small, silent

from wcord import api, create_model
from wcord.checks import UsageError
from wcord.cli import main
from wcord.models.weights import read_card
from wcord.training.config import DistillConfig, TrainConfig, configure
from wcord.training.loop import Trainer

ROOT = Path(__file__).parents[2]
OPTIONS = ["apt.prompts=3", "apt.centers=4", "apt.heads=2"]
SMALL: dict[str, object] = {
    "teacher": "swin_mini",
    "student": "resnet8",
    "method": "apt+kd",
    "set": OPTIONS,
    "image_size": 16,
    "allow_weak_teacher": True,
    "subset": 6.0,
    "batch_size": 20,
    "epochs": 2,
    "ema": 0.9,
    "device": "cpu",
}


def distil(out: Path, **settings: Any) -> api.Result:
    return run_small(out, SMALL | settings)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return distil(tmp_path_factory.mktemp("whole") / "run").run


@pytest.mark.parametrize("stop_after", [1, 4])
def test_a_stopped_run_goes_on_bit_for_bit(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    decide = Trainer._stop_request

    def stop(trainer: Trainer, *arguments: Any) -> tuple[str, Any] | None:
        return ("enough", None) if trainer.at.steps_done == stop_after else decide(trainer, *arguments)

    monkeypatch.setattr(Trainer, "_stop_request", stop)
    assert distil(tmp_path / "run").outcome.status == "stopped"
    monkeypatch.undo()
    assert api.resume(tmp_path / "run", say=silent).outcome.status == "finished"
    mine, theirs = (load_file(run / "student.safetensors") for run in (whole, tmp_path / "run"))
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())
    states = [torch.load(max((run / "checkpoints").iterdir()), weights_only=True) for run in (whole, tmp_path / "run")]
    assert states[0]["teacher"].keys() == states[1]["teacher"].keys()
    assert all(torch.equal(value, states[1]["teacher"][name]) for name, value in states[0]["teacher"].items())
    assert logged(whole) == logged(tmp_path / "run")


def test_a_checkpoint_holds_the_additions_alone_and_the_student_is_the_plain_one(whole: Path) -> None:
    state = torch.load(max((whole / "checkpoints").iterdir()), weights_only=True)
    assert {name for name in state["teacher"] if not name.startswith("reader.")} == {
        f"network.layers.{stage}.prompts" for stage in range(3)
    }
    card = read_card(whole / "student.safetensors")
    assert card is not None
    assert card.architecture == "resnet8"
    plain = create_model("resnet8", num_classes=10, in_channels=1).state_dict()
    assert load_file(whole / "student.safetensors").keys() == plain.keys()
    text = (whole / "metrics.jsonl").read_text()
    for name in ("teacher_center_variance", "student_feature_variance", "teacher_loss", "teacher_test_top1"):
        assert name in text


def test_from_the_command_line_with_a_teacher_that_was_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", "digits", "--image-size", "16", "--subset", "8", "--device", "cpu", "--batch-size", "27"]
    train = ["train", "--model", "swin_mini", *data, "--epochs", "1", "--out", str(tmp_path / "teacher")]
    assert main(train) == 0
    command = [
        "distill", "--method", "apt", "--teacher", "swin_mini", "--teacher-weights",
        str(tmp_path / "teacher" / "student.safetensors"), "--student", "resnet8", *data, "--epochs", "1",
        "--allow-weak-teacher", "--out", str(tmp_path / "run"),
    ]  # fmt: skip
    assert main([*command, "--set", "apt.prompts=2", "--set", "apt.recognition=margin"]) == 0
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    assert '"prompts": 2' in json.dumps(record)
    assert main([*command, "--overwrite", "--set", "apt.prompt=2"]) == 2
    assert "did you mean 'prompts'" in capsys.readouterr().err


def test_teachers_that_do_not_fit_are_refused_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"apt: prompts go into a Swin transformer of timm .* received ResNet"):
        distil(tmp_path / "run", teacher="resnet14")
    with pytest.raises(UsageError, match=r"apt: a map of 6×6 does not divide into windows of 4×4"):
        distil(tmp_path / "run", image_size=24)
    with pytest.raises(UsageError, match=r"multiples of 8, received 12×12"):
        distil(tmp_path / "run", image_size=12)


@pytest.mark.slow
def test_two_processes_give_the_run_of_one(tmp_path: Path) -> None:
    """Networks without BatchNorm; both sides are transformers, and the last batch has fewer samples."""
    distill = [
        "distill", "--teacher", "swin_mini", "--student", "swin_mini", "--data", "digits", "--image-size", "16",
        "--subset", "6", "--batch-size", "16", "--epochs", "2", "--lr", "0.02", "--method", "apt+kd",
        "--allow-weak-teacher", "--device", "cpu", "--augment", "none",
        *(word for one in OPTIONS for word in ("--set", one)),
    ]  # fmt: skip
    assert main([*distill, "--out", str(tmp_path / "alone")]) == 0
    two = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "wcord.cli"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    command = [*two, *distill, "--out", str(tmp_path / "shared")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    states = [
        torch.load(max((tmp_path / run / "checkpoints").iterdir()), weights_only=True) for run in ("alone", "shared")
    ]
    for part in ("student", "teacher", "objective"):
        for name, value in states[0][part].items():
            torch.testing.assert_close(states[1][part][name], value, rtol=1e-3, atol=1e-4, msg=f"{part} {name}")


FACES = next(
    (
        place
        for parent in Path(__file__).resolve().parents
        if (place := parent / "shared" / "data" / "orl_faces" / "att_faces_40subj_23x28.tar.gz").is_file()
    ),
    None,
)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(FACES is None, reason="orl_faces does not lie beside the project")
def test_faces_smoke_and_direction(tmp_path: Path) -> None:
    """Five pictures of each face to learn from and five to verify: above chance is all that is claimed."""
    assert FACES is not None
    with tarfile.open(FACES) as archive:
        archive.extractall(tmp_path, filter="data")
    data = {"data": f"imagefolder:{tmp_path / 'att_faces'}", "image_size": 16, "holdout": 0.5, "device": "cpu"}
    how = data | {"epochs": 12, "batch_size": 32, "schedule": "cosine", "augment": "shift"}
    train = how | {"model": "swin_mini", "optimizer": "adamw", "lr": 2e-3, "out": tmp_path / "teacher"}
    teacher = api.start(configure(TrainConfig, train), say=silent)
    student = how | {
        "teacher": "swin_mini", "teacher_weights": teacher.run / "student.safetensors", "student": "resnet8",
        "method": "apt", "lr": 0.05, "out": tmp_path / "student", "allow_weak_teacher": True,
    }  # fmt: skip
    result = api.start(configure(DistillConfig, student), say=silent)
    chance = 10.0
    for run in (teacher.run, result.run):
        weights = run / "student.safetensors"
        verified = api.probe(weights, data=data["data"], holdout=0.5, neighbours=0, verify=[0.1], device="cpu")
        measured = verified["verification"]["0.1"]
        assert (measured["genuine"], measured["impostors"]) == (400, 19500)
        assert measured["measured_far"] <= 0.1
        assert measured["tar"] > 2 * chance
