"""Cross-entropy against its sum, and its errors."""

import math

import pytest
import torch

from wcord.checks import UsageError
from wcord.losses import cross_entropy_loss


@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
def test_is_the_double_loop(smoothing):
    torch.manual_seed(0)
    logits, target = torch.randn(4, 5, dtype=torch.float64), torch.tensor([0, 4, 2, 2])
    expected = 0.0
    for i in range(4):
        partition = sum(math.exp(logits[i, c]) for c in range(5))
        for c in range(5):
            wanted = (1 - smoothing) * (c == target[i]) + smoothing / 5
            expected -= wanted * math.log(math.exp(logits[i, c]) / partition) / 4
    assert cross_entropy_loss(logits, target, label_smoothing=smoothing).item() == pytest.approx(expected)


def test_gradcheck():
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0, 3, 1])
    assert torch.autograd.gradcheck(lambda x: cross_entropy_loss(x, target, label_smoothing=0.1), (logits,))


@pytest.mark.parametrize("size", [0.0, 1e4, -1e4])
def test_extreme_logits_are_finite(size):
    logits = (torch.eye(3) * size).requires_grad_()
    loss = cross_entropy_loss(logits, torch.tensor([0, 2, 1]))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_half_precision_is_computed_in_single():
    logits = torch.randn(4, 100).bfloat16()
    target = torch.arange(4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(cross_entropy_loss(logits, target), cross_entropy_loss(logits.float(), target))


@pytest.mark.parametrize(
    ("logits", "target", "smoothing", "message"),
    [
        (torch.zeros(2, 3), torch.tensor([0, 3]), 0.0, "target holds classes 0 to 3, logits have 3 classes"),
        (torch.zeros(2, 3), torch.tensor([-1, 1]), 0.0, "target holds classes -1 to 1"),
        (torch.zeros(2, 3), torch.tensor([[0], [1]]), 0.0, "target must hold one class number per sample"),
        (torch.zeros(2, 3), torch.tensor([0]), 0.0, "logits and target must hold the same samples"),
        (torch.zeros(3), torch.tensor([0]), 0.0, "logits must be a matrix"),
        (torch.zeros(1, 3), torch.tensor([0]), 1.5, "label_smoothing must lie between 0 and 1"),
    ],
)
def test_errors(logits, target, smoothing, message):
    with pytest.raises(UsageError, match=message):
        cross_entropy_loss(logits, target, label_smoothing=smoothing)
