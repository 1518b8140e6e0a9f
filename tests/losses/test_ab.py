"""Activation boundaries: what costs nothing and what costs most."""

import pytest
import torch
from tests.support.loss_contract import wave

from wcord.losses.ab import ab_loss


@pytest.fixture
def maps():
    return (2 * wave((2, 5, 2, 2), 0.3)).requires_grad_(), wave((2, 5, 2, 2), 0.6)


def test_is_zero_where_all_neurons_agree_beyond_the_margin(maps):
    assert ab_loss(1.001 * maps[1].sign(), maps[1]).item() == 0.0


def test_zero_responses_cost_the_squared_margin(maps):
    assert ab_loss(torch.zeros(2, 5, 2, 2), maps[1], margin=2.0).item() == pytest.approx(3 / 1000 * 20 * 4.0)
