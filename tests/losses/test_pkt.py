"""Probabilistic knowledge transfer against its loop, the public code's value, and its errors."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import NonFiniteError, UsageError
from wcord.losses.pkt import pkt_loss


def _fill(shape, phase):
    """Element n, counted from 1 in row-major order, is sin(0.3 n² + phase)."""
    return torch.sin(0.3 * torch.arange(1, torch.Size(shape).numel() + 1).double() ** 2 + phase).reshape(shape)


def _naive(student, teacher):
    tables = []
    for rows in (student.tolist(), teacher.tolist()):
        lengths = [math.sqrt(sum(x * x for x in row)) + 1e-7 for row in rows]
        table = [
            [
                (1 + sum(a * b for a, b in zip(x, y, strict=True)) / (m * n)) / 2
                for y, n in zip(rows, lengths, strict=True)
            ]
            for x, m in zip(rows, lengths, strict=True)
        ]
        tables.append([c / sum(row) for row in table for c in row])
    pairs = zip(tables[1], tables[0], strict=True)
    return sum(p * math.log((p + 1e-7) / (q + 1e-7)) for p, q in pairs) / len(tables[0])


@pytest.fixture
def embeddings():
    return _fill((5, 4), 0.0).requires_grad_(), _fill((5, 7), 1.0)


def test_is_the_loop(embeddings):
    assert pkt_loss(*embeddings).item() == pytest.approx(_naive(*embeddings))


def test_is_the_public_code(embeddings):
    # RepDistiller, distiller_zoo/PKT.py, run on these inputs in double precision.
    assert pkt_loss(*embeddings).item() == pytest.approx(0.00960838844, rel=1e-8)


def test_two_orthogonal_samples_of_a_teacher_that_sees_no_difference():
    # q is 2/3 and 1/3, p is 1/2.
    expected = (math.log(0.5 / (2 / 3)) + math.log(0.5 / (1 / 3))) / 4
    assert pkt_loss(torch.eye(2), torch.ones(2, 3)).item() == pytest.approx(expected, rel=1e-5)


def test_single_precision_keeps_the_digits_of_a_small_loss():
    torch.manual_seed(0)
    student = torch.rand(64, 64)
    teacher = student + 0.02 * torch.randn(64, 64)
    exact = pkt_loss(student.double(), teacher.double())
    torch.testing.assert_close(pkt_loss(student, teacher).double(), exact, rtol=1e-3, atol=0)


def test_gradcheck_and_no_gradient_into_the_teacher(embeddings):
    student, teacher = embeddings[0], embeddings[1].requires_grad_()
    assert torch.autograd.gradcheck(lambda s: pkt_loss(s, teacher), (student,))
    pkt_loss(student, teacher).backward()
    assert teacher.grad is None


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_ignores_order_lengths_and_rotation(seed):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(5, d, generator=generator, dtype=torch.float64) for d in (6, 4))
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64)).Q
    lengths = 1 + 5 * torch.rand(5, 1, generator=generator, dtype=torch.float64)
    order = torch.randperm(5, generator=generator)
    plain = pkt_loss(student, teacher)
    moved = pkt_loss((lengths * student)[order] @ rotation, (lengths.flip(0) * teacher)[order])
    torch.testing.assert_close(moved, plain, rtol=1e-4, atol=1e-7)
    assert plain >= 0


_ROWS = {
    "zero": torch.zeros(4, 3),
    "equal": torch.ones(4, 3),
    "one-hot": 1e4 * torch.eye(4),
    "one zero": torch.eye(4)[:, :3],
    "opposite": torch.tensor([[1.0, 1, 1], [-1, -1, -1], [1, 1, 1], [-1, -1, -1]]),
    "tiny": 1e-10 * torch.eye(4),
}


@pytest.mark.parametrize("student", _ROWS.values(), ids=_ROWS)
@pytest.mark.parametrize("teacher", _ROWS.values(), ids=_ROWS)
def test_value_and_gradient_are_finite(student, teacher):
    student = student.clone().requires_grad_()
    loss = pkt_loss(student, teacher)
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()
    assert pkt_loss(student, student) == 0


def test_the_gradient_at_a_zero_row_is_bounded():
    student = torch.eye(4)[:, :3].clone().requires_grad_()
    pkt_loss(student, torch.ones(4, 3)).backward()
    assert student.grad.norm() < 1000


def test_opposite_samples_whose_cosine_rounds_below_minus_one_are_finite():
    half = 1000 * torch.randn(1, 3, generator=torch.Generator().manual_seed(81))
    student = torch.cat([half, -half]).requires_grad_()
    loss = pkt_loss(student, torch.eye(2))
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()


def test_half_precision_is_computed_in_single(embeddings):
    student, teacher = (x.detach().bfloat16() for x in embeddings)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = pkt_loss(student, teacher)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, pkt_loss(student.float(), teacher.float()))
    assert pkt_loss(*embeddings).dtype == torch.float64
    assert pkt_loss(embeddings[0].float(), embeddings[1]).dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"student_embedding": torch.zeros(1, 4)}, "student_embedding needs a batch of at least 2, received 1"),
        ({"teacher_embedding": torch.zeros(4, 7)}, "must hold the same samples, received 5 and 4 rows"),
        ({"teacher_embedding": torch.zeros(5, 7, 1, 1)}, "teacher_embedding must be a matrix"),
    ],
)
def test_errors(embeddings, change, message):
    with pytest.raises(UsageError, match=message):
        pkt_loss(**{"student_embedding": embeddings[0], "teacher_embedding": embeddings[1]} | change)


def test_non_finite_embeddings_are_refused(embeddings):
    with pytest.raises(NonFiniteError, match="teacher_embedding holds 35 values that are NaN or infinite"):
        pkt_loss(embeddings[0], torch.full((5, 7), torch.inf))
