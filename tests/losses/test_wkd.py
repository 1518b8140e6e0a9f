"""Wasserstein distillation of predictions and of maps against loops, the authors' values, POT, and errors."""

import math

import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.losses.wkd import classifier_cost, wkd_feature_loss, wkd_logit_loss
from wcord.transport import shared_cost_transport

TARGET = torch.tensor([0, 2, 4, 1])


def sines(factor, *shape):
    count = math.prod(shape)
    return torch.sin(factor * torch.arange(1, count + 1, dtype=torch.float64)).view(shape)


def cosines(factor, *shape):
    count = math.prod(shape)
    return torch.cos(factor * torch.arange(1, count + 1, dtype=torch.float64)).view(shape)


def logits():
    return 3 * sines(0.7, 4, 5), 4 * cosines(0.3, 4, 5)


COST = classifier_cost(sines(1.3, 5, 3))


# --- the cost between classes


@pytest.mark.parametrize("similarity", ["cosine", "cka"])
@pytest.mark.parametrize("sharpness", [0.5, 2.0])
def test_cost_is_the_loop(similarity, sharpness):
    weight = sines(1.3, 4, 3)
    found = classifier_cost(weight, similarity=similarity, sharpness=sharpness)
    rows = weight.tolist()
    if similarity == "cka":
        rows = [[x - sum(row) / len(row) for x in row] for row in rows]
    for c, x in enumerate(rows):
        for d, y in enumerate(rows):
            alike = sum(a * b for a, b in zip(x, y, strict=True)) / math.hypot(*x) / math.hypot(*y)
            alike = alike**2 if similarity == "cka" else alike
            assert found[c, d].item() == pytest.approx(1 - math.exp(-sharpness * (1 - alike)), abs=1e-12)


def test_cka_is_that_of_the_rows_as_samples_of_one_feature():
    """Linear CKA of X and Y is |YᵀX|² / (|XᵀX| |YᵀY|) of the centred matrices; here each is one column."""
    x, y = (row[:, None] - row.mean() for row in sines(1.3, 2, 7))
    alike = (y.T @ x).square() / ((x.T @ x) * (y.T @ y))
    cost = classifier_cost(sines(1.3, 2, 7), similarity="cka")
    assert cost[0, 1].item() == pytest.approx(1 - math.exp(-(1 - alike.item())))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.floats(1e-3, 1e3), st.sampled_from(["cosine", "cka"]))
def test_cost_is_symmetric_bounded_and_blind_to_scale(seed, scale, similarity):
    weight = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    cost = classifier_cost(weight, similarity=similarity)
    torch.testing.assert_close(cost, cost.T, atol=1e-14, rtol=0)  # a product need not be symmetric to the last bit
    assert torch.equal(cost.diagonal(), torch.zeros(5, dtype=torch.float64))
    assert 0 <= cost.min() <= cost.max() < 1
    torch.testing.assert_close(classifier_cost(weight * scale, similarity=similarity), cost)


def test_cost_of_equal_and_of_empty_rows_is_finite_and_has_no_gradient():
    weight = torch.tensor([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]], requires_grad=True)
    for similarity in ("cosine", "cka"):
        cost = classifier_cost(weight, similarity=similarity)
        assert not cost.requires_grad
        assert cost[0, 1].item() == pytest.approx(0, abs=1e-6)
        assert cost[0, 2].item() == pytest.approx(1 - math.exp(-1))


# --- predictions


def _naive_logit(student, teacher, target, cost, weight, temperature, epsilon):
    """The formula with POT's plan for each sample by itself."""
    total = 0.0
    for s, t, y in zip(student.detach(), teacher, target.tolist(), strict=True):
        total -= (t.softmax(0)[y] * s.log_softmax(0)[y]).item()
        others = [c for c in range(len(s)) if c != y]
        a, b = (((row[others] / temperature).softmax(0)).numpy() for row in (s, t))
        price = cost[others][:, others].numpy()
        plan = ot.sinkhorn(a, b, price, epsilon, stopThr=1e-13, numItermax=10_000)
        total += weight * (plan * price).sum()
    return total / len(student)


@pytest.mark.parametrize(("temperature", "epsilon"), [(8.0, 0.1), (2.0, 0.2)])
def test_logit_loss_is_the_loop_with_plans_of_pot(temperature, epsilon):
    student, teacher = logits()
    found = wkd_logit_loss(
        student, teacher, COST, TARGET, transport_weight=7.0, temperature=temperature, epsilon=epsilon, iterations=3000
    )
    assert found.item() == pytest.approx(_naive_logit(student, teacher, TARGET, COST, 7.0, temperature, epsilon))


def test_authors_values_of_the_logit_loss_where_the_iteration_has_converged():
    student, teacher = logits()
    for weight, temperature, expected in ((600.0, 8.0, 55.25909568259489), (30.0, 2.0, 7.357469827093571)):
        found = wkd_logit_loss(
            student,
            teacher,
            COST,
            TARGET,
            transport_weight=weight,
            temperature=temperature,
            epsilon=0.2,
            iterations=500,
        )
        assert found.item() == pytest.approx(expected, rel=1e-6)
    found = wkd_logit_loss(student, teacher, COST, transport_weight=1.0, temperature=4.0, epsilon=0.2, iterations=500)
    assert found.item() == pytest.approx(0.13957896470415393, rel=1e-6)


def test_defaults_are_those_for_cifar100():
    student, teacher = logits()
    explicit = wkd_logit_loss(
        student, teacher, COST, TARGET, transport_weight=600.0, temperature=8.0, epsilon=0.05, iterations=10
    )
    assert torch.equal(wkd_logit_loss(student, teacher, COST, TARGET), explicit)


def test_far_classes_cost_more_than_near_ones():
    cost = torch.tensor([[0.0, 0.1, 0.9], [0.1, 0.0, 0.9], [0.9, 0.9, 0.0]])
    teacher, near, far = 9 * torch.eye(3).split(1)[0], 9 * torch.eye(3)[1:2], 9 * torch.eye(3)[2:]
    near, far = (wkd_logit_loss(x, teacher, cost, transport_weight=1.0, temperature=1.0) for x in (near, far))
    assert near.item() == pytest.approx(0.1, rel=0.02)
    assert far.item() == pytest.approx(0.9, rel=0.02)


def test_without_transport_only_the_confident_cross_entropy_is_left():
    student, teacher = logits()
    expected = -(teacher.softmax(1) * student.log_softmax(1))[torch.arange(4), TARGET].mean()
    torch.testing.assert_close(wkd_logit_loss(student, teacher, COST, TARGET, transport_weight=0.0), expected)


def test_two_classes_leave_nothing_to_carry():
    student, teacher = (x[:, :2] for x in logits())
    cost = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    target = torch.tensor([0, 1, 1, 0])
    with_plan = wkd_logit_loss(student, teacher, cost, target)
    torch.testing.assert_close(with_plan, wkd_logit_loss(student, teacher, cost, target, transport_weight=0.0))


def test_gradcheck_against_the_entropic_value_and_no_gradient_into_constants():
    student, teacher = logits()
    student.requires_grad_()
    teacher.requires_grad_()
    cost = COST.clone().requires_grad_()
    keep = torch.ones(4, 5, dtype=torch.bool).scatter_(1, TARGET[:, None], False)

    def entropic(s):
        a, b = (torch.where(keep, x / 2, -torch.inf).softmax(1) for x in (s, teacher.detach()))
        carried = shared_cost_transport(a, b, COST, epsilon=0.2, iterations=500).entropic.mean()
        return 3 * carried + wkd_logit_loss(s, teacher, COST, TARGET, transport_weight=0.0)

    assert torch.autograd.gradcheck(entropic, (student,))
    loss = wkd_logit_loss(
        student, teacher, cost, TARGET, transport_weight=3.0, temperature=2.0, epsilon=0.2, iterations=500
    )
    loss.backward()
    torch.testing.assert_close(student.grad, torch.autograd.grad(entropic(student), student)[0])
    assert teacher.grad is None
    assert cost.grad is None


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.floats(-50, 50))
def test_logit_loss_ignores_shift_and_order_and_is_never_negative(seed, shift):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (3 * torch.randn(3, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    target = torch.randint(5, (3,), generator=generator)
    plain = wkd_logit_loss(student, teacher, COST, target)
    assert plain >= 0
    torch.testing.assert_close(wkd_logit_loss(student + shift, teacher - shift, COST, target), plain)
    rows, classes = torch.randperm(3, generator=generator), torch.randperm(5, generator=generator)
    torch.testing.assert_close(wkd_logit_loss(student[rows], teacher[rows], COST, target[rows]), plain)
    moved = wkd_logit_loss(
        student[:, classes], teacher[:, classes], COST[classes][:, classes], classes.argsort()[target]
    )
    torch.testing.assert_close(moved, plain)


@pytest.mark.parametrize("epsilon", [0.05, 0.005])
@pytest.mark.parametrize("cost", [1 - torch.eye(3), torch.zeros(3, 3)], ids=["far", "free"])
@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 3)),
        (torch.ones(2, 3), 1e4 * torch.eye(3)[:2]),
        (torch.ones(2, 3), 1e4 * torch.eye(3)[[1, 0]]),
        (-1e4 * torch.eye(3)[:2], 1e4 * torch.eye(3)[:2]),
        (torch.arange(6.0).reshape(2, 3), torch.arange(6.0).reshape(2, 3)),
    ],
    ids=["zero", "sure teacher", "wrong teacher", "opposite", "equal"],
)
def test_logit_value_and_gradient_are_finite(student, teacher, cost, epsilon):
    for target in (torch.tensor([0, 1]), None):
        moving = student.clone().requires_grad_()
        loss = wkd_logit_loss(moving, teacher, cost, target, epsilon=epsilon)
        loss.backward()
        assert loss.isfinite()
        assert moving.grad.isfinite().all()


def test_logit_loss_in_half_precision_is_computed_in_single():
    student, teacher = (x.bfloat16() for x in logits())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = wkd_logit_loss(student, teacher, COST.float(), TARGET)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, wkd_logit_loss(student.float(), teacher.float(), COST.float(), TARGET))
    assert wkd_logit_loss(*logits(), COST, TARGET).dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher_logits": torch.zeros(4, 9)}, "wkd-l compares class by class, received a student of 5 classes"),
        ({"class_cost": torch.zeros(4, 4)}, r"a cost for each pair of the 5 classes, received \(4, 4\)"),
        ({"class_cost": 2 - torch.eye(5)}, "class_cost must lie between 0 and 1, received 1 to 2: divide it by its la"),
        ({"class_cost": COST - 1}, "class_cost must lie between 0 and 1, received -1 to "),
        ({"class_cost": torch.full((5, 5), torch.nan)}, "class_cost holds 25 values that are NaN"),
        ({"target": torch.tensor([0, 1, 2, 5])}, "target holds classes 0 to 5, logits have 5 classes"),
        ({"temperature": 0.0}, "temperature must be a finite number above 0"),
        ({"transport_weight": -1.0}, "transport_weight must be a finite number of at least 0, received -1.0"),
        ({"epsilon": 0.0}, "epsilon must be a finite number above 0"),
        ({"iterations": 0}, "iterations must be a whole number of at least 1, received 0"),
    ],
)
def test_logit_errors(change, message):
    student, teacher = logits()
    arguments = {"student_logits": student, "teacher_logits": teacher, "class_cost": COST, "target": TARGET} | change
    with pytest.raises(UsageError, match=message):
        wkd_logit_loss(**arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": torch.zeros(3)}, "weight must be a matrix"),
        ({"weight": torch.full((2, 2), torch.inf)}, "weight holds 4 values that are NaN or infinite"),
        ({"similarity": "cosin"}, "unknown similarity 'cosin': did you mean 'cosine'"),
        ({"sharpness": 0.0}, "sharpness must be a finite number above 0"),
    ],
)
def test_cost_errors(change, message):
    with pytest.raises(UsageError, match=message):
        classifier_cost(**({"weight": torch.eye(3)} | change))


# --- maps


def _naive_feature(student, teacher, mean_weight, grid, eps=1e-5):
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        for channel in range(len(s)):
            for row in range(grid):
                for column in range(grid):
                    (m, v), (n, w) = (_moments(x[channel], row, column, grid) for x in (s, t))
                    spread = math.sqrt(v + eps) - math.sqrt(w + eps)
                    total += mean_weight * (m - n) ** 2 + spread**2
    return total / (len(student) * grid**2)


def _moments(plane, row, column, grid):
    height, width = plane.shape
    rows = range(row * height // grid, math.ceil((row + 1) * height / grid))
    columns = range(column * width // grid, math.ceil((column + 1) * width / grid))
    values = [float(plane[y, x]) for y in rows for x in columns]
    mean = sum(values) / len(values)
    return mean, sum((x - mean) ** 2 for x in values) / max(len(values) - 1, 1)


@pytest.mark.parametrize("grid", [1, 2, 3])
@pytest.mark.parametrize("shape", [(5, 5), (3, 7)])
def test_feature_loss_is_the_loop(grid, shape):
    student, teacher = sines(0.37, 2, 3, 5, 5), 2 * cosines(0.11, 2, 3, *shape)
    found = wkd_feature_loss(student, teacher, mean_weight=3.0, grid=grid)
    assert found.item() == pytest.approx(_naive_feature(student, teacher, 3.0, grid))


@pytest.mark.parametrize(("grid", "expected"), [(1, 10.79465472242092), (2, 20.72401396354959), (3, 19.48859007968982)])
def test_authors_values_of_the_feature_loss(grid, expected):
    student, teacher = sines(0.37, 2, 3, 5, 5), 2 * cosines(0.11, 2, 3, 5, 5)
    assert wkd_feature_loss(student, teacher, grid=grid).item() == pytest.approx(expected, rel=1e-9)


def test_is_the_wasserstein_distance_of_gaussians():
    """Against the general closed form, |μ−μ'|² + tr(Σ + Σ' − 2 (Σ^½ Σ' Σ^½)^½), with diagonal Σ."""
    student, teacher = sines(0.37, 1, 3, 4, 4), cosines(0.11, 1, 3, 4, 4)
    distance = 0.0
    for channel in range(3):
        s, t = student[0, channel].flatten(), teacher[0, channel].flatten()
        distance += (s.mean() - t.mean()) ** 2 + s.var() + t.var() - 2 * (s.var() * t.var()).sqrt()
    found = wkd_feature_loss(student, teacher, mean_weight=1.0, eps=1e-12)
    assert found.item() == pytest.approx(distance.item(), rel=1e-6)


@pytest.mark.parametrize("grid", [1, 3])
def test_gradcheck_of_the_feature_loss_and_no_gradient_into_the_teacher(grid):
    student, teacher = sines(0.37, 2, 2, 3, 4).requires_grad_(), cosines(0.11, 2, 2, 5, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: wkd_feature_loss(s, teacher, grid=grid), (student,))
    wkd_feature_loss(student, teacher).backward()
    assert teacher.grad is None


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.floats(-5, 5))
def test_feature_loss_is_blind_to_order_and_common_shift_and_zero_where_equal(seed, shift):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(2, 3, 3, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    plain = wkd_feature_loss(student, teacher)
    assert plain > 0
    assert wkd_feature_loss(student, student).item() == 0
    torch.testing.assert_close(wkd_feature_loss(student + shift, teacher + shift), plain)
    positions = torch.randperm(9, generator=generator)
    moved = student.flatten(2)[:, :, positions].view_as(student)
    torch.testing.assert_close(wkd_feature_loss(moved, teacher), plain)
    torch.testing.assert_close(wkd_feature_loss(student.flip(0), teacher.flip(0)), plain)
    torch.testing.assert_close(wkd_feature_loss(teacher, student), plain)


@pytest.mark.parametrize("side", [1, 2])
@pytest.mark.parametrize("value", [0.0, 1e4])
def test_feature_value_and_gradient_are_finite(side, value):
    for student, teacher in (
        (torch.zeros(2, 3, side, side), torch.full((2, 3, 4, 4), value)),
        (torch.full((2, 3, side, side), value), torch.full((2, 3, side, side), value)),
    ):
        student = student.clone().requires_grad_()
        loss = wkd_feature_loss(student, teacher, grid=side)
        loss.backward()
        assert loss.isfinite()
        assert student.grad.isfinite().all()


def test_feature_loss_in_half_precision_is_computed_in_single():
    student, teacher = sines(0.37, 2, 3, 4, 4).bfloat16(), cosines(0.11, 2, 3, 4, 4).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = wkd_feature_loss(student, teacher)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, wkd_feature_loss(student.float(), teacher.float()))
    assert wkd_feature_loss(student.double(), teacher).dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"student_map": torch.zeros(2, 4, 4, 4)}, "a student of 4 channels and a teacher of 3: .* the method 'wkd-f'"),
        ({"student_map": torch.zeros(3, 3, 4, 4)}, "must hold the same samples, received 3 and 2 rows"),
        ({"student_map": torch.zeros(2, 3, 4)}, "student_map must be a feature map"),
        ({"teacher_map": torch.full((2, 3, 4, 4), torch.nan)}, "teacher_map holds 96 values that are NaN"),
        ({"grid": 5}, r"grid must be at most the smallest side of the maps \(4\), received 5"),
        ({"grid": 0}, "grid must be a whole number of at least 1"),
        ({"eps": 0.0}, "eps must be a finite number above 0"),
    ],
)
def test_feature_errors(change, message):
    arguments = {"student_map": torch.zeros(2, 3, 4, 4), "teacher_map": torch.zeros(2, 3, 4, 4)} | change
    with pytest.raises(UsageError, match=message):
        wkd_feature_loss(**arguments)
