import pytest
import torch
from torch import nn

from wcord.models.initialize import initialize_convolutions


def test_convolutions_follow_the_fan_out_and_others_stay():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(64, 128, 3), nn.Conv2d(128, 128, 3, groups=128), nn.Linear(4, 4))
    linear = network[2].weight.clone()
    initialize_convolutions(network)
    expected = (2 / (9 * 128)) ** 0.5
    assert network[0].weight.std().item() == pytest.approx(expected, rel=0.02)
    assert network[1].weight.std().item() == pytest.approx(expected, rel=0.1)
    assert network[0].bias.abs().max() == 0
    assert torch.equal(network[2].weight, linear)
