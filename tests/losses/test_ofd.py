"""The feature overhaul against its loop, the public values, its limits and its errors; its margins."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.losses.ofd import ofd_loss, ofd_margin

WEIGHT = torch.tensor([1.0, 0.5, -0.8, 0.2, 0.3], dtype=torch.float64)
BIAS = torch.tensor([0.0, 0.3, -0.4, 1.0, -2.0], dtype=torch.float64)


def _fill(shape, phase):
    return torch.sin(0.7 * (torch.arange(math.prod(shape), dtype=torch.float64) + 1) + phase).reshape(shape)


def _naive(student, teacher, margin):
    total = 0.0
    for student_channels, teacher_channels in zip(student, teacher, strict=True):
        for s_map, t_map, m in zip(student_channels, teacher_channels, margin.tolist(), strict=True):
            for s, t in zip(s_map.flatten().tolist(), t_map.flatten().tolist(), strict=True):
                wanted = max(t, m)
                if wanted > 0 or s > wanted:
                    total += (s - wanted) ** 2
    return total / len(student)


@pytest.fixture
def maps():
    return (2 * _fill((2, 5, 3, 3), 0.1)).requires_grad_(), 2 * _fill((2, 5, 3, 3), 0.7), ofd_margin(WEIGHT, BIAS)


def test_is_the_loop(maps):
    assert ofd_loss(*maps).item() == pytest.approx(_naive(*maps))


def test_is_the_value_of_the_public_code(maps):
    student, _, margin = maps
    assert ofd_loss(*maps).item() == pytest.approx(24.524018189721065, rel=1e-9)
    larger = 2 * _fill((2, 5, 6, 6), 0.7)
    assert ofd_loss(student, larger, margin).item() == pytest.approx(43.75935168699981, rel=1e-9)


def test_margins_are_those_of_the_public_code():
    expected = [-0.7978845608028654, -0.3075128801187717, -0.8073283470696269, -0.6, -2.000000000026733]
    torch.testing.assert_close(ofd_margin(WEIGHT, BIAS), torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=0)


def test_a_larger_student_is_pooled(maps):
    _, teacher, margin = maps
    student = _fill((2, 5, 6, 6), 0.4)
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


def test_gradcheck_and_no_gradient_into_teacher_and_margin(maps):
    student, teacher, margin = maps[0], maps[1].requires_grad_(), maps[2].requires_grad_()
    assert torch.autograd.gradcheck(lambda s: ofd_loss(s, teacher, margin), (student,))
    ofd_loss(student, teacher, margin).backward()
    assert teacher.grad is None
    assert margin.grad is None


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.1, 10))
def test_ignores_order_of_samples_and_channels_and_grows_with_the_square_of_scale(seed, scale):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(4, 3, 2, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    margin = -torch.rand(3, generator=generator, dtype=torch.float64)
    rows, columns = torch.randperm(4, generator=generator), torch.randperm(3, generator=generator)
    moved = ofd_loss(scale * student[rows][:, columns], scale * teacher[rows][:, columns], scale * margin[columns])
    torch.testing.assert_close(moved, scale**2 * ofd_loss(student, teacher, margin))


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 1e4])
def test_value_and_gradient_are_finite_on_equal_and_constant_maps(value):
    student = torch.full((2, 3, 2, 2), value, requires_grad=True)
    loss = ofd_loss(student, student.detach().clone(), torch.tensor([-0.5, 0.0, -2.0]))
    loss.backward()
    assert loss.item() == 0.0
    assert student.grad.isfinite().all()


def test_half_precision_is_computed_in_single(maps):
    student, teacher, margin = (x.detach().bfloat16() for x in maps)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = ofd_loss(student, teacher, margin)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, ofd_loss(student.float(), teacher.float(), margin.float()))
    assert ofd_loss(*maps).dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"teacher_map": torch.zeros(2, 4, 3, 3)},
            "received 5 channels of the student, 4 of the teacher and 5 margins",
        ),
        ({"margin": -torch.ones(4)}, "5 of the teacher and 4 margins: bring the student's map to the teacher's"),
        ({"margin": torch.full((5,), 0.25)}, "margin must be at most 0.*received 0.25: compute it with ofd_margin"),
        ({"margin": torch.full((5,), torch.nan)}, "margin holds 5 values that are NaN"),
        ({"teacher_map": torch.zeros(1, 5, 3, 3)}, "must hold the same samples, received 2 and 1"),
        ({"student_map": torch.full((2, 5, 3, 3), torch.inf)}, "student_map holds 90 values that are NaN or infinite"),
    ],
)
def test_errors(maps, change, message):
    arguments = {"student_map": maps[0], "teacher_map": maps[1], "margin": maps[2]} | change
    with pytest.raises(UsageError, match=message):
        ofd_loss(**arguments)


def test_errors_of_the_margin():
    with pytest.raises(UsageError, match=r"one batch normalization, received shapes \(3,\) and \(2,\)"):
        ofd_margin(torch.ones(3), torch.ones(2))
    with pytest.raises(UsageError, match="weight holds 1 values that are NaN"):
        ofd_margin(torch.tensor([1.0, torch.nan]), torch.ones(2))
