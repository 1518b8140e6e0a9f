"""Neuron selectivity transfer against its loop, the public code's values, and its errors."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import NonFiniteError, UsageError
from wcord.losses.nst import nst_loss


def _fill(shape, phase):
    """Element n, counted from 1 in row-major order, is sin(0.3 n² + phase)."""
    return torch.sin(0.3 * torch.arange(1, torch.Size(shape).numel() + 1).double() ** 2 + phase).reshape(shape)


def _naive(student, teacher):
    def unit(channel):
        length = math.sqrt(sum(x * x for x in channel))
        return [x / length for x in channel]

    def mean_kernel(a, b):
        return sum(sum(p * q for p, q in zip(x, y, strict=True)) ** 2 for x in a for y in b) / (len(a) * len(b))

    total = 0.0
    for s, t in zip(student.flatten(2).tolist(), teacher.flatten(2).tolist(), strict=True):
        s, t = [unit(x) for x in s], [unit(x) for x in t]
        total += mean_kernel(s, s) + mean_kernel(t, t) - 2 * mean_kernel(s, t)
    return total / len(student)


@pytest.fixture
def maps():
    return _fill((2, 3, 4, 4), 0.0).requires_grad_(), _fill((2, 5, 4, 4), 1.0)


def test_is_the_loop(maps):
    assert nst_loss(*maps).item() == pytest.approx(_naive(*maps))


@pytest.mark.parametrize(("student_size", "value"), [(4, 0.4735078629), (6, 0.527826655)])
def test_is_the_public_code(student_size, value):
    # RepDistiller, distiller_zoo/NST.py, run on these inputs in double precision.
    loss = nst_loss(_fill((2, 3, student_size, student_size), 0.0), _fill((2, 5, 4, 4), 1.0))
    assert loss.item() == pytest.approx(value, rel=1e-8)


def test_is_the_distance_of_the_mean_outer_products(maps):
    outer = [torch.nn.functional.normalize(x.flatten(2), dim=2) for x in maps]
    outer = [x.transpose(1, 2) @ x / x.shape[1] for x in outer]
    torch.testing.assert_close(nst_loss(*maps), (outer[0] - outer[1]).square().sum(dim=(1, 2)).mean())


def test_channels_on_other_places_are_at_the_greatest_distance():
    student, teacher = torch.zeros(2, 3, 2, 2), torch.zeros(2, 1, 2, 2)
    student[:, :, 0, 0], teacher[:, :, 1, 1] = 5.0, 0.1
    assert nst_loss(student, teacher).item() == pytest.approx(2)


@pytest.mark.parametrize("sizes", [(3, 3), (5, 3), (3, 5)])
def test_gradcheck_and_no_gradient_into_the_teacher(sizes):
    student = _fill((2, 2, sizes[0], sizes[0]), 0.0).requires_grad_()
    teacher = _fill((2, 3, sizes[1], sizes[1]), 1.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: nst_loss(s, teacher), (student,))
    nst_loss(student, teacher).backward()
    assert teacher.grad is None


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_ignores_order_of_samples_and_channels_and_the_channels_scale_and_sign(seed):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(3, c, 4, 4, generator=generator, dtype=torch.float64) for c in (4, 2))
    order, channels = torch.randperm(3, generator=generator), torch.randperm(4, generator=generator)
    factor = 0.2 + torch.rand(4, 1, 1, generator=generator, dtype=torch.float64)
    factor[0] *= -1
    plain = nst_loss(student, teacher)
    torch.testing.assert_close(nst_loss((factor * student)[order][:, channels], teacher[order]), plain)
    torch.testing.assert_close(nst_loss(teacher, student), plain)
    assert plain >= -1e-12


_ONE = torch.zeros(2, 3, 4, 4)
_ONE[:, :, 1, 2] = 1e4
_DEAD = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
_DEAD[:, 1] = 0
_MAPS = {"zero": torch.zeros(2, 3, 4, 4), "constant": torch.ones(2, 3, 4, 4), "one-hot": _ONE, "a dead channel": _DEAD}


@pytest.mark.parametrize("student", _MAPS.values(), ids=_MAPS)
@pytest.mark.parametrize("teacher", _MAPS.values(), ids=_MAPS)
def test_value_and_gradient_are_finite(student, teacher):
    student = student.clone().requires_grad_()
    loss = nst_loss(student, teacher)
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()
    assert student.grad.abs().max() < 1e4
    assert abs(nst_loss(student, student).item()) < 1e-6


def test_the_gradient_at_a_nearly_zero_channel_is_bounded():
    student = torch.eye(16)[:2].reshape(1, 2, 4, 4)
    student[:, 1] = 1e-8
    nst_loss(student.requires_grad_(), torch.ones(1, 2, 4, 4)).backward()
    assert student.grad.norm() < 1000


def test_half_precision_is_computed_in_single(maps):
    student, teacher = (x.detach().bfloat16() for x in maps)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = nst_loss(student, teacher)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, nst_loss(student.float(), teacher.float()))
    assert nst_loss(*maps).dtype == torch.float64
    assert nst_loss(maps[0].float(), maps[1]).dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher_map": torch.zeros(3, 5, 4, 4)}, "must hold the same samples, received 2 and 3 rows"),
        ({"student_map": torch.zeros(2, 3)}, "student_map must be a feature map"),
    ],
)
def test_errors(maps, change, message):
    with pytest.raises(UsageError, match=message):
        nst_loss(**{"student_map": maps[0], "teacher_map": maps[1]} | change)


def test_non_finite_maps_are_refused(maps):
    with pytest.raises(NonFiniteError, match="teacher_map holds 160 values that are NaN or infinite"):
        nst_loss(maps[0], torch.full((2, 5, 4, 4), torch.nan))
