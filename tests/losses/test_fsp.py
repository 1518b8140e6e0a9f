"""Flow of the solution procedure against its loop, the public benchmark's value, its limits and its errors."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.losses.fsp import fsp_loss


def _fill(shape, phase):
    return torch.sin(0.7 * (torch.arange(math.prod(shape), dtype=torch.float64) + 1) + phase).reshape(shape)


def _flow(first, second):
    """Return channels × channels of one sample whose two maps have one size."""
    _, height, width = first.shape
    places = [(h, w) for h in range(height) for w in range(width)]
    return [[sum((a[h, w] * b[h, w]).item() for h, w in places) / len(places) for b in second] for a in first]


def _naive(student_maps, teacher_maps):
    total = 0.0
    for pair in range(len(student_maps) - 1):
        differences = []
        for sample in range(len(student_maps[0])):
            student, teacher = (_flow(m[pair][sample], m[pair + 1][sample]) for m in (student_maps, teacher_maps))
            for rows in zip(student, teacher, strict=True):
                differences += [(s - t) ** 2 for s, t in zip(*rows, strict=True)]
        total += sum(differences) / len(differences)
    return total


@pytest.fixture
def maps():
    student = [_fill((2, 3, 6, 6), 0.1), _fill((2, 4, 6, 6), 0.2), _fill((2, 5, 3, 3), 0.3)]
    teacher = [_fill((2, 3, 4, 4), 0.4), _fill((2, 4, 2, 2), 0.5), _fill((2, 5, 4, 4), 0.6)]
    return student, teacher


def test_is_the_loop():
    student = [_fill((2, 3, 2, 3), 0.1), _fill((2, 4, 2, 3), 0.2), _fill((2, 2, 2, 3), 0.3)]
    teacher = [_fill((2, 3, 2, 3), 0.4), _fill((2, 4, 2, 3), 0.5), _fill((2, 2, 2, 3), 0.6)]
    assert fsp_loss(student, teacher).item() == pytest.approx(_naive(student, teacher))


def test_is_the_value_of_the_public_benchmark(maps):
    assert fsp_loss(*maps).item() == pytest.approx(0.28477218743604205, rel=1e-9)


def test_the_larger_neighbour_is_pooled(maps):
    student, teacher = maps
    pooled = [F.adaptive_avg_pool2d(student[1], 3), student[2]]
    torch.testing.assert_close(fsp_loss(student[1:], teacher[1:]), fsp_loss(pooled, teacher[1:]))


def test_a_teacher_of_zeros_leaves_the_students_own_flow():
    student = [torch.full((1, 2, 2, 2), 2.0), torch.full((1, 1, 2, 2), 3.0)]
    assert fsp_loss(student, [torch.zeros_like(x) for x in student]).item() == pytest.approx(36.0)


def test_gradcheck_and_no_gradient_into_the_teacher(maps):
    student, teacher = ([x.clone().requires_grad_() for x in side] for side in maps)
    assert torch.autograd.gradcheck(lambda *s: fsp_loss(s, teacher), tuple(student))
    fsp_loss(student, teacher).backward()
    assert all(x.grad is None for x in teacher)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.1, 10))
def test_ignores_the_order_of_samples_and_grows_with_the_fourth_power_of_scale(seed, scale):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(4, 2, 4, 4), (4, 3, 2, 2)]
    student = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    teacher = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    order = torch.randperm(4, generator=generator)
    plain = fsp_loss(student, teacher)
    moved = fsp_loss([scale * x[order] for x in student], [scale * x[order] for x in teacher])
    torch.testing.assert_close(moved, scale**4 * plain)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
def test_value_and_gradient_are_finite_on_equal_zero_and_constant_maps(value):
    student = [torch.full(shape, value, requires_grad=True) for shape in ((2, 3, 4, 4), (2, 2, 2, 2))]
    loss = fsp_loss(student, [x.detach().clone() for x in student])
    loss.backward()
    assert loss.item() == 0.0
    assert all(x.grad.isfinite().all() for x in student)


def test_half_precision_is_computed_in_single(maps):
    student, teacher = ([x.bfloat16() for x in side] for side in maps)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = fsp_loss(student, teacher)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, fsp_loss([x.float() for x in student], [x.float() for x in teacher]))
    assert fsp_loss(*maps).dtype == torch.float64


def test_errors(maps):
    student, teacher = maps
    cases = [
        (student[:1], teacher[:1], "at least two of each network.*received 1 of the student and 1 of the teacher"),
        (student, teacher[:2], "as many of both, received 3 of the student and 2 of the teacher"),
        (student[:2], teacher[1:], "equal channels, received a student of 3, 4 and a teacher of 4, 5: .*'at'"),
        (student[:2], [x[:1] for x in teacher[:2]], r"must hold the same samples, received 2 and 1"),
        ([student[0], torch.full((2, 4, 6, 6), torch.nan)], teacher[:2], r"student_maps\[1\] holds 288 values"),
        (student[:2], [teacher[0], torch.zeros(2, 4)], r"teacher_maps\[1\] must be a feature map"),
    ]
    for students, teachers, message in cases:
        with pytest.raises(UsageError, match=message):
            fsp_loss(students, teachers)
