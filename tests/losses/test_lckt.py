"""LCKT: the transport of the mapped student onto the teacher, plain and anchored."""

import warnings

import pytest
import torch

from wcord.checks import UsageError
from wcord.losses import LCKTLoss
from wcord.transport import ConvergenceWarning, transport_loss

B, STUDENT_DIM, TEACHER_DIM = 8, 6, 10


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@pytest.fixture
def features():
    torch.manual_seed(0)
    return torch.randn(B, STUDENT_DIM, requires_grad=True), torch.randn(B, TEACHER_DIM)


def _loss(**options):
    torch.manual_seed(1)
    return LCKTLoss(STUDENT_DIM, TEACHER_DIM, **({"epsilon": 0.5} | options))


def test_it_is_the_transport_of_the_mapped_student_onto_the_raw_teacher(features):
    criterion = _loss()
    weight = criterion.student_map.weight
    assert weight.shape == (TEACHER_DIM, STUDENT_DIM)
    expected = transport_loss(features[0] @ weight.T, features[1], epsilon=0.5, iterations=10)
    loss = criterion(*features)
    torch.testing.assert_close(loss, expected)
    gradients = [torch.autograd.grad(value, features[0])[0] for value in (loss, expected)]
    torch.testing.assert_close(*gradients)


def test_equal_widths_are_mapped_too():
    assert LCKTLoss(6, 6).student_map.weight.shape == (6, 6)


def test_anchoring_moves_mass_to_the_diagonal_until_it_is_matching(features):
    plans = [_loss(anchor=anchor).plan(*features) for anchor in (0.0, 0.5, 1.0)]
    masses = [plan.diagonal_mass.item() for plan in plans]
    assert masses[0] < masses[1] < masses[2]
    assert masses[2] == pytest.approx(1.0, abs=1e-5)
    mapped = _loss().student_map(features[0])
    matched = 1 - torch.nn.functional.cosine_similarity(mapped, features[1]).mean()
    torch.testing.assert_close(plans[2].cost, matched, rtol=1e-4, atol=1e-5)


def test_prior_of_the_anchored_form(features):
    criterion = _loss(anchor=0.3)
    prior = torch.full((B, B), 0.7 / B**2) + 0.3 / B * torch.eye(B)
    expected = transport_loss(criterion.student_map(features[0]), features[1], epsilon=0.5, prior=prior)
    torch.testing.assert_close(criterion(*features), expected)


def test_standardization_of_both_sides_comes_first(features):
    moved = _loss(lckt_standardize=True)(features[0] * 3 + 5, features[1] * 0.1 - 9)
    torch.testing.assert_close(moved, _loss(lckt_standardize=True)(*features), rtol=1e-3, atol=1e-3)


def test_no_gradient_reaches_the_teachers_features(features):
    teacher = features[1].clone().requires_grad_()
    criterion = _loss()
    criterion(features[0], teacher).backward()
    assert teacher.grad is None
    assert features[0].grad.abs().sum() > 0
    assert criterion.student_map.weight.grad.abs().sum() > 0


def test_gradcheck_of_a_converged_plan_is_that_of_the_entropic_value(features):
    criterion = _loss(iterations=2000).double().eval()
    student, teacher = (side.detach().double() for side in features)
    student.requires_grad_()
    (gradient,) = torch.autograd.grad(criterion(student, teacher), student)

    def entropic(s):
        from wcord.transport import cosine_cost, sinkhorn

        return sinkhorn(cosine_cost(criterion.student_map(s), teacher), epsilon=0.5, iterations=2000).entropic_cost

    direction, step = torch.randn_like(student), 1e-5
    with torch.no_grad():
        slope = (entropic(student + step * direction) - entropic(student - step * direction)) / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-5, atol=1e-8)


def test_zero_and_equal_features_are_finite():
    for fill in (0.0, 2.0):
        student = torch.full((B, STUDENT_DIM), fill, requires_grad=True)
        loss = _loss(lckt_standardize=True, anchor=0.5)(student, torch.full((B, TEACHER_DIM), fill))
        loss.backward()
        assert loss.isfinite()
        assert student.grad.isfinite().all()


def test_half_precision_inputs_and_autocast_lose_nothing_inside(features):
    student, teacher = (side.detach().bfloat16() for side in features)
    single = _loss()(student.float(), teacher.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = _loss()(student, teacher)
    assert half.dtype == torch.float32
    assert torch.equal(half, single)


def test_defaults_are_the_documented_ones():
    criterion = LCKTLoss(8, 9)
    assert (criterion.epsilon, criterion.iterations, criterion.anchor.alpha) == (0.05, 10, 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"anchor": 1.5}, "anchor must lie between 0 and 1, received 1.5"),
        ({"epsilon": 0.0}, "epsilon must be a finite number above 0"),
        ({"iterations": 0}, "iterations must be a whole number of at least 1"),
    ],
)
def test_options_are_checked_when_built(options, message):
    with pytest.raises(UsageError, match=message):
        _loss(**options)


def test_errors_of_a_batch(features):
    student, teacher = features
    with pytest.raises(UsageError, match="student_embedding needs a batch of at least 2, received 1"):
        _loss()(student[:1], teacher[:1])
    with pytest.raises(UsageError, match="LCKTLoss was built for a student of width 6"):
        _loss()(student[:, :5], teacher)
    with pytest.raises(UsageError, match="student_embedding holds 48 values that are NaN or infinite"):
        _loss()(student * torch.nan, teacher)
