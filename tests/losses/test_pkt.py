"""Probabilistic knowledge transfer: a closed form and its digits."""

import math

import pytest
import torch

from wcord.losses.pkt import pkt_loss


def test_two_orthogonal_samples_of_a_teacher_that_sees_no_difference():
    # q is 2/3 and 1/3, p is 1/2.
    expected = (math.log(0.5 / (2 / 3)) + math.log(0.5 / (1 / 3))) / 4
    assert pkt_loss(torch.eye(2), torch.ones(2, 3)).item() == pytest.approx(expected, rel=1e-5)


def test_single_precision_keeps_the_digits_of_a_small_loss():
    torch.manual_seed(0)
    student = torch.rand(64, 64)
    teacher = student + 0.02 * torch.randn(64, 64)
    exact = pkt_loss(student.double(), teacher.double())
    torch.testing.assert_close(pkt_loss(student, teacher).double(), exact, rtol=1e-3, atol=0)


def test_the_gradient_at_a_zero_row_is_bounded():
    student = torch.eye(4)[:, :3].clone().requires_grad_()
    pkt_loss(student, torch.ones(4, 3)).backward()
    assert student.grad.norm() < 1000


def test_opposite_samples_whose_cosine_rounds_below_minus_one_are_finite():
    half = 1000 * torch.randn(1, 3, generator=torch.Generator().manual_seed(81))
    student = torch.cat([half, -half]).requires_grad_()
    loss = pkt_loss(student, torch.eye(2))
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()
