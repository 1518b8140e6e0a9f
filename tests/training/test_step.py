"""A step moves weights, average and gradients as its batch says, and runs the teacher only where nobody has."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from wcord.data.batch import Batch
from wcord.features import Features, capture
from wcord.host import reads_are_off
from wcord.methods.build import build_objective
from wcord.methods.observe import observe
from wcord.models.network import Network
from wcord.models.preprocess import Preprocess
from wcord.training.average import MovingAverage
from wcord.training.config import TrainingConfig
from wcord.training.distiller import Distiller
from wcord.training.engine import make_accelerator
from wcord.training.step import Step, without_waiting
from wcord.training.teaching import teaching
from wcord.training.update import Update


def linear(seed: int) -> Network:
    torch.manual_seed(seed)
    return Network(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), Preprocess((0.0,) * 3, (1.0,) * 3))


@pytest.fixture
def step(tmp_path: Path) -> Iterator[Step]:
    """A step of kd between linear networks, at a learning rate of 1 without momentum."""
    student, teacher = linear(0), linear(1)
    images = torch.rand(4, 3, 2, 2)
    objective = build_objective("kd", observe(student, teacher, student_sample=images, batch_size=4))
    config = TrainingConfig(device="cpu", momentum=0.0, weight_decay=0.0)
    accelerator = make_accelerator(config, tmp_path)
    with capture(student) as tap, teaching(teacher, [], config, accelerator, None) as taught:
        update = Update({1.0: [*student.parameters()]}, config, 1.0, accelerator)
        average = MovingAverage(student, 0.5)
        yield Step(Distiller(student, objective, tap), student, update, average, taught, "main", accelerator)


def batch() -> Batch:
    images = torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(5))
    return Batch(images, images, torch.tensor([0, 1, 2, 0]))


def kernel(step: Step) -> nn.Parameter:
    return dict(step.student.named_parameters())["backbone.1.weight"]


def weight(step: Step) -> Tensor:
    return kernel(step).detach().clone()


def updates(step: Step) -> int:
    assert step.average is not None
    return int(step.average.n_averaged)


def test_a_batch_that_does_not_close_a_step_leaves_its_gradient(step: Step) -> None:
    before = weight(step)
    row = step(batch(), closes=False)
    assert torch.equal(weight(step), before)
    assert updates(step) == 0
    left = kernel(step).grad
    assert left is not None
    gradient = left.clone()
    step(batch())
    # Both batches are alike: the weights move by twice the gradient, which is then gone.
    torch.testing.assert_close(weight(step), before - 2 * gradient)
    assert all(parameter.grad is None for parameter in step.student.parameters())
    assert updates(step) == 1
    assert row.shape == (4,)  # loss, ce, kd, accuracy


def test_the_share_of_a_batch_weighs_its_gradient_and_not_what_is_noted(step: Step) -> None:
    before = weight(step)
    noted = step(batch())
    moved = weight(step) - before
    step.student.load_state_dict(linear(0).state_dict())
    assert torch.equal(step(batch(), share=0.25), noted)
    torch.testing.assert_close(weight(step) - before, 0.25 * moved)


def test_a_teacher_that_is_ahead_does_not_run_again(step: Step) -> None:
    assert step.teacher is not None
    known = step.teacher(batch().teacher_input)
    expected = step(batch())
    step.student.load_state_dict(linear(0).state_dict())
    passes: list[int] = []
    handle = step.teacher.tap.network.register_forward_pre_hook(lambda *_: passes.append(1))
    assert torch.equal(step(batch(), Features(known.logits, known.embedding)), expected)
    assert not passes
    step(batch())
    assert passes == [1]
    handle.remove()


@pytest.mark.parametrize(("device", "off"), [("cpu", False), ("cuda", True), ("mps", True)])
def test_the_host_waits_for_no_accelerator(device: str, off: bool) -> None:
    with without_waiting(torch.device(device)):
        assert reads_are_off() is off
    assert not reads_are_off()
