"""LAKD in whole runs: stopped and resumed, averaged, compiled, from the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.support.small_runs import logged, run_small, silent

from wcord import api, build_method, capture, create_model
from wcord.checks import UsageError
from wcord.cli import main
from wcord.data.batch import Batch
from wcord.models.weights import read_card
from wcord.training.loop import Trainer

SMALL: dict[str, object] = {
    "teacher": "resnet14",
    "student": "resnet8",
    "method": "lakd+wcord",
    "set": ["wcord.num_negatives=64", "lakd.order=deep_last", "lakd.heads=True"],
    "allow_weak_teacher": True,
    "subset": 12.0,
    "batch_size": 24,
    "epochs": 2,
    "ema": 0.9,
    "device": "cpu",
}


def distil(out: Path, **settings: Any) -> api.Result:
    return run_small(out, SMALL | settings)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return distil(tmp_path_factory.mktemp("whole") / "run").run


@pytest.mark.parametrize("stop_after", [1, 4, 7])
def test_a_stopped_run_goes_on_bit_for_bit(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    """With modules that begin in turn, heads, a memory and a moving average."""
    decide = Trainer._stop_request

    def stop(trainer: Trainer, *arguments: Any) -> tuple[str, Any] | None:
        return ("enough", None) if trainer.at.steps_done == stop_after else decide(trainer, *arguments)

    monkeypatch.setattr(Trainer, "_stop_request", stop)
    assert distil(tmp_path / "run").outcome.status == "stopped"
    monkeypatch.undo()
    assert api.resume(tmp_path / "run", say=silent).outcome.status == "finished"
    mine, theirs = (load_file(run / "student.safetensors") for run in (whole, tmp_path / "run"))
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        assert torch.equal(value, theirs[name]), name
    assert logged(whole) == logged(tmp_path / "run")


def test_the_log_has_both_sums_and_the_shipped_network_is_the_plain_student(whole: Path) -> None:
    text = (whole / "metrics.jsonl").read_text()
    assert "lakd_feature" in text
    assert "lakd_attention" in text
    card = read_card(whole / "student.safetensors")
    assert card is not None
    assert card.architecture == "resnet8"
    plain = create_model("resnet8", num_classes=10, in_channels=1).state_dict()
    assert len(load_file(whole / "student.safetensors")) == len(plain)


def test_from_the_command_line(tmp_path: Path) -> None:
    command = [
        "distill", "--method", "lakd", "--teacher", "resnet14", "--student", "resnet8", "--data", "digits", "--subset",
        "8", "--batch-size", "27", "--epochs", "1", "--allow-weak-teacher", "--device", "cpu", "--out",
        str(tmp_path / "run"),
    ]  # fmt: skip
    assert main([*command, "--set", "lakd.alpha=0.25"]) == 0
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    assert '"alpha": 0.25' in json.dumps(record)
    assert main([*command, "--overwrite", "--set", "lakd.alpha=2"]) != 0


def test_maps_that_cannot_be_cut_are_refused_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cut 'layer3:in' is the input of a module"):
        distil(tmp_path / "run", student_maps=["conv1", "layer3:in", "layer3"], set=[])


def test_a_compiled_student_has_the_same_gradients() -> None:
    torch._dynamo.reset()
    torch.manual_seed(0)
    student, teacher = create_model("resnet8", num_classes=5), create_model("resnet14", num_classes=5).eval()
    images = torch.rand(4, 3, 16, 16)
    objective = build_method("lakd+kd", student, teacher, sample=images)
    batch = Batch(images, images, torch.arange(4))
    found = []
    for module in (student.eval(), torch.compile(student, backend="aot_eager")):
        with (
            capture(module, objective.student_map_names, cut=objective.cuts) as tap,
            capture(teacher, objective.teacher_map_names) as other,
        ):
            with torch.no_grad():
                seen = other(images)
            student.zero_grad()
            objective(tap(images), seen, batch).total.backward()
        found.append([parameter.grad for parameter in student.parameters()])
    for one, compiled in zip(*found, strict=True):
        torch.testing.assert_close(compiled, one, rtol=1e-4, atol=1e-6)
