"""Decoupled distillation against its loop, the authors' values, kd, its limits, and its errors."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.losses.dkd import dkd_loss
from wcord.losses.kd import kd_loss


def _naive(student, teacher, target, alpha, beta, temperature):
    total = 0.0
    for s, t, y in zip(student.tolist(), teacher.tolist(), target.tolist(), strict=True):
        p, q = ([math.exp(x / temperature) for x in row] for row in (t, s))
        p, q = ([x / sum(row) for x in row] for row in (p, q))
        total += alpha * (p[y] * math.log(p[y] / q[y]) + (1 - p[y]) * math.log((1 - p[y]) / (1 - q[y])))
        for c in range(len(p)):
            if c != y:
                a, b = p[c] / (1 - p[y]), q[c] / (1 - q[y])
                total += beta * a * math.log(a / b)
    return total / len(student) * temperature**2


@pytest.fixture
def batch():
    torch.manual_seed(0)
    student = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    return student, 3 * torch.randn(4, 6, dtype=torch.float64), torch.tensor([0, 5, 2, 2])


@pytest.mark.parametrize(
    ("alpha", "beta", "temperature"), [(1.0, 8.0, 4.0), (1.0, 0.0, 1.0), (0.0, 1.0, 1.0), (0.3, 2.0, 2.0)]
)
def test_is_the_loop(batch, alpha, beta, temperature):
    found = dkd_loss(*batch, alpha=alpha, beta=beta, temperature=temperature)
    assert found.item() == pytest.approx(_naive(*batch, alpha, beta, temperature))


def test_defaults_are_those_for_cifar100(batch):
    assert dkd_loss(*batch).item() == pytest.approx(_naive(*batch, 1.0, 8.0, 4.0))


def test_authors_values():
    k = torch.arange(1, 21, dtype=torch.float64)
    student, teacher = 3 * torch.sin(0.7 * k).view(4, 5), 4 * torch.cos(0.3 * k).view(4, 5)
    target = torch.tensor([0, 2, 4, 1])
    assert dkd_loss(student, teacher, target).item() == pytest.approx(17.34237193294164, rel=1e-9)
    other = dkd_loss(student, teacher, target, alpha=0.5, beta=2.0, temperature=1.0)
    assert other.item() == pytest.approx(3.5770189547402, rel=1e-9)


def test_is_kd_where_the_other_classes_weigh_what_the_teacher_leaves_them(batch):
    student, teacher, target = batch
    for row in range(4):
        s, t, y = student[row : row + 1], teacher[row : row + 1], target[row : row + 1]
        left = 1 - (t / 4).softmax(1)[0, y].item()
        torch.testing.assert_close(dkd_loss(s, t, y, beta=left), kd_loss(s, t))


def test_two_classes_leave_the_binary_part(batch):
    student, teacher, _ = (x[:, :2] if x.dim() == 2 else x for x in batch)
    target = torch.tensor([0, 1, 1, 0])
    torch.testing.assert_close(dkd_loss(student, teacher, target), kd_loss(student, teacher))
    assert dkd_loss(student, teacher, target, alpha=0.0, beta=1.0).item() == 0


def test_gradcheck_and_no_gradient_into_the_teacher(batch):
    student, teacher, target = batch
    teacher.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: dkd_loss(s, teacher, target), (student,))
    dkd_loss(student, teacher, target).backward()
    assert teacher.grad is None


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.floats(-50, 50))
def test_ignores_shift_and_order_and_is_never_negative(seed, shift):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (5 * torch.randn(3, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    target = torch.randint(5, (3,), generator=generator)
    plain = dkd_loss(student, teacher, target)
    assert plain >= -1e-12
    torch.testing.assert_close(dkd_loss(student + shift, teacher - shift, target), plain)
    rows, classes = torch.randperm(3, generator=generator), torch.randperm(5, generator=generator)
    torch.testing.assert_close(dkd_loss(student[rows], teacher[rows], target[rows]), plain)
    moved = dkd_loss(student[:, classes], teacher[:, classes], classes.argsort()[target])
    torch.testing.assert_close(moved, plain)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 3)),
        (torch.ones(2, 3), 1e4 * torch.eye(3)[:2]),
        (torch.ones(2, 3), 1e4 * torch.eye(3)[[1, 0]]),
        (-1e4 * torch.eye(3)[:2], 1e4 * torch.eye(3)[:2]),
        (1e4 * torch.eye(3)[:2], 1e4 * torch.eye(3)[:2]),
        (torch.arange(6.0).reshape(2, 3), torch.arange(6.0).reshape(2, 3)),
    ],
    ids=["zero", "sure teacher", "wrong teacher", "opposite", "both sure", "equal"],
)
def test_value_and_gradient_are_finite(student, teacher, classes):
    student, teacher = student[:, :classes].clone().requires_grad_(), teacher[:, :classes]
    loss = dkd_loss(student, teacher, torch.tensor([0, 1]))
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()
    if torch.equal(student, teacher):
        assert abs(loss.item()) < 1e-5
        assert student.grad.abs().max() < 1e-5


def test_half_precision_is_computed_in_single(batch):
    student, teacher = (x.detach().bfloat16() for x in batch[:2])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = dkd_loss(student, teacher, batch[2])
    assert loss.dtype == torch.float32
    assert torch.equal(loss, dkd_loss(student.float(), teacher.float(), batch[2]))
    assert dkd_loss(*batch).dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher_logits": torch.zeros(4, 9)}, "dkd compares class by class, received a student of 6 classes"),
        ({"target": torch.tensor([0, 1, 2, 6])}, "target holds classes 0 to 6, logits have 6 classes"),
        ({"temperature": 0.0}, "temperature must be a finite number above 0, received 0.0"),
        ({"student_logits": torch.full((4, 6), torch.nan)}, "student_logits holds 24 values that are NaN"),
    ],
)
def test_errors(batch, change, message):
    arguments = {"student_logits": batch[0], "teacher_logits": batch[1], "target": batch[2]} | change
    with pytest.raises(UsageError, match=message):
        dkd_loss(**arguments)
