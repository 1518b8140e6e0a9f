"""The look at a teacher: one that does not know the data is refused."""

import numpy as np
import pytest
import torch
from torch import nn

from wcord.checks import UsageError
from wcord.data.sources import from_arrays
from wcord.data.split import DataSet
from wcord.evaluation.accuracy import Predictions
from wcord.training import teacher_check
from wcord.training.networks import NetworkSpec, build_network
from wcord.training.teacher_check import check_teacher


def data(channels: int = 3, classes: int = 4) -> DataSet:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (40, channels, 8, 8), dtype=np.uint8)
    labels = np.arange(40) % classes
    return from_arrays(images, labels, images, labels)


def test_a_teacher_near_chance_is_refused_with_the_usual_causes() -> None:
    torch.manual_seed(0)
    source = data()
    ignorant = build_network(NetworkSpec("teacher", "resnet8"), source)
    with pytest.raises(UsageError, match=r"near chance.* 25\.00 %.*normalization.*order of the classes.*input"):
        check_teacher(ignorant, source, batch_size=16, device="cpu", allow_weak=False)
    look = check_teacher(ignorant, source, batch_size=16, device="cpu", allow_weak=True)
    assert 0 <= look.found.top1 < 0.6
    assert look.found.samples == 40
    assert "near chance" in look.notes[0]


def test_a_teacher_is_looked_at_on_the_device_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A teacher is built on the CPU, and its batches come on the run's device, which need not be that."""
    seen: list[str] = []

    def look(network: nn.Module, batches: object, *, device: str, side: str) -> Predictions:
        seen.extend({parameter.device.type for parameter in network.parameters()})
        return Predictions(torch.eye(4).repeat(10, 1), torch.arange(40) % 4, torch.eye(4).repeat(10, 1))

    monkeypatch.setattr(teacher_check, "predict", look)
    source = data()
    teacher = build_network(NetworkSpec("teacher", "resnet8"), source)
    check_teacher(teacher, source, batch_size=4, device="meta", allow_weak=False)
    assert seen == ["meta"]
