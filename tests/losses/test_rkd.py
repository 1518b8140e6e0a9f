"""Relational distillation against its loops, the public code's values, and its errors."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import NonFiniteError, UsageError
from wcord.losses.rkd import rkd_loss


def _fill(shape, phase):
    """Element n, counted from 1 in row-major order, is sin(0.3 n² + phase)."""
    return torch.sin(0.3 * torch.arange(1, torch.Size(shape).numel() + 1).double() ** 2 + phase).reshape(shape)


def _huber(d):
    return d * d / 2 if abs(d) < 1 else abs(d) - 0.5


def _naive(student, teacher):
    """The distance part and the angle part, unweighted."""
    batch, relations = len(student), []
    for rows in (student.tolist(), teacher.tolist()):
        gaps = [[[b - a for a, b in zip(x, y, strict=True)] for y in rows] for x in rows]
        lengths = [[math.sqrt(sum(d * d for d in gap)) for gap in row] for row in gaps]
        mean = sum(map(sum, lengths)) / (batch * (batch - 1))
        angles = [
            sum(a * b for a, b in zip(gaps[i][j], gaps[i][k], strict=True)) / (lengths[i][j] * lengths[i][k])
            if i not in (j, k)
            else 0.0
            for i in range(batch)
            for j in range(batch)
            for k in range(batch)
        ]
        relations.append(([length / mean for row in lengths for length in row], angles))
    return tuple(
        sum(_huber(s - t) for s, t in zip(relations[0][part], relations[1][part], strict=True)) / batch ** (2 + part)
        for part in (0, 1)
    )


@pytest.fixture
def embeddings():
    return _fill((5, 4), 0.0).requires_grad_(), _fill((5, 7), 1.0)


def test_is_the_loops(embeddings):
    distance, angle = _naive(*embeddings)
    assert rkd_loss(*embeddings).item() == pytest.approx(25 * distance + 50 * angle)
    assert rkd_loss(*embeddings, distance_weight=2, angle_weight=0).item() == pytest.approx(2 * distance)
    assert rkd_loss(*embeddings, distance_weight=0, angle_weight=3).item() == pytest.approx(3 * angle)


@pytest.mark.parametrize(
    ("weights", "value"),
    [
        ({}, 1.753279504),
        ({"distance_weight": 1, "angle_weight": 0}, 0.02409444957),
        ({"distance_weight": 0, "angle_weight": 1}, 0.02301836529),
    ],
)
def test_is_the_public_code(embeddings, weights, value):
    # RepDistiller, distiller_zoo/RKD.py, run on these inputs in double precision.
    assert rkd_loss(*embeddings, **weights).item() == pytest.approx(value, rel=1e-8)


def test_a_corner_and_a_line():
    corner, line = torch.tensor([[0.0, 0], [1, 0], [0, 1]]), torch.tensor([[0.0], [1], [2]])
    mean = (2 + math.sqrt(2)) / 3
    distance = 2 / 9 * sum(_huber(d) for d in (1 / mean - 3 / 4, math.sqrt(2) / mean - 3 / 4, 1 / mean - 3 / 2))
    angle = 2 / 27 * sum(_huber(d) for d in (0 - 1, math.sqrt(0.5) + 1, math.sqrt(0.5) - 1))
    # The diagonal a_ijj = 1 of a_ijk agrees in both.
    assert rkd_loss(corner, line).item() == pytest.approx(25 * distance + 50 * angle)


def test_two_samples_have_nothing_to_compare():
    student = torch.randn(2, 3, requires_grad=True)
    loss = rkd_loss(student, torch.randn(2, 5))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-9)
    assert student.grad.abs().max() < 1e-4


def test_gradcheck_and_no_gradient_into_the_teacher(embeddings):
    student, teacher = embeddings[0], embeddings[1].requires_grad_()
    assert torch.autograd.gradcheck(lambda s: rkd_loss(s, teacher), (student,))
    rkd_loss(student, teacher).backward()
    assert teacher.grad is None


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.floats(-5, 5), st.floats(0.1, 10))
def test_ignores_order_shift_scale_and_rotation(seed, shift, scale):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(5, d, generator=generator, dtype=torch.float64) for d in (6, 4))
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64)).Q
    order = torch.randperm(5, generator=generator)
    plain = rkd_loss(student, teacher)
    torch.testing.assert_close(rkd_loss(scale * student[order] @ rotation + shift, teacher[order]), plain)
    torch.testing.assert_close(rkd_loss(student, scale * teacher + shift), plain)
    assert plain >= 0
    assert rkd_loss(student, student @ rotation).item() == pytest.approx(0, abs=1e-12)


_ROWS = {
    "zero": torch.zeros(4, 3),
    "equal": torch.ones(4, 3),
    "one-hot": 1e4 * torch.eye(4),
    "two equal": torch.tensor([[1.0, 2], [1, 2], [0, 1], [5, 5]]),
    "nearly equal": 1 + 1e-6 * torch.eye(4),
}


@pytest.mark.parametrize("student", _ROWS.values(), ids=_ROWS)
@pytest.mark.parametrize("teacher", _ROWS.values(), ids=_ROWS)
def test_value_and_gradient_are_finite(student, teacher):
    student = student.clone().requires_grad_()
    loss = rkd_loss(student, teacher)
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()
    assert rkd_loss(student, student) == 0


def test_equal_samples_have_a_bounded_gradient():
    student = _ROWS["two equal"].clone().requires_grad_()
    rkd_loss(student, _fill((4, 6), 0.0).float()).backward()
    assert student.grad.norm() < 50 * 1000


def test_near_samples_keep_their_distance_far_from_the_origin():
    student, teacher = _fill((4, 3), 0.0), _fill((4, 3), 1.0)
    exact = rkd_loss(student, teacher)
    moved = (student.float() + 1024).double() - 1024  # the digits that single precision leaves at that place
    torch.testing.assert_close(
        rkd_loss((moved + 1024).float(), teacher).double(), rkd_loss(moved, teacher), rtol=1e-5, atol=0
    )
    torch.testing.assert_close(rkd_loss(moved, teacher), exact, rtol=1e-2, atol=0)


def test_half_precision_is_computed_in_single(embeddings):
    student, teacher = (x.detach().bfloat16() for x in embeddings)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = rkd_loss(student, teacher)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, rkd_loss(student.float(), teacher.float()))
    assert rkd_loss(*embeddings).dtype == torch.float64
    assert rkd_loss(embeddings[0].float(), embeddings[1]).dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"student_embedding": torch.zeros(1, 4)}, "student_embedding needs a batch of at least 2, received 1"),
        ({"teacher_embedding": torch.zeros(4, 7)}, "must hold the same samples, received 5 and 4 rows"),
        ({"teacher_embedding": torch.zeros(5, 7, 1, 1)}, "teacher_embedding must be a matrix"),
        ({"distance_weight": -1.0}, "distance_weight must be a finite number of at least 0, received -1.0"),
        ({"angle_weight": math.nan}, "angle_weight must be a finite number of at least 0, received nan"),
    ],
)
def test_errors(embeddings, change, message):
    with pytest.raises(UsageError, match=message):
        rkd_loss(**{"student_embedding": embeddings[0], "teacher_embedding": embeddings[1]} | change)


def test_non_finite_embeddings_are_refused(embeddings):
    with pytest.raises(NonFiniteError, match="student_embedding holds 20 values that are NaN or infinite"):
        rkd_loss(torch.full((5, 4), torch.nan), embeddings[1])
