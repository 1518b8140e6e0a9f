"""Activation boundaries against their loop, the public benchmark's value, their limits and their errors."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.losses.ab import ab_loss


def _fill(shape, phase):
    return torch.sin(0.7 * (torch.arange(math.prod(shape), dtype=torch.float64) + 1) + phase).reshape(shape)


def _naive(student, teacher, margin):
    total = 0.0
    for s, t in zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True):
        if t > 0:
            total += (s - margin) ** 2 if s <= margin else 0.0
        else:
            total += (s + margin) ** 2 if s > -margin else 0.0
    return 3 * total / 1000 / len(student)


@pytest.fixture
def maps():
    return (2 * _fill((2, 5, 2, 2), 0.3)).requires_grad_(), _fill((2, 5, 2, 2), 0.6)


@pytest.mark.parametrize("margin", [0.5, 1.0, 3.0])
def test_is_the_loop(maps, margin):
    assert ab_loss(*maps, margin=margin).item() == pytest.approx(_naive(*maps, margin))


def test_is_the_value_of_the_public_benchmark(maps):
    assert ab_loss(*maps).item() == pytest.approx(0.008961108310290483, rel=1e-9)
    assert ab_loss(*maps, margin=0.5).item() == pytest.approx(0.002013272804324961, rel=1e-9)


def test_is_zero_where_all_neurons_agree_beyond_the_margin(maps):
    assert ab_loss(1.001 * maps[1].sign(), maps[1]).item() == 0.0


def test_zero_responses_cost_the_squared_margin(maps):
    assert ab_loss(torch.zeros(2, 5, 2, 2), maps[1], margin=2.0).item() == pytest.approx(3 / 1000 * 20 * 4.0)


def test_gradcheck_and_no_gradient_into_the_teacher(maps):
    student, teacher = maps[0], maps[1].requires_grad_()
    assert torch.autograd.gradcheck(lambda s: ab_loss(s, teacher), (student,))
    ab_loss(student, teacher).backward()
    assert teacher.grad is None


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.01, 100), st.floats(0.1, 5))
def test_ignores_the_order_of_samples_and_the_size_of_the_teachers_responses(seed, scale, margin):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(4, 3, 2, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    order = torch.randperm(4, generator=generator)
    plain = ab_loss(student, teacher, margin=margin)
    torch.testing.assert_close(ab_loss(student[order], scale * teacher[order], margin=margin), plain)
    assert plain >= 0


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 1e4])
def test_value_and_gradient_are_finite_on_equal_and_constant_maps(value):
    student = torch.full((2, 3, 2, 2), value, requires_grad=True)
    loss = ab_loss(student, student.detach().clone())
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()


def test_half_precision_is_computed_in_single(maps):
    student, teacher = (x.detach().bfloat16() for x in maps)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = ab_loss(student, teacher)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, ab_loss(student.float(), teacher.float()))
    assert ab_loss(*maps).dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher_map": torch.zeros(2, 4, 2, 2)}, "must have the same shape, received .2, 5, 2, 2. and .2, 4, 2, 2."),
        ({"teacher_map": torch.zeros(3, 5, 2, 2)}, "must hold the same samples, received 2 and 3"),
        ({"teacher_map": torch.full((2, 5, 2, 2), torch.nan)}, "teacher_map holds 40 values that are NaN"),
        ({"student_map": torch.zeros(2, 5)}, "student_map must be a feature map"),
        ({"margin": 0.0}, "margin must be a finite number above 0, received 0.0"),
    ],
)
def test_errors(maps, change, message):
    arguments = {"student_map": maps[0], "teacher_map": maps[1]} | change
    with pytest.raises(UsageError, match=message):
        ab_loss(**arguments)
