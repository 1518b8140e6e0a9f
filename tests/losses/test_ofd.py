"""The feature overhaul: its margins and closed forms."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.loss_contract import wave

from wcord.checks import UsageError
from wcord.losses.ofd import ofd_loss, ofd_margin

WEIGHT = torch.tensor([1.0, 0.5, -0.8, 0.2, 0.3], dtype=torch.float64)
BIAS = torch.tensor([0.0, 0.3, -0.4, 1.0, -2.0], dtype=torch.float64)


@pytest.fixture
def maps():
    return (2 * wave((2, 5, 3, 3), 0.1)).requires_grad_(), 2 * wave((2, 5, 3, 3), 0.7), ofd_margin(WEIGHT, BIAS)


def test_margins_are_those_of_the_public_code():
    expected = [-0.7978845608028654, -0.3075128801187717, -0.8073283470696269, -0.6, -2.000000000026733]
    torch.testing.assert_close(ofd_margin(WEIGHT, BIAS), torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=0)


def test_a_larger_student_is_pooled(maps):
    _, teacher, margin = maps
    student = wave((2, 5, 6, 6), 0.4)
    torch.testing.assert_close(
        ofd_loss(student, teacher, margin), ofd_loss(F.adaptive_avg_pool2d(student, 3), teacher, margin)
    )


def test_margin_is_the_mean_of_negative_draws():
    generator = torch.Generator().manual_seed(0)
    for weight, bias in zip(WEIGHT.tolist(), BIAS.tolist(), strict=True):
        draws = bias + weight * torch.randn(400_000, generator=generator, dtype=torch.float64)
        if (negative := draws[draws < 0]).numel() > 1000:
            margin = ofd_margin(torch.tensor([weight]), torch.tensor([bias])).item()
            assert margin == pytest.approx(negative.mean().item(), rel=2e-2)


def test_margin_without_spread_is_the_negative_bias_or_zero():
    margin = ofd_margin(torch.zeros(3), torch.tensor([-0.5, 0.0, 2.0]))
    assert margin.tolist() == [-0.5, 0.0, 0.0]


@settings(deadline=None, max_examples=60)
@given(st.floats(-5, 5), st.floats(-20, 20))
def test_margins_are_finite_never_positive_and_below_the_bias(weight, bias):
    numbers = torch.tensor([[weight], [bias]], dtype=torch.float64)
    margin = ofd_margin(*numbers).item()
    assert math.isfinite(margin)
    assert margin <= 0
    assert margin <= bias + 1e-12


def test_silent_neurons_cost_nothing_where_the_student_is_silent_too(maps):
    _, _, margin = maps
    assert ofd_loss(torch.full((2, 5, 3, 3), -9.0), torch.full((2, 5, 3, 3), -8.0), margin).item() == 0.0


def test_firing_neurons_cost_the_squared_distance(maps):
    student, _, margin = maps
    teacher = student.detach().abs() + 1
    torch.testing.assert_close(ofd_loss(student, teacher, margin), (student - teacher).square().sum() / 2)


def test_errors_of_the_margin():
    with pytest.raises(UsageError, match=r"one batch normalization, received shapes \(3,\) and \(2,\)"):
        ofd_margin(torch.ones(3), torch.ones(2))
    with pytest.raises(UsageError, match="weight holds 1 values that are NaN"):
        ofd_margin(torch.tensor([1.0, torch.nan]), torch.ones(2))
