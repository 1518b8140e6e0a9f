"""Knowledge distillation: its limit at high temperature."""

import pytest
import torch

from wcord.losses import kd_loss


@pytest.fixture
def logits():
    torch.manual_seed(0)
    return torch.randn(4, 6, dtype=torch.float64, requires_grad=True), 3 * torch.randn(4, 6, dtype=torch.float64)


def test_high_temperature_is_half_the_squared_distance_of_centred_logits(logits):
    difference = logits[0] - logits[1]
    centred = difference - difference.mean(1, keepdim=True)
    expected = 0.5 * centred.square().mean(1).mean()
    torch.testing.assert_close(kd_loss(*logits, temperature=1e4), expected, rtol=1e-3, atol=0)
