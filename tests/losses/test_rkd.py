"""Relational distillation: closed forms and its digits."""

import math

import pytest
import torch
from tests.support.loss_contract import fill
from tests.support.naive_losses import huber

from wcord.losses.rkd import rkd_loss


def test_a_corner_and_a_line():
    corner, line = torch.tensor([[0.0, 0], [1, 0], [0, 1]]), torch.tensor([[0.0], [1], [2]])
    mean = (2 + math.sqrt(2)) / 3
    distance = 2 / 9 * sum(huber(d) for d in (1 / mean - 3 / 4, math.sqrt(2) / mean - 3 / 4, 1 / mean - 3 / 2))
    angle = 2 / 27 * sum(huber(d) for d in (0 - 1, math.sqrt(0.5) + 1, math.sqrt(0.5) - 1))
    # The diagonal a_ijj = 1 of a_ijk agrees in both.
    assert rkd_loss(corner, line).item() == pytest.approx(25 * distance + 50 * angle)


def test_two_samples_have_nothing_to_compare():
    student = torch.randn(2, 3, requires_grad=True)
    loss = rkd_loss(student, torch.randn(2, 5))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-9)
    assert student.grad.abs().max() < 1e-4


def test_equal_samples_have_a_bounded_gradient():
    student = torch.tensor([[1.0, 2], [1, 2], [0, 1], [5, 5]], requires_grad=True)
    rkd_loss(student, fill((4, 6), 0.0).float()).backward()
    assert student.grad.norm() < 50 * 1000


def test_near_samples_keep_their_distance_far_from_the_origin():
    student, teacher = fill((4, 3), 0.0), fill((4, 3), 1.0)
    exact = rkd_loss(student, teacher)
    moved = (student.float() + 1024).double() - 1024  # the digits that single precision leaves at that place
    torch.testing.assert_close(
        rkd_loss((moved + 1024).float(), teacher).double(), rkd_loss(moved, teacher), rtol=1e-5, atol=0
    )
    torch.testing.assert_close(rkd_loss(moved, teacher), exact, rtol=1e-2, atol=0)
