"""InfoNCE inside the batch: cross-entropy of the similarities, in one direction."""

import math

import pytest
import torch
import torch.nn.functional as F
from tests.support.loss_contract import fill
from torch import Tensor

from wcord.losses.infonce import infonce_loss


def sides() -> tuple[Tensor, Tensor]:
    return fill((5, 6), 0.0), fill((5, 6), 1.0)


@pytest.mark.parametrize(("temperature", "expected"), [(0.07, 0.5012707097), (0.5, 1.1021514684), (2.0, 1.4590251728)])
def test_values_written_down_once(temperature: float, expected: float) -> None:
    assert infonce_loss(*sides(), temperature=temperature).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_is_cross_entropy_with_the_own_sample_as_class(temperature: float) -> None:
    student, teacher = (side.requires_grad_() for side in sides())
    similarity = F.normalize(student, dim=1) @ F.normalize(teacher, dim=1).T
    expected = F.cross_entropy(similarity / temperature, torch.arange(5))
    loss = infonce_loss(student, teacher, temperature=temperature)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    gradients = torch.autograd.grad(loss, [student, teacher])
    torch.testing.assert_close(gradients, torch.autograd.grad(expected, [student, teacher]), rtol=1e-5, atol=1e-8)


def test_it_runs_from_the_student_to_the_teachers_samples() -> None:
    student, teacher = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    forward = infonce_loss(student, teacher, temperature=1.0).item()
    assert forward == pytest.approx(math.log(2))  # each student is as near to both teachers
    backward = infonce_loss(teacher, student, temperature=1.0).item()
    assert backward == pytest.approx(math.log(1 + math.e) - 0.5)


@pytest.mark.parametrize("batch", [2, 3, 7])
def test_closed_forms_at_chance_and_at_orthogonal_pairs(batch: int) -> None:
    chance = infonce_loss(torch.ones(batch, 3), fill((batch, 3), 0.0).float(), temperature=1e6)
    assert chance.item() == pytest.approx(math.log(batch), rel=1e-5)
    pairs = infonce_loss(torch.eye(batch), 3 * torch.eye(batch), temperature=0.5)
    assert pairs.item() == pytest.approx(math.log(1 + (batch - 1) * math.exp(-2)), rel=1e-5)


def test_zero_rows_have_a_finite_gradient_on_both_sides() -> None:
    student, teacher = torch.zeros(3, 4, requires_grad=True), torch.zeros(3, 4, requires_grad=True)
    loss = infonce_loss(student, teacher, temperature=0.07)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(3))
    assert student.grad.isfinite().all()
    assert teacher.grad.isfinite().all()
