"""What is evaluated and saved is the network as it will be used, and training does not notice."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from wcord import api
from wcord.models.weights import read_card
from wcord.training.config import TrainConfig, configure
from wcord.training.job import Own

FAST: dict[str, Any] = {"model": "resnet8", "data": "digits", "epochs": 3, "subset": 30.0, "device": "cpu"}


def slow_norm(num_classes: int = 10) -> nn.Module:
    """A small network whose normalization layers have torchvision's momentum for MobileNetV3."""

    def block(channels: int, out: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out, momentum=0.01), nn.ReLU()
        )

    return nn.Sequential(block(1, 16), block(16, 32), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, num_classes))


def train(out: Path, own: bool = True, **settings: Any) -> api.Result:
    torch.manual_seed(0)
    config = configure(TrainConfig, FAST | {"out": out} | settings)
    return api.start(config, Own(student=slow_norm()) if own else None, say=LINES.append)


LINES: list[str] = []


def logged(result: api.Result, name: str) -> list[Any]:
    return [json.loads(line).get(name) for line in (result.run / "metrics.jsonl").read_text().splitlines()]


def test_statistics_are_measured_where_they_cannot_have_settled(tmp_path: Path) -> None:
    LINES.clear()
    measured = train(tmp_path / "measured", epochs=8, subset=None)
    told = list(LINES)
    plain = train(tmp_path / "plain", epochs=8, subset=None, norm_statistics="never")
    assert measured.record is not None
    assert plain.record is not None
    assert measured.record.metrics["top1_last"] > plain.record.metrics["top1_last"] + 15
    assert logged(measured, "test_top1")[-1] == measured.record.metrics["top1_last"]
    assert measured.record.metrics["norm_statistics"]["measured_layers"] == 2
    card = read_card(measured.run / "student.safetensors")
    assert card is not None
    assert card.extra["norm_statistics"] == measured.record.metrics["norm_statistics"]
    note = next(line for line in told if "normalization layers" in line)
    assert "2 of 2" in note
    assert "too few for them to settle (momentum 0.01)" in note
    assert note.removeprefix("note: ") in measured.record.notes
    assert plain.record.metrics["norm_statistics"] == {"unsettled_layers": 2}
    assert any("may not fit the weights" in note for note in plain.record.notes)


def test_training_does_not_notice(tmp_path: Path) -> None:
    """Weights and every logged number but the accuracy on the test split are the same bit for bit."""
    runs = [train(tmp_path / how, norm_statistics=how) for how in ("auto", "never", "always")]
    for name in ("loss", "train_top1", "parts"):
        assert logged(runs[0], name) == logged(runs[1], name) == logged(runs[2], name)
    saved = [load_file(run.run / "student.safetensors") for run in runs]
    for name, value in saved[0].items():
        if "running" not in name:
            assert all(torch.equal(value, other[name]) for other in saved[1:])
    first = "0.1.running_mean"
    assert not torch.equal(saved[0][first], saved[1][first])
    assert torch.equal(saved[0][first], saved[2][first])


@pytest.mark.parametrize("settings", [{}, {"ema": 0.999}, {"norm_statistics": "always"}])
def test_a_stopped_run_ships_the_same_network(tmp_path: Path, settings: dict[str, Any]) -> None:
    whole = train(tmp_path / "whole", own=False, **settings)
    stopped = train(tmp_path / "stopped", own=False, max_time=1e-4, **settings)
    assert stopped.outcome.status == "stopped"
    resumed = api.resume(stopped.run, max_time=60.0, say=LINES.append)
    mine, theirs = (load_file(run.run / "student.safetensors") for run in (whole, resumed))
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())
    assert logged(whole, "test_top1") == logged(resumed, "test_top1")


def test_settled_statistics_are_those_of_training(tmp_path: Path) -> None:
    """resnet8 has momentum 0.1: 200 steps are enough, and nothing is said."""
    runs = [
        train(tmp_path / how, own=False, epochs=4, batch_size=24, subset=100.0, norm_statistics=how)
        for how in ("auto", "never")
    ]
    saved = [load_file(run.run / "student.safetensors") for run in runs]
    assert all(torch.equal(value, saved[1][name]) for name, value in saved[0].items())
    assert all(run.record is not None and "norm_statistics" not in run.record.metrics for run in runs)


@pytest.mark.parametrize("decay", [0.99, 0.999, 0.9999])
def test_a_moving_average_over_a_short_run_is_near_the_plain_student(tmp_path: Path, decay: float) -> None:
    averaged = train(tmp_path / "averaged", own=False, epochs=5, subset=None, ema=decay)
    assert averaged.record is not None
    assert averaged.record.metrics["top1_last"] > 90
    assert any("an average of weights needs statistics of its own" in note for note in averaged.record.notes)


@pytest.mark.slow
def test_a_torchvision_network_of_small_momentum_is_shipped_as_it_was_trained(tmp_path: Path) -> None:
    shown = train(tmp_path / "run", own=False, model="torchvision:mobilenet_v3_small", epochs=6, subset=None)
    assert shown.record is not None
    assert shown.record.metrics["top1_last"] > shown.record.metrics["train_top1_last"] - 10
