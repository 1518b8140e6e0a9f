"""Relations between predictions against their loop, the authors' values, and their errors."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.losses.dist import dist_loss


def _pearson(x, y):
    n = len(x)
    x, y = ([value - sum(row) / n for value in row] for row in (x, y))
    lengths = math.sqrt(sum(a * a for a in x) * sum(b * b for b in y))
    return sum(a * b for a, b in zip(x, y, strict=True)) / lengths


def _naive(student, teacher, beta, gamma, temperature):
    p, q = [], []
    for rows, logits in ((p, student), (q, teacher)):
        for row in logits.tolist():
            powers = [math.exp(x / temperature) for x in row]
            rows.append([x / sum(powers) for x in powers])
    inter = sum(1 - _pearson(x, y) for x, y in zip(p, q, strict=True)) / len(p)
    columns = [[list(column) for column in zip(*rows, strict=True)] for rows in (p, q)]
    intra = sum(1 - _pearson(x, y) for x, y in zip(*columns, strict=True)) / len(columns[0])
    return temperature**2 * (beta * inter + gamma * intra)


@pytest.fixture
def logits():
    torch.manual_seed(0)
    return torch.randn(4, 6, dtype=torch.float64, requires_grad=True), 3 * torch.randn(4, 6, dtype=torch.float64)


@pytest.mark.parametrize(
    ("beta", "gamma", "temperature"), [(1.0, 1.0, 1.0), (1.0, 0.0, 4.0), (0.0, 1.0, 4.0), (2.0, 0.5, 2.0)]
)
def test_is_the_loop(logits, beta, gamma, temperature):
    found = dist_loss(*logits, beta=beta, gamma=gamma, temperature=temperature)
    assert found.item() == pytest.approx(_naive(*logits, beta, gamma, temperature), rel=1e-6)


def test_defaults_are_the_authors(logits):
    assert dist_loss(*logits).item() == pytest.approx(_naive(*logits, 1.0, 1.0, 1.0), rel=1e-6)


def test_authors_values():
    k = torch.arange(1, 21, dtype=torch.float64)
    student, teacher = 3 * torch.sin(0.7 * k).view(4, 5), 4 * torch.cos(0.3 * k).view(4, 5)
    assert dist_loss(student, teacher).item() == pytest.approx(1.7858380943391752, rel=1e-6)
    other = dist_loss(student, teacher, beta=2.0, gamma=0.5, temperature=4.0)
    assert other.item() == pytest.approx(38.614719464109584, rel=1e-6)


def test_a_linear_relation_is_enough():
    """With two classes a confidence that grows linearly with the teacher's costs nothing."""
    teacher = torch.tensor([0.9, 0.6, 0.2], dtype=torch.float64)
    student = 0.5 + 0.4 * (teacher - 0.5)
    logits = [torch.stack([p, 1 - p], dim=1).log() for p in (student, teacher)]
    assert dist_loss(*logits).item() == pytest.approx(0, abs=1e-6)
    assert dist_loss(logits[0].flip(1), logits[1]).item() == pytest.approx(4, abs=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_gradcheck_and_no_gradient_into_the_teacher(logits, temperature):
    student, teacher = logits[0], logits[1].requires_grad_()
    assert torch.autograd.gradcheck(lambda s: dist_loss(s, teacher, temperature=temperature), (student,))
    dist_loss(student, teacher).backward()
    assert teacher.grad is None


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.floats(-50, 50))
def test_ignores_shift_and_order_and_keeps_its_bounds(seed, shift):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (2 * torch.randn(4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    plain = dist_loss(student, teacher)
    assert 0 <= plain <= 4
    torch.testing.assert_close(dist_loss(student + shift, teacher - shift), plain)
    rows, classes = torch.randperm(4, generator=generator), torch.randperm(5, generator=generator)
    torch.testing.assert_close(dist_loss(student[rows][:, classes], teacher[rows][:, classes]), plain)
    torch.testing.assert_close(dist_loss(teacher, student), plain)


@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 3)),
        (torch.zeros(2, 3), 1e4 * torch.eye(3)[:2]),
        (torch.arange(3.0).expand(2, 3), torch.arange(6.0).reshape(2, 3)),
        (-1e4 * torch.eye(3)[:2], 1e4 * torch.eye(3)[:2]),
        (torch.arange(6.0).reshape(2, 3), torch.arange(6.0).reshape(2, 3)),
    ],
    ids=["zero", "one-hot teacher", "constant columns", "opposite", "equal"],
)
def test_value_and_gradient_are_finite_and_bounded(student, teacher):
    student = student.clone().requires_grad_()
    loss = dist_loss(student, teacher)
    loss.backward()
    assert loss.isfinite()
    assert student.grad.abs().max() < 1e5


def test_a_constant_row_counts_as_unrelated():
    teacher = torch.tensor([[3.0, 0.0, 1.0], [0.0, 2.0, 1.0]])
    assert dist_loss(torch.zeros(2, 3), teacher).item() == pytest.approx(2, abs=1e-3)


def test_half_precision_is_computed_in_single(logits):
    student, teacher = (x.detach().bfloat16() for x in logits)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = dist_loss(student, teacher)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, dist_loss(student.float(), teacher.float()))
    assert dist_loss(*logits).dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher_logits": torch.zeros(4, 9)}, "dist compares class by class, received a student of 6 classes"),
        ({"student_logits": torch.zeros(1, 6), "teacher_logits": torch.zeros(1, 6)}, "needs a batch of at least 2"),
        ({"temperature": -1.0}, "temperature must be a finite number above 0, received -1.0"),
        ({"teacher_logits": torch.full((4, 6), torch.nan)}, "teacher_logits holds 24 values that are NaN"),
    ],
)
def test_errors(logits, change, message):
    with pytest.raises(UsageError, match=message):
        dist_loss(**({"student_logits": logits[0], "teacher_logits": logits[1]} | change))
