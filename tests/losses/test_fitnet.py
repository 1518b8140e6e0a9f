"""FitNet's regression against its loop, the public code's value, and its errors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import NonFiniteError, UsageError
from wcord.losses.fitnet import fitnet_loss


def _fill(shape, phase):
    """Element n, counted from 1 in row-major order, is sin(0.3 n² + phase)."""
    return torch.sin(0.3 * torch.arange(1, torch.Size(shape).numel() + 1).double() ** 2 + phase).reshape(shape)


@pytest.fixture
def maps():
    return _fill((2, 3, 4, 4), 0.0).requires_grad_(), _fill((2, 3, 4, 4), 1.0)


def test_is_the_loop(maps):
    pairs = list(zip(maps[0].flatten().tolist(), maps[1].flatten().tolist(), strict=True))
    assert fitnet_loss(*maps).item() == pytest.approx(sum((s - t) ** 2 for s, t in pairs) / len(pairs))


def test_is_the_public_code(maps):
    # RepDistiller, distiller_zoo/FitNet.py, run on these inputs in double precision.
    assert fitnet_loss(*maps).item() == pytest.approx(0.4782269338, rel=1e-8)


def test_of_random_normal_maps_is_about_two():
    torch.manual_seed(0)
    assert fitnet_loss(torch.randn(8, 16, 16, 16), torch.randn(8, 16, 16, 16)).item() == pytest.approx(2, rel=0.02)


def test_gradcheck_and_no_gradient_into_the_teacher(maps):
    student, teacher = maps[0], maps[1].requires_grad_()
    assert torch.autograd.gradcheck(lambda s: fitnet_loss(s, teacher), (student,))
    fitnet_loss(student, teacher).backward()
    assert teacher.grad is None


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.floats(-5, 5), st.floats(-10, 10))
def test_ignores_order_and_common_shift_and_grows_with_the_square(seed, shift, scale):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(3, 2, 2, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    plain, order = fitnet_loss(student, teacher), torch.randperm(3, generator=generator)
    moved = fitnet_loss(scale * student[order] + shift, scale * teacher[order] + shift)
    torch.testing.assert_close(moved, scale**2 * plain)


def test_takes_tokens_and_vectors():
    assert fitnet_loss(torch.zeros(2, 5, 7), torch.ones(2, 5, 7)) == 1
    assert fitnet_loss(torch.zeros(2, 5), torch.ones(2, 5)) == 1


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_equal_and_zero_maps_are_finite(value):
    student = torch.full((2, 3, 4, 4), value, requires_grad=True)
    loss = fitnet_loss(student, torch.full((2, 3, 4, 4), value))
    loss.backward()
    assert loss == 0
    assert torch.equal(student.grad, torch.zeros_like(student))


def test_half_precision_is_computed_in_single(maps):
    student, teacher = (x.detach().bfloat16() for x in maps)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = fitnet_loss(student, teacher)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, fitnet_loss(student.float(), teacher.float()))
    assert fitnet_loss(*maps).dtype == torch.float64
    assert fitnet_loss(maps[0].float(), maps[1]).dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"teacher_map": torch.zeros(2, 5, 4, 4)},
            r"student of shape \(2, 3, 4, 4\) and a teacher of \(2, 5, 4, 4\): ",
        ),
        ({"teacher_map": torch.zeros(2, 3, 2, 2)}, "bring the student's map to the teacher's shape with a regressor"),
        ({"teacher_map": torch.zeros(3, 3, 4, 4)}, "must hold the same samples, received 2 and 3 rows"),
        ({"student_map": torch.zeros(3)}, "student_map must be features with the batch first"),
    ],
)
def test_errors(maps, change, message):
    with pytest.raises(UsageError, match=message):
        fitnet_loss(**{"student_map": maps[0], "teacher_map": maps[1]} | change)


def test_non_finite_maps_are_refused(maps):
    with pytest.raises(NonFiniteError, match="teacher_map holds 96 values that are NaN or infinite"):
        fitnet_loss(maps[0], torch.full((2, 3, 4, 4), torch.inf))
