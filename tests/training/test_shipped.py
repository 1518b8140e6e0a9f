"""What is evaluated and saved is the network as it will be used, and training does not notice."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from wcord import api
from wcord.evaluation.accuracy import accuracy, predict
from wcord.models.weights import read_card
from wcord.setup.job import Provided, prepare
from wcord.training.checkpoint import load_checkpoint
from wcord.training.config import TrainConfig, configure, to_toml
from wcord.training.engine import make_accelerator
from wcord.training.loop import Trainer
from wcord.training.run import RunFolder
from wcord.training.shipped import Shipped

pytestmark = pytest.mark.pages

FAST: dict[str, Any] = {"model": "resnet8", "data": "digits", "epochs": 3, "subset": 30.0, "device": "cpu"}


def slow_norm() -> nn.Module:
    """A small network whose normalization layers have torchvision's momentum for MobileNetV3."""
    torch.manual_seed(0)

    def block(channels: int, out: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out, momentum=0.01), nn.ReLU()
        )

    return nn.Sequential(
        block(1, 16), block(16, 32), nn.MaxPool2d(2), block(32, 32), nn.Flatten(), nn.Linear(32 * 16, 10)
    )


def train(out: Path, own: nn.Module | None = None, *, stop_at: int | None = None, **settings: Any) -> Trainer:
    """Train, or go on; `stop_at`: as if killed at the beginning of that epoch."""
    config = configure(TrainConfig, FAST | {"out": out} | settings)
    job = prepare(config, Provided(student=own), lambda line: None)
    run = RunFolder(out) if out.exists() else RunFolder.create(out, to_toml(config))
    state = load_checkpoint(run.checkpoints, print)
    if state is not None:
        run.restore(state)
    made = Trainer(
        student=job.student, teacher=None, objective=job.objective, train=job.train, test=job.test,
        config=config.training, base_lr=0.05, run=run, accelerator=make_accelerator(config.training, out),
        state=state,
    )  # fmt: skip
    if stop_at is not None:
        save, made._save = made._save, lambda: None if made.at.epoch >= stop_at else save()
    made.fit()
    return made


def logged(trained: Trainer, name: str) -> list[Any]:
    return [line.get(name) for line in trained.run.metrics()]


def state(shipped: Shipped) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in shipped.network.state_dict().items()}


def test_statistics_are_measured_where_they_cannot_have_settled(tmp_path: Path) -> None:
    measured = train(tmp_path / "measured", slow_norm())
    plain = train(tmp_path / "plain", slow_norm(), norm_statistics="never")
    assert logged(measured, "test_top1")[-1] > logged(plain, "test_top1")[-1] + 10
    shipped, left = measured.ship(), plain.ship()
    assert shipped.statistics == {"measured_layers": 3, "samples": 300}
    (note,) = shipped.notes
    assert note.startswith(
        "the running statistics of 3 of 3 normalization layers were measured on 300 training samples"
    )
    assert note.endswith("15 batches are too few for them to settle (momentum 0.01)")
    assert left.statistics == {"unsettled_layers": 3}
    assert "may not fit the weights: 15 batches are too few" in left.notes[0]
    reached = accuracy(predict(shipped.network, measured.test.batches()))["top1"]
    assert reached == logged(measured, "test_top1")[-1]


def test_training_does_not_notice(tmp_path: Path) -> None:
    """Weights and every logged number but the accuracy on the test split are the same bit for bit."""
    runs = [train(tmp_path / how, slow_norm(), norm_statistics=how) for how in ("auto", "never", "always")]
    for name in ("loss", "train_top1", "parts"):
        assert logged(runs[0], name) == logged(runs[1], name) == logged(runs[2], name)
    saved = [state(run.ship()) for run in runs]
    for name, value in saved[0].items():
        assert torch.equal(value, saved[2][name])
        assert torch.equal(value, saved[1][name]) != ("running" in name), name


@pytest.mark.parametrize("settings", [{}, {"ema": 0.999}, {"norm_statistics": "always"}])
def test_a_killed_run_ships_the_same_network(tmp_path: Path, settings: dict[str, Any]) -> None:
    whole = train(tmp_path / "whole", **settings)
    train(tmp_path / "killed", stop_at=2, **settings)
    again = train(tmp_path / "killed", **settings)
    mine, theirs = state(whole.ship()), state(again.ship())
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())
    assert logged(whole, "test_top1") == logged(again, "test_top1")


@pytest.mark.parametrize("settings", [{"batch_size": 4}, {"norm_statistics": "never", "ema": None, "batch_size": 4}])
def test_settled_statistics_are_those_of_training(tmp_path: Path, settings: dict[str, Any]) -> None:
    """resnet8 has momentum 0.1: 225 steps are enough, and nothing is said."""
    trained = train(tmp_path / "run", **settings)
    before = {name: value.clone() for name, value in trained.student.state_dict().items()}
    assert trained.ship() == Shipped(trained.student)
    assert all(torch.equal(value, trained.student.state_dict()[name]) for name, value in before.items())


@pytest.mark.parametrize("decay", [0.99, 0.999, 0.9999])
def test_a_moving_average_over_a_short_run_is_near_the_plain_student(tmp_path: Path, decay: float) -> None:
    averaged = train(tmp_path / "averaged", ema=decay, subset=60.0, epochs=6)
    assert logged(averaged, "test_top1")[-1] > 90
    assert averaged.ship().notes[0].endswith("averaged weights need measured statistics")


def test_the_record_the_card_and_the_terminal_tell(tmp_path: Path) -> None:
    lines: list[str] = []
    config = configure(TrainConfig, FAST | {"out": tmp_path / "run", "epochs": 1, "lr": 1e-9})
    result = api.start(config, say=lines.append)
    assert result.record is not None
    metrics, notes = result.record.metrics, result.record.notes
    assert metrics["norm_statistics"]["samples"] == 300
    card = read_card(result.run / "student.safetensors")
    assert card is not None
    assert card.extra["norm_statistics"] == metrics["norm_statistics"]
    assert metrics["train_top1_last"] == json.loads((result.run / "metrics.jsonl").read_text())["train_top1"]
    assert all(f"note: {note}" in lines for note in notes)
    assert any("normalization layers were measured" in note for note in notes)
    page = (result.run / "report.html").read_text()
    assert "normalization layers were measured on 300 training samples" in page
    assert "train top-1, %" in page


@pytest.mark.slow
def test_a_torchvision_network_of_small_momentum_is_shipped_as_it_was_trained(tmp_path: Path) -> None:
    from torchvision.models import mobilenet_v3_small

    torch.manual_seed(0)
    network = mobilenet_v3_small(num_classes=10)
    network.features[0][0] = nn.Conv2d(1, 16, 3, stride=2, padding=1, bias=False)
    trained = train(tmp_path / "run", network, epochs=6, subset=None)
    assert logged(trained, "test_top1")[-1] > logged(trained, "train_top1")[-1] - 5
