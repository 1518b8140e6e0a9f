"""FitNet's regression: a closed form and shapes."""

import pytest
import torch

from wcord.losses.fitnet import fitnet_loss


def test_of_random_normal_maps_is_about_two():
    torch.manual_seed(0)
    assert fitnet_loss(torch.randn(8, 16, 16, 16), torch.randn(8, 16, 16, 16)).item() == pytest.approx(2, rel=0.02)


def test_takes_tokens_and_vectors():
    assert fitnet_loss(torch.zeros(2, 5, 7), torch.ones(2, 5, 7)) == 1
    assert fitnet_loss(torch.zeros(2, 5), torch.ones(2, 5)) == 1
