"""The look at a teacher: one that does not know the data is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from wcord.checks import UsageError
from wcord.data.dataset import DataSet
from wcord.data.opening import from_arrays
from wcord.evaluation.accuracy import Predictions
from wcord.models.network import Network
from wcord.models.preprocess import Preprocess
from wcord.setup import teacher_check
from wcord.setup.networks import NetworkSpec, build_network
from wcord.setup.teacher_check import Look, check_teacher


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
    assert 0 <= look.standing.top1 < 0.6
    assert look.standing.samples == 40
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


class Answers(nn.Module):
    """Names a class for each picture, whose first pixel holds the picture's number."""

    def __init__(self, answers: Tensor, classes: int) -> None:
        super().__init__()
        self.register_buffer("logits", torch.eye(classes)[answers])
        self.head = nn.Linear(classes, classes, bias=False)
        self.head.weight.data = 10 * torch.eye(classes)

    def forward(self, images: Tensor) -> Tensor:
        number = (images[:, :2, 0, 0] * 255).round().long()
        return self.head(self.logits[256 * number[:, 0] + number[:, 1]])


def numbered(targets: Tensor, classes: tuple[str, ...]) -> DataSet:
    images = np.zeros((len(targets), 2, 4, 4), np.uint8)
    images[:, 0, 0, 0], images[:, 1, 0, 0] = np.divmod(np.arange(len(targets)), 256)
    return from_arrays(images, targets.numpy(), images, targets.numpy(), classes=classes)


def look(answers: Tensor, targets: Tensor, classes: tuple[str, ...], **settings: Any) -> Look:
    teacher = Network(Answers(answers, len(classes)), Preprocess((0.0,) * 2, (1.0,) * 2), classes)
    told = {"allow_weak": False} | settings
    return check_teacher(teacher, numbered(targets, classes), batch_size=256, device="cpu", **told)


RARE = torch.arange(2050) // 2000
"""2000 of one class, 50 of the other."""


@pytest.mark.parametrize("answers", [torch.zeros(2050), torch.ones(2050), (torch.arange(2050) % 40 == 0).float()])
def test_a_teacher_that_knows_no_more_than_the_commonest_class_is_refused(answers: Tensor) -> None:
    with pytest.raises(UsageError, match=r"near chance: .*the commonest class alone reaches 97\.56 %"):
        look(answers.long(), RARE, ("well", "ill"))
    (note,) = look(answers.long(), RARE, ("well", "ill"), allow_weak=True).notes
    assert "near chance" in note


def test_a_teacher_of_rare_classes_passes_below_the_commonest_share() -> None:
    answers = torch.where(torch.arange(2050) % 10 == 0, 1 - RARE, RARE)
    found = look(answers, RARE, ("well", "ill")).standing
    assert found.samples == 1000
    assert found.top1 == pytest.approx(0.9, abs=0.02)
    assert found.top1 < found.commonest
    assert found.balanced == pytest.approx(0.9, abs=0.02)


AS_TEXT = tuple(sorted(map(str, range(12))))


def test_the_order_of_the_numbers_is_tried() -> None:
    targets = torch.arange(600) % 12
    answers = torch.tensor([int(name) for name in AS_TEXT])[targets]
    with pytest.raises(UsageError, match=r"order of their numbers it reaches 100\.00 %: add --class-order number"):
        look(answers, targets, AS_TEXT)
    (note,) = look(answers, targets, AS_TEXT, allow_weak=True).notes
    assert "reaches 16.67 % with the classes as they are numbered" in note


def test_permuted_classes_are_refused_where_they_have_no_names_and_told_where_they_have() -> None:
    targets = torch.arange(600) % 6
    answers = torch.tensor([0, 1, 2, 3, 5, 4])[targets]
    names = tuple("abcdef")
    with pytest.raises(UsageError, match=r"reaches 66\.67 %.*fits best it reaches 100\.00 %.*--allow-weak-teacher"):
        look(answers, targets, names)
    (note,) = look(answers, targets, names, named=True).notes
    assert "it reaches 100.00 %" in note


@pytest.mark.parametrize(("told", "said"), [({"top1_last": 99.0}, True), ({"top1_last": 81.0}, False), ({}, False)])
def test_a_teacher_far_below_its_own_training_is_told(told: dict[str, float], said: bool) -> None:
    targets = torch.arange(600) % 3
    answers = torch.where(torch.arange(600) % 5 == 0, torch.zeros_like(targets), targets)
    assert bool(look(answers, targets, tuple("abc"), extra=told).notes) == said
