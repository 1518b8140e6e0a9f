"""Transformed teacher matching, plain and weighted, against loops, the authors' values, limits, and errors."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.losses.kd import kd_loss
from wcord.losses.ttm import ttm_loss, wttm_loss

BOTH = pytest.mark.parametrize("loss", [ttm_loss, wttm_loss])


def _naive(student, teacher, exponent, weighted):
    total = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        p, q = ([math.exp(x) for x in row] for row in (t, s))
        powers = [(x / sum(p)) ** exponent for x in p]
        divergence = sum(
            a / sum(powers) * math.log((a / sum(powers)) / (b / sum(q))) for a, b in zip(powers, q, strict=True)
        )
        total += divergence * (sum(powers) if weighted else 1)
    return total / len(student)


@pytest.fixture
def logits():
    torch.manual_seed(0)
    return torch.randn(4, 6, dtype=torch.float64, requires_grad=True), 3 * torch.randn(4, 6, dtype=torch.float64)


@BOTH
@pytest.mark.parametrize("exponent", [0.1, 0.5, 1.0, 2.0])
def test_is_the_loop(logits, loss, exponent):
    expected = _naive(*logits, exponent, loss is wttm_loss)
    assert loss(*logits, exponent=exponent).item() == pytest.approx(expected)


def test_defaults_are_those_of_the_authors_example(logits):
    assert ttm_loss(*logits).item() == pytest.approx(_naive(*logits, 0.1, False))
    assert wttm_loss(*logits).item() == pytest.approx(_naive(*logits, 0.2, True))


def test_authors_values():
    k = torch.arange(1, 21, dtype=torch.float64)
    student, teacher = 3 * torch.sin(0.7 * k).view(4, 5), 4 * torch.cos(0.3 * k).view(4, 5)
    assert ttm_loss(student, teacher).item() == pytest.approx(1.345066776959393, rel=1e-9)
    assert ttm_loss(student, teacher, exponent=0.5).item() == pytest.approx(1.567097999674331, rel=1e-9)
    assert wttm_loss(student, teacher).item() == pytest.approx(4.509901378008621, rel=1e-9)
    assert wttm_loss(student, teacher, exponent=0.5).item() == pytest.approx(3.015984143480126, rel=1e-9)


@BOTH
def test_exponent_one_is_plain_distillation(logits, loss):
    torch.testing.assert_close(loss(*logits, exponent=1.0), kd_loss(*logits, temperature=1.0))


def test_is_a_temperature_on_the_teacher_alone(logits):
    student, teacher = logits
    soft = F.softmax(teacher / 5, dim=1)
    expected = F.kl_div(F.log_softmax(student, dim=1), soft, reduction="batchmean")
    torch.testing.assert_close(ttm_loss(student, teacher, exponent=0.2), expected)


def test_weight_lies_between_a_sure_and_an_unsure_teacher():
    student = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    for teacher, weight in ((torch.tensor([[200.0, 0, 0, 0]]), 1.0), (torch.zeros(1, 4), 4**0.8)):
        ratio = wttm_loss(student, teacher) / ttm_loss(student, teacher, exponent=0.2)
        assert ratio.item() == pytest.approx(weight, rel=1e-5)


@BOTH
def test_gradcheck_and_no_gradient_into_the_teacher(logits, loss):
    student, teacher = logits[0], logits[1].requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher), (student,))
    loss(student, teacher).backward()
    assert teacher.grad is None


@BOTH
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), shift=st.floats(-50, 50), exponent=st.floats(0.05, 2))
def test_ignores_shift_and_order_and_is_never_negative(loss, seed, shift, exponent):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (5 * torch.randn(3, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    plain = loss(student, teacher, exponent=exponent)
    assert plain >= -1e-12
    torch.testing.assert_close(loss(student + shift, teacher - shift, exponent=exponent), plain)
    rows, classes = torch.randperm(3, generator=generator), torch.randperm(5, generator=generator)
    torch.testing.assert_close(loss(student[rows][:, classes], teacher[rows][:, classes], exponent=exponent), plain)


@BOTH
@pytest.mark.parametrize("exponent", [0.1, 1.0])
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
def test_value_and_gradient_are_finite(student, teacher, loss, exponent):
    student = student.clone().requires_grad_()
    value = loss(student, teacher, exponent=exponent)
    value.backward()
    assert value.isfinite()
    assert student.grad.isfinite().all()


@BOTH
def test_half_precision_is_computed_in_single(logits, loss):
    student, teacher = (x.detach().bfloat16() for x in logits)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(student, teacher)
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(student.float(), teacher.float()))
    assert loss(*logits).dtype == torch.float64


@BOTH
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher_logits": torch.zeros(4, 9)}, "ttm compares class by class, received a student of 6 classes"),
        ({"exponent": 0.0}, "exponent must be a finite number above 0, received 0.0"),
        ({"student_logits": torch.full((4, 6), torch.inf)}, "student_logits holds 24 values that are NaN or infinite"),
    ],
)
def test_errors(logits, loss, change, message):
    with pytest.raises(UsageError, match=message):
        loss(**({"student_logits": logits[0], "teacher_logits": logits[1]} | change))
