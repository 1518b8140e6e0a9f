"""Margin softmax: the reference, the closed form at no margin, no special case beyond π, and gradients at ±1."""

import math

import pytest
import torch
import torch.nn.functional as F
from tests.support.golden import golden
from tests.support.loss_contract import fill

from wcord.losses.margin_softmax import margin_softmax_loss


@pytest.mark.parametrize(("scale", "margin"), [(64, 0.5), (30, 0.35)])
def test_is_the_reference(scale: float, margin: float) -> None:
    values = golden("apt")
    inputs = [values["arc_embedding"].double(), values["arc_weight"].double(), values["arc_target"]]
    loss = margin_softmax_loss(*inputs, scale=scale, margin=margin)
    assert loss.item() == pytest.approx(values[f"arc_loss_s{scale}_m{margin}"].item(), rel=1e-9)


def test_values_of_small_inputs() -> None:
    inputs = fill((3, 4), 0.0), fill((5, 4), 1.0), torch.tensor([0, 3, 4])
    assert margin_softmax_loss(*inputs).item() == pytest.approx(VALUES[0], rel=1e-9)
    assert margin_softmax_loss(*inputs, scale=30.0, margin=0.35).item() == pytest.approx(VALUES[1], rel=1e-9)


VALUES = (42.083004889226316, 16.98605667822301)


def test_without_a_margin_it_is_the_cross_entropy_of_scaled_cosines() -> None:
    x, w, target = fill((3, 4), 0.0), fill((5, 4), 1.0), torch.tensor([0, 3, 4])
    expected = F.cross_entropy(10 * F.normalize(x) @ F.normalize(w).T, target)
    torch.testing.assert_close(margin_softmax_loss(x, w, target, scale=10.0, margin=0.0), expected)


def test_beyond_pi_the_cosine_rises_again() -> None:
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    angle = 3.0
    x = torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64)
    logits = torch.tensor([[math.cos(angle + 0.5), math.sin(angle)]], dtype=torch.float64)
    expected = F.cross_entropy(4 * logits, torch.tensor([0]))
    torch.testing.assert_close(margin_softmax_loss(x, weight, torch.tensor([0]), scale=4.0), expected)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_gradient_is_finite_at_the_own_class_and_opposite_to_it(sign: float) -> None:
    weight = torch.eye(3, requires_grad=True)
    x = (sign * torch.eye(3)).requires_grad_()
    margin_softmax_loss(x, weight, torch.arange(3)).backward()
    assert x.grad is not None
    assert weight.grad is not None
    assert bool(x.grad.isfinite().all() and weight.grad.isfinite().all())


def test_both_sides_train() -> None:
    x, w = fill((3, 4), 0.0).requires_grad_(), fill((5, 4), 1.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: margin_softmax_loss(a, b, torch.tensor([0, 3, 4]), scale=3.0), (x, w))
