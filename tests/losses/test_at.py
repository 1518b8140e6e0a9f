"""Attention transfer: its greatest distance."""

import pytest
import torch

from wcord.losses.at import at_loss


def test_maps_that_attend_to_other_places_are_at_the_greatest_distance():
    student, teacher = torch.zeros(2, 3, 2, 2), torch.zeros(2, 1, 2, 2)
    student[:, :, 0, 0], teacher[:, :, 1, 1] = 5.0, 0.1
    assert at_loss(student, teacher).item() == pytest.approx(2 / 4)


def test_the_gradient_at_nearly_zero_maps_is_bounded():
    student, teacher = torch.full((1, 1, 4, 4), 1e-5, requires_grad=True), torch.eye(16)[0].reshape(1, 1, 4, 4)
    at_loss(student, teacher).backward()
    assert student.grad.norm() < 10
