"""Wasserstein distillation: the cost between classes, and what predictions and maps cost."""

import math

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
