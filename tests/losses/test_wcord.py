"""WCoRD: its two parts against their definitions, its options, its state, and what it refuses."""

import copy
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.contrast import Bank, Queue, nce_loss
from wcord.losses import WCoRDLoss
from wcord.transport import ConvergenceWarning, transport_loss

B, STUDENT_DIM, TEACHER_DIM, N = 8, 6, 10, 40
SMALL = {"embedding_dim": 5, "num_negatives": 20, "epsilon": 0.5}
INDEX = torch.arange(B) * 3


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
    return WCoRDLoss(STUDENT_DIM, TEACHER_DIM, **(SMALL | options))


def _step(criterion, batch, **labels):
    report = criterion(*batch, **labels)
    report.total.backward()
    with torch.no_grad():
        for p in criterion.parameters():
            p -= 0.05 * p.grad
            p.grad = None
    return report.total.detach()


def test_total_is_the_weighted_sum_of_unweighted_parts(features):
    report = _loss(num_samples=N, gckt_weight=0.3, lckt_weight=2.0)(*features, INDEX)
    assert list(report.parts) == ["gckt", "lckt"]
    torch.testing.assert_close(report.total, 0.3 * report.parts["gckt"] + 2.0 * report.parts["lckt"])
    other = _loss(num_samples=N, gckt_weight=3.0, lckt_weight=0.1)(*features, INDEX)
    assert torch.equal(other.parts["lckt"], report.parts["lckt"])


def test_gckt_is_the_nce_of_the_critics_embeddings_with_stored_positives(features):
    criterion = _loss(num_samples=N, lckt_weight=0, estimator="expected", constant="analytic")
    twin = copy.deepcopy(criterion)
    z_student, z_teacher = twin.critic(*features)
    constant, options = twin.contrast.student_nce.log_mean_exp, {"temperature": 0.07, "num_negatives": 20}
    expected = sum(
        nce_loss(anchor, memory.rows[INDEX], memory.rows, log_mean_exp=constant, **options)
        for anchor, memory in ((z_student, twin.contrast.teacher_memory), (z_teacher, twin.contrast.student_memory))
    )
    torch.testing.assert_close(criterion(*features, INDEX).parts["gckt"], expected)


def test_dual_is_the_difference_of_means(features):
    criterion = _loss(num_samples=N, lckt_weight=0, estimator="expected", objective="dual")
    twin = copy.deepcopy(criterion)
    z_student, z_teacher = twin.critic(*features)
    student, teacher = twin.contrast.student_memory.rows, twin.contrast.teacher_memory.rows
    expected = (z_student @ teacher.T).mean() - (z_student * teacher[INDEX]).sum(1).mean()
    expected = expected + (z_teacher @ student.T).mean() - (z_teacher * student[INDEX]).sum(1).mean()
    torch.testing.assert_close(criterion(*features, INDEX).parts["gckt"], expected)


@pytest.mark.parametrize("gradient", ["entropic", "sharp"])
def test_lckt_is_the_transport_of_the_mapped_student_onto_the_raw_teacher(features, gradient):
    criterion = _loss(gckt_weight=0, lckt_weight=1.0, gradient=gradient)
    weight = criterion.local.student_map.weight
    assert weight.shape == (TEACHER_DIM, STUDENT_DIM)
    expected = transport_loss(features[0] @ weight.T, features[1], epsilon=0.5, iterations=10, gradient=gradient)
    report = criterion(*features)
    torch.testing.assert_close(report.total, expected)
    ours, theirs = (torch.autograd.grad(loss, features[0])[0] for loss in (report.total, expected))
    torch.testing.assert_close(ours, theirs)


def test_equal_widths_are_mapped_too():
    assert WCoRDLoss(6, 6, gckt_weight=0).local.student_map.weight.shape == (6, 6)


def test_lckt_of_the_critics_embeddings_teaches_both_maps(features):
    criterion = _loss(features="critic", estimator="expected", num_samples=N, lckt_weight=1.0)
    twin = copy.deepcopy(criterion)
    expected = transport_loss(*twin.critic(*features), epsilon=0.5)
    report = criterion(*features, INDEX)
    torch.testing.assert_close(report.parts["lckt"], expected)
    report.parts["lckt"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in criterion.parameters())
    assert len(list(criterion.parameters())) == 2


def test_anchoring_moves_mass_to_the_diagonal_until_it_is_matching(features):
    masses = []
    for anchor in (0.0, 0.5, 1.0):
        criterion = _loss(gckt_weight=0, lckt_weight=1.0, anchor=anchor)
        report = criterion(*features)
        masses.append(report.diagnostics["diagonal_mass"].item())
    assert masses[0] < masses[1] < masses[2]
    assert masses[2] == pytest.approx(1.0, abs=1e-5)
    mapped = criterion.local.student_map(features[0])
    matched = 1 - torch.nn.functional.cosine_similarity(mapped, features[1]).mean()
    torch.testing.assert_close(report.total, matched, rtol=1e-4, atol=1e-5)
    assert set(report.diagnostics) == {"diagonal_mass", "marginal_error"}
    assert list(report.parts) == ["lckt"]


def test_prior_of_the_anchored_form(features):
    criterion = _loss(gckt_weight=0, lckt_weight=1.0, anchor=0.3)
    prior = torch.full((B, B), 0.7 / B**2) + 0.3 / B * torch.eye(B)
    expected = transport_loss(criterion.local.student_map(features[0]), features[1], epsilon=0.5, prior=prior)
    torch.testing.assert_close(criterion(*features).total, expected)


def test_lckt_standardises_both_sides_first(features):
    criterion = _loss(gckt_weight=0, lckt_weight=1.0, lckt_standardize=True)
    moved = criterion(features[0] * 3 + 5, features[1] * 0.1 - 9).total
    torch.testing.assert_close(moved, _loss(gckt_weight=0, lckt_weight=1.0, lckt_standardize=True)(*features).total,
                               rtol=1e-3, atol=1e-3)  # fmt: skip


@pytest.mark.parametrize(("off", "rest"), [("gckt", ["lckt"]), ("lckt", ["gckt"])])
def test_part_of_weight_zero_is_neither_built_nor_computed(features, off, rest):
    criterion = _loss(num_samples=N, **{f"{off}_weight": 0})
    report = criterion(*features, INDEX)
    assert list(report.parts) == rest
    built = {name.split(".")[0] for name in criterion.state_dict()}
    assert built == ({"local"} if off == "gckt" else {"critic", "contrast"})


@pytest.mark.parametrize("num_samples", [N, None])
def test_memory_moves_in_training_mode_and_stands_still_in_eval_mode(features, num_samples):
    criterion = _loss(num_samples=num_samples, lckt_standardize=True)
    criterion(*features, INDEX)
    before = copy.deepcopy(criterion.state_dict())
    criterion.eval()(*features, INDEX)
    assert all(torch.equal(value, before[name]) for name, value in criterion.state_dict().items())
    criterion.train()(*features, INDEX)
    moved = {name for name, value in criterion.state_dict().items() if not torch.equal(value, before[name])}
    assert {f"contrast.{side}_memory.storage" for side in ("student", "teacher")} <= moved
    assert "critic.student_map.parametrizations.weight.0._u" in moved


def test_failed_step_leaves_the_memory_alone(features):
    criterion = _loss(num_samples=N)
    before = criterion.contrast.student_memory.rows.clone()
    with pytest.raises(UsageError):
        criterion(*features, INDEX + N)
    assert torch.equal(criterion.contrast.student_memory.rows, before)


def test_bank_rows_are_plain_averages_of_embeddings_or_unit_after(features):
    for normalize in ("before", "after"):
        criterion = _loss(num_samples=N, normalize=normalize, lckt_weight=0, momentum=0.0)
        criterion(*features, INDEX)
        lengths = criterion.contrast.student_memory.rows[INDEX].norm(dim=1)
        if normalize == "after":
            torch.testing.assert_close(lengths, torch.ones(B), atol=1e-4, rtol=0)
        else:
            assert lengths.max() < 1.01
            assert lengths.min() < 0.97


def test_queue_needs_no_index_and_starts_with_zero(features):
    criterion = _loss(queue_size=12)
    first = criterion(*features)
    assert isinstance(criterion.contrast.student_memory, Queue)
    assert first.parts["gckt"] == 0
    first.total.backward()
    second = criterion(*features)
    assert second.parts["gckt"] > 0
    criterion(*features)
    assert criterion.contrast.student_memory.num_valid == 12


def test_no_gradient_reaches_the_teachers_features(features):
    student, teacher = features[0], features[1].clone().requires_grad_()
    criterion = _loss(num_samples=N)
    criterion(student, teacher, INDEX).total.backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in criterion.parameters())


@pytest.mark.parametrize(
    "options",
    [{"lckt_weight": 0}, {"lckt_weight": 0, "objective": "dual"}, {"gckt_weight": 0, "gradient": "sharp"}],
    ids=["nce", "dual", "lckt"],
)
def test_gradcheck(features, options):
    steps = {"iterations": 300} if "gradient" in options else {}
    criterion = _loss(num_samples=N, estimator="expected", **options, **steps).double()
    student, teacher = (side.detach().double() for side in features)
    criterion(student, teacher, INDEX)
    criterion.eval()
    assert torch.autograd.gradcheck(
        lambda s: criterion(s, teacher, INDEX).total, (student.requires_grad_(),), atol=1e-4
    )


@pytest.mark.parametrize("num_samples", [N, None])
@pytest.mark.parametrize("estimator", ["sampled", "expected", "shared"])
@pytest.mark.parametrize("negatives", ["uniform", "other_class"])
def test_zero_and_equal_features_are_finite(num_samples, estimator, negatives):
    labels = torch.arange(B) % 2
    for fill in (0.0, 2.0):
        criterion = _loss(num_samples=num_samples, estimator=estimator, negatives=negatives, lckt_standardize=True)
        for _ in range(3):
            student = torch.full((B, STUDENT_DIM), fill, requires_grad=True)
            report = criterion(student, torch.full((B, TEACHER_DIM), fill), INDEX, labels=labels)
            report.total.backward()
            assert report.total.isfinite()
            assert student.grad.isfinite().all()


def test_low_temperature_is_finite(features):
    criterion = _loss(num_samples=N, temperature=0.005)
    for _ in range(3):
        assert _step(criterion, (*features, INDEX)).isfinite()


def test_other_class_needs_labels(features):
    criterion = _loss(num_samples=N, negatives="other_class")
    with pytest.raises(UsageError, match="negatives='other_class' needs the class of every sample"):
        criterion(*features, INDEX)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 3), min_size=B, max_size=B).filter(lambda labels: len(set(labels)) > 1))
def test_other_class_never_contrasts_with_the_own_class(labels):
    torch.manual_seed(0)
    criterion = _loss(negatives="other_class", estimator="sampled", queue_size=B, num_negatives=50, lckt_weight=0)
    batch, labels = (torch.randn(B, STUDENT_DIM), torch.randn(B, TEACHER_DIM)), torch.tensor(labels)
    criterion(*batch, labels=labels)
    drawn = criterion.contrast.student_nce.draw(criterion.contrast.teacher_memory, B, labels=labels)
    assert (criterion.contrast.teacher_memory.labels[drawn] != labels.unsqueeze(1)).all()
    assert criterion(*batch, labels=labels).total.isfinite()


@pytest.mark.parametrize(
    "options",
    [
        {"num_samples": N},
        {"num_samples": N, "constant": "refresh", "estimator": "shared", "negatives": "other_class"},
        {"queue_size": 13, "anchor": 0.5, "lckt_standardize": True},
        {"num_samples": N, "normalize": "after", "features": "critic"},
    ],
    ids=["bank", "refresh-shared", "queue-anchored", "after-critic"],
)
def test_restored_run_takes_the_same_step_bit_for_bit(options):
    torch.manual_seed(3)
    batches = [(torch.randn(B, STUDENT_DIM), torch.randn(B, TEACHER_DIM), torch.randint(N, (B,))) for _ in range(4)]
    labels = torch.arange(B) % 3
    criterion = _loss(**options)
    for batch in batches[:3]:
        _step(criterion, batch, labels=labels)
    copied, state, rng = copy.deepcopy(criterion), copy.deepcopy(criterion.state_dict()), torch.get_rng_state()
    expected = _step(criterion, batches[3], labels=labels)
    fresh = WCoRDLoss(STUDENT_DIM, TEACHER_DIM, **(SMALL | options))
    fresh.load_state_dict(state)
    for other in (fresh, copied):
        torch.set_rng_state(rng)
        assert torch.equal(_step(other, batches[3], labels=labels), expected)
        theirs = other.state_dict()
        assert all(torch.equal(value, theirs[name]) for name, value in criterion.state_dict().items())


def test_half_precision_inputs_and_autocast_lose_nothing_inside(features):
    student, teacher = (side.detach().bfloat16() for side in features)
    single = _loss(num_samples=N)(student.float(), teacher.float(), INDEX)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = _loss(num_samples=N)(student, teacher, INDEX)
    assert half.total.dtype == torch.float32
    assert torch.equal(half.total, single.total)


def test_training_separates_pairs_from_others():
    torch.manual_seed(0)
    hidden = torch.randn(N, 4)
    student, teacher = hidden @ torch.randn(4, STUDENT_DIM), hidden @ torch.randn(4, TEACHER_DIM)
    criterion = _loss(num_samples=N, lckt_weight=0, estimator="expected")
    optimizer = torch.optim.SGD(criterion.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for step in range(60):
        index = (torch.arange(B) + step * B) % N
        report = criterion(student[index], teacher[index], index)
        optimizer.zero_grad()
        report.total.backward()
        optimizer.step()
        losses.append(report.total.item())
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    criterion.eval()
    z_student, z_teacher = criterion.critic(student, teacher)
    scores = z_student @ z_teacher.T
    assert scores.diagonal().mean() > scores.mean() + 0.3


def test_defaults_are_the_documented_ones():
    criterion = WCoRDLoss(8, 9, num_samples=50)
    nce = criterion.contrast.student_nce
    assert (criterion.gckt_weight, criterion.lckt_weight) == (0.8, 0.05)
    assert (nce.num_negatives, nce.temperature, nce.estimator, nce.objective) == (16384, 0.07, "sampled", "nce")
    assert (criterion.local.epsilon, criterion.local.iterations, criterion.local.anchor.alpha) == (0.05, 10, 0.0)
    assert isinstance(criterion.contrast.student_memory, Bank)
    assert criterion.contrast.student_memory.momentum == 0.5
    assert criterion.critic.normalize == "before"
    assert WCoRDLoss(8, 9).contrast.student_memory.storage.shape == (16384, 128)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": "critic", "gckt_weight": 0}, "features='critic' needs GCKT beside LCKT, received gckt_weight=0"),
        ({"gckt_weight": 0, "lckt_weight": 0}, "must not both be 0"),
        ({"gckt_weight": -1.0}, "gckt_weight must be a finite number of at least 0, received -1.0"),
        ({"features": "raww"}, "unknown features 'raww': did you mean 'raw'"),
        ({"anchor": 1.5}, "anchor must lie between 0 and 1, received 1.5"),
        ({"gradient": "sharpe"}, "unknown gradient 'sharpe': did you mean 'sharp'"),
        ({"epsilon": 0.0}, "epsilon must be a finite number above 0"),
        ({"iterations": 0}, "iterations must be a whole number of at least 1"),
        ({"normalize": "none"}, "unknown normalize 'none'"),
        ({"num_samples": 0}, "num_samples must be a whole number of at least 1, received 0"),
    ],
)
def test_options_are_checked_when_built(options, message):
    with pytest.raises(UsageError, match=message):
        _loss(**options)


def test_errors_of_a_batch(features):
    student, teacher = features
    criterion = _loss(num_samples=N)
    with pytest.raises(UsageError, match="num_samples was given, so every batch needs its row numbers"):
        criterion(student, teacher)
    with pytest.raises(UsageError, match="num_samples=40 is too small for index 61"):
        criterion(student, teacher, INDEX + N)
    with pytest.raises(UsageError, match="student_embedding needs a batch of at least 2, received 1"):
        _loss(gckt_weight=0)(student[:1], teacher[:1])
    with pytest.raises(UsageError, match="student's embedding needs a batch of at least 2, received 1"):
        _loss(lckt_weight=0)(student[:1], teacher[:1])
    with pytest.raises(UsageError, match="must hold the same samples, received 8 and 7 rows"):
        criterion(student, teacher[1:], INDEX)
    with pytest.raises(UsageError, match="student_embedding holds 48 values that are NaN or infinite"):
        criterion(student * torch.nan, teacher, INDEX)
    with pytest.raises(TypeError, match=r"teacher_embedding must hold floating-point numbers, received torch.int64"):
        criterion(student, teacher.long(), INDEX)
