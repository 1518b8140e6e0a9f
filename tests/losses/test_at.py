"""Attention transfer against its loop, the public code's values, and its errors."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import NonFiniteError, UsageError
from wcord.losses.at import at_loss


def _fill(shape, phase):
    """Element n, counted from 1 in row-major order, is sin(0.3 n² + phase)."""
    return torch.sin(0.3 * torch.arange(1, torch.Size(shape).numel() + 1).double() ** 2 + phase).reshape(shape)


def _naive(student, teacher, p):
    total = 0.0
    for pair in zip(student.tolist(), teacher.tolist(), strict=True):
        attention = []
        for channels in pair:
            places = [
                sum(abs(channel[h][w]) ** p for channel in channels) / len(channels)
                for h in range(len(channels[0]))
                for w in range(len(channels[0][0]))
            ]
            length = math.sqrt(sum(x * x for x in places))
            attention.append([x / length for x in places])
        total += sum((a - b) ** 2 for a, b in zip(*attention, strict=True)) / len(attention[0])
    return total / len(student)


@pytest.fixture
def maps():
    return _fill((3, 4, 6, 6), 0.0).requires_grad_(), _fill((3, 5, 6, 6), 1.0)


@pytest.mark.parametrize("p", [1, 2, 3, 2.5])
def test_is_the_loop(maps, p):
    assert at_loss(*maps, p=p).item() == pytest.approx(_naive(*maps, p))


def test_default_power_is_two(maps):
    assert at_loss(*maps).item() == pytest.approx(_naive(*maps, 2))


@pytest.mark.parametrize(
    ("student_size", "teacher_size", "p", "value"),
    [
        (6, 6, 2, 0.006342570566),
        (6, 4, 2, 0.0140072053),
        (4, 6, 2, 0.01407843884),
        (6, 6, 4, 0.01128352268),
    ],
)
def test_is_the_public_code(student_size, teacher_size, p, value):
    # RepDistiller, distiller_zoo/AT.py, run on these inputs in double precision.
    student, teacher = _fill((3, 4, student_size, student_size), 0.0), _fill((3, 5, teacher_size, teacher_size), 1.0)
    assert at_loss(student, teacher, p=p).item() == pytest.approx(value, rel=1e-8)


def test_maps_that_attend_to_other_places_are_at_the_greatest_distance():
    student, teacher = torch.zeros(2, 3, 2, 2), torch.zeros(2, 1, 2, 2)
    student[:, :, 0, 0], teacher[:, :, 1, 1] = 5.0, 0.1
    assert at_loss(student, teacher).item() == pytest.approx(2 / 4)


@pytest.mark.parametrize(("sizes", "p"), [((3, 3), 2), ((5, 3), 2), ((3, 5), 2), ((3, 3), 1.5)])
def test_gradcheck_and_no_gradient_into_the_teacher(sizes, p):
    student = _fill((2, 2, sizes[0], sizes[0]), 0.0).requires_grad_()
    teacher = _fill((2, 3, sizes[1], sizes[1]), 1.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: at_loss(s, teacher, p=p), (student,))
    at_loss(student, teacher, p=p).backward()
    assert teacher.grad is None


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.floats(0.1, 10), st.sampled_from([-1, 1]))
def test_ignores_order_of_samples_and_channels_scale_and_sign(seed, scale, sign):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(3, c, 4, 4, generator=generator, dtype=torch.float64) for c in (4, 2))
    order, channels = torch.randperm(3, generator=generator), torch.randperm(4, generator=generator)
    plain = at_loss(student, teacher)
    torch.testing.assert_close(at_loss(scale * sign * student[order][:, channels], teacher[order]), plain)
    torch.testing.assert_close(at_loss(student, scale * teacher), plain)
    assert 0 <= plain <= 2 / 16


@pytest.mark.parametrize("p", [1, 1.5, 2, 4])
@pytest.mark.parametrize(
    "student", [torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4), 1e-7 * torch.eye(4).repeat(2, 3, 1, 1)]
)
@pytest.mark.parametrize(
    "teacher", [torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4), 1e4 * torch.eye(4).repeat(2, 3, 1, 1)]
)
def test_value_and_gradient_are_finite(student, teacher, p):
    student = student.clone().requires_grad_()
    loss = at_loss(student, teacher, p=p)
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()
    assert student.grad.abs().max() < 1e6
    if torch.equal(student, teacher):
        assert loss == 0


def test_the_gradient_at_nearly_zero_maps_is_bounded():
    student, teacher = torch.full((1, 1, 4, 4), 1e-5, requires_grad=True), torch.eye(16)[0].reshape(1, 1, 4, 4)
    at_loss(student, teacher).backward()
    assert student.grad.norm() < 10


def test_half_precision_is_computed_in_single(maps):
    student, teacher = (x.detach().bfloat16() for x in maps)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = at_loss(student, teacher)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, at_loss(student.float(), teacher.float()))
    assert at_loss(*maps).dtype == torch.float64
    assert at_loss(maps[0].float(), maps[1]).dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p": 0.5}, "p must be a finite number of at least 1, received 0.5"),
        ({"p": math.inf}, "p must be a finite number of at least 1, received inf"),
        ({"teacher_map": torch.zeros(2, 5, 6, 6)}, "must hold the same samples, received 3 and 2 rows"),
        ({"student_map": torch.zeros(3, 4)}, "student_map must be a feature map"),
    ],
)
def test_errors(maps, change, message):
    with pytest.raises(UsageError, match=message):
        at_loss(**{"student_map": maps[0], "teacher_map": maps[1]} | change)


def test_non_finite_maps_are_refused(maps):
    with pytest.raises(NonFiniteError, match="student_map holds 432 values that are NaN or infinite"):
        at_loss(torch.full((3, 4, 6, 6), torch.nan), maps[1])
