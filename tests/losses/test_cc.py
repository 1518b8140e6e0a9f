"""Correlation congruence, as the public code has it, against its loop, that code's value, and its errors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import NonFiniteError, UsageError
from wcord.losses.cc import cc_loss


def _fill(shape, phase):
    """Element n, counted from 1 in row-major order, is sin(0.3 n² + phase)."""
    return torch.sin(0.3 * torch.arange(1, torch.Size(shape).numel() + 1).double() ** 2 + phase).reshape(shape)


def _naive(student, teacher):
    gaps = [
        [abs(s - t) for s, t in zip(x, y, strict=True)] for x, y in zip(student.tolist(), teacher.tolist(), strict=True)
    ]
    return sum(sum(a * b for a, b in zip(gaps[i], gaps[i + 1], strict=True)) for i in range(len(gaps) - 1)) / (
        len(gaps) - 1
    )


@pytest.fixture
def embeddings():
    return _fill((5, 6), 0.0).requires_grad_(), _fill((5, 6), 1.0)


def test_is_the_loop(embeddings):
    assert cc_loss(*embeddings).item() == pytest.approx(_naive(*embeddings))


def test_is_the_public_code(embeddings):
    # RepDistiller, distiller_zoo/CC.py, run on these inputs in double precision.
    assert cc_loss(*embeddings).item() == pytest.approx(2.320309821, rel=1e-8)


def test_a_constant_difference_gives_its_squared_length():
    assert cc_loss(torch.full((4, 3), 2.0), torch.zeros(4, 3)) == 12


def test_is_zero_where_every_second_sample_agrees():
    student = torch.randn(5, 3)
    student[::2] = 0
    assert cc_loss(student, torch.zeros(5, 3)) == 0


def test_gradcheck_of_both_sides_since_the_teacher_side_is_trained(embeddings):
    student, teacher = embeddings[0], embeddings[1].requires_grad_()
    assert torch.autograd.gradcheck(cc_loss, (student, teacher))
    cc_loss(student, teacher).backward()
    torch.testing.assert_close(teacher.grad, -student.grad)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.floats(-5, 5), st.floats(-10, 10))
def test_ignores_reversal_common_shift_and_exchange_and_grows_with_the_square(seed, shift, scale):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(5, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    moved = cc_loss(scale * teacher.flip(0) + shift, scale * student.flip(0) + shift)
    torch.testing.assert_close(moved, scale**2 * cc_loss(student, teacher))


@pytest.mark.parametrize("student", [torch.zeros(3, 4), torch.ones(3, 4), 1e4 * torch.eye(4)[:3]])
@pytest.mark.parametrize("teacher", [torch.zeros(3, 4), torch.ones(3, 4), 1e4 * torch.eye(4)[:3]])
def test_value_and_gradient_are_finite(student, teacher):
    student = student.clone().requires_grad_()
    loss = cc_loss(student, teacher)
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()
    if torch.equal(student, teacher):
        assert loss == 0


def test_half_precision_is_computed_in_single(embeddings):
    student, teacher = (x.detach().bfloat16() for x in embeddings)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = cc_loss(student, teacher)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, cc_loss(student.float(), teacher.float()))
    assert cc_loss(*embeddings).dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher_embedding": torch.zeros(5, 7)}, "widths 6 and 7: bring both to one width with linear layers"),
        ({"teacher_embedding": torch.zeros(4, 6)}, "must hold the same samples, received 5 and 4 rows"),
        ({"student_embedding": torch.zeros(1, 6)}, "student_embedding needs a batch of at least 2, received 1"),
        ({"student_embedding": torch.zeros(5, 6, 1, 1)}, "student_embedding must be a matrix"),
    ],
)
def test_errors(embeddings, change, message):
    with pytest.raises(UsageError, match=message):
        cc_loss(**{"student_embedding": embeddings[0], "teacher_embedding": embeddings[1]} | change)


def test_non_finite_embeddings_are_refused(embeddings):
    with pytest.raises(NonFiniteError, match="teacher_embedding holds 30 values that are NaN or infinite"):
        cc_loss(embeddings[0], torch.full((5, 6), -torch.inf))
