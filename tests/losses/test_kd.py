"""Knowledge distillation against its double loop, its limits, and its errors."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.losses import kd_loss


def _naive(student, teacher, temperature):
    total = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        p, q = ([math.exp(x / temperature) for x in row] for row in (t, s))
        for a, b in zip(p, q, strict=True):
            total += a / sum(p) * math.log((a / sum(p)) / (b / sum(q)))
    return total / len(student) * temperature**2


@pytest.fixture
def logits():
    torch.manual_seed(0)
    return torch.randn(4, 6, dtype=torch.float64, requires_grad=True), 3 * torch.randn(4, 6, dtype=torch.float64)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_is_the_double_loop(logits, temperature):
    assert kd_loss(*logits, temperature=temperature).item() == pytest.approx(_naive(*logits, temperature))


def test_default_temperature_is_four(logits):
    assert kd_loss(*logits).item() == pytest.approx(_naive(*logits, 4.0))


def test_standardised_rows_have_zero_mean_and_unit_variance(logits):
    rows = [(x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True, correction=0) for x in logits]
    assert kd_loss(*logits, temperature=2.0, standardize=True).item() == pytest.approx(_naive(*rows, 2.0), rel=1e-4)


def test_high_temperature_is_half_the_squared_distance_of_centred_logits(logits):
    difference = logits[0] - logits[1]
    centred = difference - difference.mean(1, keepdim=True)
    expected = 0.5 * centred.square().mean(1).mean()
    torch.testing.assert_close(kd_loss(*logits, temperature=1e4), expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("standardize", [False, True])
def test_gradcheck_and_no_gradient_into_the_teacher(logits, standardize):
    student, teacher = logits[0], logits[1].requires_grad_()
    assert torch.autograd.gradcheck(lambda s: kd_loss(s, teacher, standardize=standardize), (student,))
    kd_loss(student, teacher, standardize=standardize).backward()
    assert teacher.grad is None


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.floats(-50, 50), st.floats(0.1, 10))
def test_standardised_loss_ignores_shift_and_scale_and_is_never_negative(seed, shift, scale):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (5 * torch.randn(3, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    plain = kd_loss(student, teacher, standardize=True)
    moved = kd_loss(student * scale + shift, teacher, standardize=True)
    torch.testing.assert_close(moved, plain, rtol=1e-2, atol=1e-4)
    assert plain >= 0


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 3)),
        (torch.ones(2, 3), 1e4 * torch.eye(3)[:2]),
        (-1e4 * torch.eye(3)[:2], 1e4 * torch.eye(3)[:2]),
        (torch.arange(6.0).reshape(2, 3), torch.arange(6.0).reshape(2, 3)),
    ],
    ids=["zero", "one-hot teacher", "opposite", "equal"],
)
def test_value_and_gradient_are_finite(student, teacher, standardize):
    student = student.clone().requires_grad_()
    loss = kd_loss(student, teacher, standardize=standardize)
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()
    if torch.equal(student, teacher):
        assert abs(loss.item()) < 1e-6


def test_half_precision_is_computed_in_single(logits):
    student, teacher = (x.detach().bfloat16() for x in logits)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = kd_loss(student, teacher)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, kd_loss(student.float(), teacher.float()))
    assert kd_loss(*logits).dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher_logits": torch.zeros(4, 9)}, "a student of 6 classes and a teacher of 9: .*'wcord'"),
        ({"teacher_logits": torch.zeros(3, 6)}, "must hold the same samples, received 4 and 3 rows"),
        ({"teacher_logits": torch.full((4, 6), torch.nan)}, "teacher_logits holds 24 values that are NaN"),
        ({"student_logits": torch.full((4, 6), -torch.inf)}, "student_logits holds 24 values that are NaN or infinite"),
        ({"temperature": 0.0}, "temperature must be a finite number above 0, received 0.0"),
        ({"student_logits": torch.zeros(6)}, "student_logits must be a matrix"),
    ],
)
def test_errors(logits, change, message):
    arguments = {"student_logits": logits[0], "teacher_logits": logits[1]} | change
    with pytest.raises(UsageError, match=message):
        kd_loss(**arguments)
