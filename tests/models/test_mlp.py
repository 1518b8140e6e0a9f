"""Perceptrons: their size, and that a gap counts as the mean and is known to be a gap."""

import pytest
import torch

from wcord.checks import UsageError
from wcord.models.create import create_model
from wcord.models.weights import load_weights


def test_size_follows_the_name() -> None:
    network = create_model("mlp32x2", num_classes=3, in_channels=5, image_size=(4, 1))
    sizes = [tuple(p.shape) for p in network.parameters() if p.dim() == 2]
    assert sizes == [(32, 40), (32, 32), (3, 32)]
    assert network(torch.zeros(2, 5, 4, 1)).shape == (2, 3)


def test_a_gap_is_the_mean_and_a_flag() -> None:
    torch.manual_seed(0)
    network = create_model("mlp8x1", num_classes=2, in_channels=2)
    whole, gap = torch.tensor([[0.0, 1.0]]), torch.tensor([[float("nan"), 1.0]])
    whole, gap = whole.view(1, 2, 1, 1), gap.view(1, 2, 1, 1)
    assert network(gap).isfinite().all()
    assert not torch.equal(network(gap), network(whole))
    with torch.no_grad():
        next(network.parameters())[:, 2:] = 0  # no weight on the flags
    assert torch.equal(network(gap), network(whole))
    network(gap).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_names_that_are_none(tmp_path) -> None:
    for name in ("mlp", "mlp0x1", "mlp8x0", "mlp8"):
        with pytest.raises(UsageError, match="unknown model"):
            create_model(name)
    network = create_model("mlp8x1", in_channels=2)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    load_weights(create_model("mlp8x1", in_channels=2), tmp_path / "w.pth")
