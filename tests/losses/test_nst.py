"""Neuron selectivity transfer: a second form and its greatest distance."""

import pytest
import torch
from tests.support.loss_contract import fill

from wcord.losses.nst import nst_loss


@pytest.fixture
def maps():
    return fill((2, 3, 4, 4), 0.0).requires_grad_(), fill((2, 5, 4, 4), 1.0)


def test_is_the_distance_of_the_mean_outer_products(maps):
    outer = [torch.nn.functional.normalize(x.flatten(2), dim=2) for x in maps]
    outer = [x.transpose(1, 2) @ x / x.shape[1] for x in outer]
    torch.testing.assert_close(nst_loss(*maps), (outer[0] - outer[1]).square().sum(dim=(1, 2)).mean())


def test_channels_on_other_places_are_at_the_greatest_distance():
    student, teacher = torch.zeros(2, 3, 2, 2), torch.zeros(2, 1, 2, 2)
    student[:, :, 0, 0], teacher[:, :, 1, 1] = 5.0, 0.1
    assert nst_loss(student, teacher).item() == pytest.approx(2)


def test_the_gradient_at_a_nearly_zero_channel_is_bounded():
    student = torch.eye(16)[:2].reshape(1, 2, 4, 4)
    student[:, 1] = 1e-8
    nst_loss(student.requires_grad_(), torch.ones(1, 2, 4, 4)).backward()
    assert student.grad.norm() < 1000
