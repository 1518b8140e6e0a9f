"""GCKT: the contrast of the critic's embeddings, its memory, its state, and the inputs that it refuses."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.contrast import Bank, Queue, nce_loss
from wcord.losses import GCKTLoss

B, STUDENT_DIM, TEACHER_DIM, N = 8, 6, 10, 40
SMALL = {"embedding_dim": 5, "num_negatives": 20}
INDEX = torch.arange(B) * 3


@pytest.fixture
def features():
    torch.manual_seed(0)
    return torch.randn(B, STUDENT_DIM, requires_grad=True), torch.randn(B, TEACHER_DIM)


def _loss(**options):
    torch.manual_seed(1)
    return GCKTLoss(STUDENT_DIM, TEACHER_DIM, **(SMALL | options))


def _step(criterion, batch, **labels):
    loss = criterion(*batch, **labels)
    loss.backward()
    with torch.no_grad():
        for p in criterion.parameters():
            p -= 0.05 * p.grad
            p.grad = None
    return loss.detach()


def test_it_is_the_nce_of_the_critics_embeddings_with_stored_positives(features):
    criterion = _loss(num_samples=N, estimator="expected")
    loss = criterion(*features, INDEX)
    twin = _loss(num_samples=N, estimator="expected")
    z_student, z_teacher = twin.critic(*features)
    expected = sum(
        nce_loss(
            anchor, memory.rows[INDEX], memory.rows, log_mean_exp=nce.log_mean_exp, temperature=0.07, num_negatives=20
        )
        for anchor, memory, nce in (
            (z_student, twin.contrast.teacher_memory, criterion.contrast.student_nce),
            (z_teacher, twin.contrast.student_memory, criterion.contrast.teacher_nce),
        )
    )
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("num_samples", [N, None])
def test_memory_moves_in_training_mode_and_stays_fixed_in_eval_mode(features, num_samples):
    criterion = _loss(num_samples=num_samples)
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


def test_bank_rows_are_plain_averages_of_embeddings(features):
    criterion = _loss(num_samples=N, momentum=0.0)
    criterion(*features, INDEX)
    lengths = criterion.contrast.student_memory.rows[INDEX].norm(dim=1)
    assert lengths.max() < 1.01
    assert lengths.min() < 0.97


def test_queue_needs_no_index_and_starts_with_zero(features):
    criterion = _loss(queue_size=12)
    first = criterion(*features)
    assert isinstance(criterion.contrast.student_memory, Queue)
    assert first == 0
    first.backward()
    assert criterion(*features) > 0
    criterion(*features)
    assert criterion.contrast.student_memory.num_valid == 12


def test_no_gradient_reaches_the_teachers_features(features):
    student, teacher = features[0], features[1].clone().requires_grad_()
    criterion = _loss(num_samples=N)
    criterion(student, teacher, INDEX).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in criterion.parameters())


def test_gradcheck(features):
    criterion = _loss(num_samples=N, estimator="expected").double()
    student, teacher = (side.detach().double() for side in features)
    criterion(student, teacher, INDEX)
    criterion.eval()
    assert torch.autograd.gradcheck(lambda s: criterion(s, teacher, INDEX), (student.requires_grad_(),), atol=1e-4)


@pytest.mark.parametrize("num_samples", [N, None])
@pytest.mark.parametrize("estimator", ["sampled", "expected", "shared"])
@pytest.mark.parametrize("negatives", ["uniform", "other_class"])
def test_zero_and_equal_features_are_finite(num_samples, estimator, negatives):
    labels = torch.arange(B) % 2
    for fill in (0.0, 2.0):
        criterion = _loss(num_samples=num_samples, estimator=estimator, negatives=negatives)
        for _ in range(3):
            student = torch.full((B, STUDENT_DIM), fill, requires_grad=True)
            loss = criterion(student, torch.full((B, TEACHER_DIM), fill), INDEX, labels=labels)
            loss.backward()
            assert loss.isfinite()
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
    criterion = _loss(negatives="other_class", estimator="sampled", queue_size=B, num_negatives=50)
    batch, labels = (torch.randn(B, STUDENT_DIM), torch.randn(B, TEACHER_DIM)), torch.tensor(labels)
    criterion(*batch, labels=labels)
    drawn = criterion.contrast.draw(B, labels=labels)
    assert (criterion.contrast.teacher_memory.labels[drawn] != labels.unsqueeze(1)).all()
    assert criterion(*batch, labels=labels).isfinite()


@pytest.mark.parametrize(
    "options",
    [
        {"num_samples": N},
        {"num_samples": N, "estimator": "shared", "negatives": "other_class"},
        {"queue_size": 13},
    ],
    ids=["bank", "shared", "queue"],
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
    fresh = GCKTLoss(STUDENT_DIM, TEACHER_DIM, **(SMALL | options))
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
    assert half.dtype == torch.float32
    assert torch.equal(half, single)


def test_training_separates_pairs_from_others():
    torch.manual_seed(0)
    hidden = torch.randn(N, 4)
    student, teacher = hidden @ torch.randn(4, STUDENT_DIM), hidden @ torch.randn(4, TEACHER_DIM)
    criterion = _loss(num_samples=N, estimator="expected")
    optimizer = torch.optim.SGD(criterion.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for step in range(60):
        index = (torch.arange(B) + step * B) % N
        loss = criterion(student[index], teacher[index], index)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    criterion.eval()
    z_student, z_teacher = criterion.critic(student, teacher)
    scores = z_student @ z_teacher.T
    assert scores.diagonal().mean() > scores.mean() + 0.3


def test_defaults_are_the_documented_ones():
    criterion = GCKTLoss(8, 9, num_samples=50)
    contrast = criterion.contrast
    assert (contrast.num_negatives, contrast.temperature, contrast.estimator) == (16384, 0.07, "sampled")
    assert contrast.negatives == "uniform"
    assert isinstance(contrast.student_memory, Bank)
    assert contrast.student_memory.momentum == 0.5
    assert GCKTLoss(8, 9).contrast.student_memory.storage.shape == (16384, 128)


def test_errors_of_a_batch(features):
    student, teacher = features
    criterion = _loss(num_samples=N)
    with pytest.raises(UsageError, match="num_samples was given, so every batch needs its row numbers"):
        criterion(student, teacher)
    with pytest.raises(UsageError, match="num_samples=40 is too small for index 61"):
        criterion(student, teacher, INDEX + N)
    with pytest.raises(UsageError, match="student_embedding needs a batch of at least 2, received 1"):
        _loss()(student[:1], teacher[:1])
    with pytest.raises(UsageError, match="GCKTLoss was built for a student of width 6"):
        criterion(student[:, :5], teacher, INDEX)
