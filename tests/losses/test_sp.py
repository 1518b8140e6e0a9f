"""Similarity preservation against its loop, the public code's value, and its errors."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import NonFiniteError, UsageError
from wcord.losses.sp import sp_loss


def _fill(shape, phase):
    """Element n, counted from 1 in row-major order, is sin(0.3 n² + phase)."""
    return torch.sin(0.3 * torch.arange(1, torch.Size(shape).numel() + 1).double() ** 2 + phase).reshape(shape)


def _naive(student, teacher):
    matrices = []
    for rows in (student.flatten(1).tolist(), teacher.flatten(1).tolist()):
        gram = [[sum(a * b for a, b in zip(x, y, strict=True)) for y in rows] for x in rows]
        matrices.append([[g / math.sqrt(sum(x * x for x in row)) for g in row] for row in gram])
    batch = len(student)
    return sum((matrices[0][i][j] - matrices[1][i][j]) ** 2 for i in range(batch) for j in range(batch)) / batch**2


@pytest.fixture
def maps():
    return _fill((4, 3, 4, 4), 0.0).requires_grad_(), _fill((4, 5, 2, 2), 1.0)


def test_is_the_loop(maps):
    assert sp_loss(*maps).item() == pytest.approx(_naive(*maps))


def test_is_the_public_code(maps):
    # RepDistiller, distiller_zoo/SP.py, run on these inputs in double precision.
    assert sp_loss(*maps).item() == pytest.approx(0.03415551539, rel=1e-8)


@pytest.mark.parametrize("batch", [2, 3, 7])
def test_orthogonal_students_of_a_teacher_that_sees_no_difference(batch):
    student = torch.eye(batch).reshape(batch, batch, 1, 1)
    expected = (batch * (1 - batch**-0.5) ** 2 + batch * (batch - 1) / batch) / batch**2
    assert sp_loss(student, torch.ones(batch, 2, 3, 3)).item() == pytest.approx(expected)


def test_gradcheck_and_no_gradient_into_the_teacher():
    student, teacher = _fill((3, 2, 2, 2), 0.0).requires_grad_(), _fill((3, 3, 2, 2), 1.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: sp_loss(s, teacher), (student,))
    sp_loss(student, teacher).backward()
    assert teacher.grad is None


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.floats(0.1, 10))
def test_ignores_order_scale_and_rotation(seed, scale):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(5, d, generator=generator, dtype=torch.float64) for d in (6, 4))
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64)).Q
    order = torch.randperm(5, generator=generator)
    plain = sp_loss(student, teacher)
    torch.testing.assert_close(sp_loss(scale * student[order] @ rotation, teacher[order]), plain)
    torch.testing.assert_close(sp_loss(student, scale * teacher), plain)
    assert plain >= 0


def test_maps_tokens_and_vectors_of_the_same_numbers_are_the_same(maps):
    student, teacher = maps
    assert torch.equal(sp_loss(student.flatten(2), teacher.flatten(1)), sp_loss(student, teacher))


@pytest.mark.parametrize(
    "student", [torch.zeros(3, 4), torch.ones(3, 4), torch.eye(4)[:3], torch.diag(torch.tensor([1.0, 1, 0]))]
)
@pytest.mark.parametrize("teacher", [torch.zeros(3, 4), torch.ones(3, 4), 1e4 * torch.eye(4)[:3]])
def test_value_and_gradient_are_finite(student, teacher):
    student = student.clone().requires_grad_()
    loss = sp_loss(student, teacher)
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()
    assert sp_loss(student, student) == 0


def test_the_gradient_at_a_sample_that_is_zero_is_bounded():
    student = torch.eye(4)[:, :3].clone().requires_grad_()
    sp_loss(student, torch.ones(4, 3)).backward()
    assert student.grad.norm() < 1e6


def test_half_precision_is_computed_in_single(maps):
    student, teacher = (x.detach().bfloat16() for x in maps)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = sp_loss(student, teacher)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, sp_loss(student.float(), teacher.float()))
    assert sp_loss(*maps).dtype == torch.float64
    assert sp_loss(maps[0].float(), maps[1]).dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"student_map": torch.zeros(1, 3, 4, 4)}, "student_map needs a batch of at least 2, received 1"),
        ({"teacher_map": torch.zeros(3, 5, 2, 2)}, "must hold the same samples, received 4 and 3 rows"),
        ({"teacher_map": torch.zeros(4)}, "teacher_map must be features with the batch first"),
    ],
)
def test_errors(maps, change, message):
    with pytest.raises(UsageError, match=message):
        sp_loss(**{"student_map": maps[0], "teacher_map": maps[1]} | change)


def test_non_finite_maps_are_refused(maps):
    with pytest.raises(NonFiniteError, match="teacher_map holds 80 values that are NaN or infinite"):
        sp_loss(maps[0], torch.full((4, 5, 2, 2), torch.nan))
