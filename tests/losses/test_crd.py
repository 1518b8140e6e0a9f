"""CRD against the golden values of the authors' code, and as a module that learns and restarts."""

import copy

import pytest
import torch

from wcord.checks import UsageError
from wcord.losses import CRDLoss


def _fill(shape, phase):
    count = torch.Size(shape).numel()
    return torch.sin(0.7 * torch.arange(1, count + 1, dtype=torch.float32) + phase).reshape(shape)


@pytest.fixture
def golden():
    criterion = CRDLoss(3, 5, num_samples=10, embedding_dim=4, num_negatives=4)
    contrast = criterion.contrast
    with torch.no_grad():
        criterion.student_head.weight.copy_(_fill((4, 3), 0.1))
        criterion.student_head.bias.copy_(_fill((4,), 0.2))
        criterion.teacher_head.weight.copy_(_fill((4, 5), 0.3))
        criterion.teacher_head.bias.copy_(_fill((4,), 0.4))
        contrast.student_memory.storage.copy_(_fill((10, 4), 0.5))
        contrast.teacher_memory.storage.copy_(_fill((10, 4), 0.6))
    return criterion


STUDENT = torch.sin(torch.arange(1.0, 7.0)).reshape(2, 3)
TEACHER = torch.cos(torch.arange(1.0, 11.0)).reshape(2, 5)
OWN, DRAWN = torch.tensor([3, 7]), torch.tensor([[0, 1, 2, 9], [4, 5, 6, 8]])


def test_golden_values(golden):
    student = STUDENT.clone().requires_grad_()
    loss = golden(student, TEACHER, OWN, negative_index=DRAWN)
    loss.backward()
    assert loss.item() == pytest.approx(29.755894, abs=2e-5)
    contrast = golden.contrast
    # The side of the student's loss is scored against the teacher's bank: its constant is CRD's Z_S.
    z = [10 * nce.log_mean_exp.exp().item() for nce in (contrast.student_nce, contrast.teacher_nce)]
    assert z == pytest.approx([87052.19, 3805679.75], rel=5e-6)
    close = {"rtol": 0, "atol": 2e-6}
    written = torch.tensor([0.415134, -0.383064, -0.814398, -0.132970])
    torch.testing.assert_close(contrast.student_memory.rows[3], written, **close)
    written = torch.tensor([0.707041, 0.048037, 0.161990, -0.686691])
    torch.testing.assert_close(contrast.teacher_memory.rows[7], written, **close)
    gradient = torch.tensor([[-3.714198, -4.534972, -3.222878], [-1.309189, -0.557567, 0.456289]])
    torch.testing.assert_close(student.grad, gradient, rtol=0, atol=1e-5)


def test_only_own_rows_are_written_and_the_constant_is_kept(golden):
    before = golden.contrast.student_memory.rows.clone()
    golden(STUDENT, TEACHER, OWN, negative_index=DRAWN)
    moved = (golden.contrast.student_memory.rows != before).any(1).nonzero().flatten()
    assert moved.tolist() == [3, 7]
    constant = golden.contrast.student_nce.log_mean_exp.clone()
    golden(-STUDENT, TEACHER, OWN, negative_index=DRAWN)
    assert torch.equal(golden.contrast.student_nce.log_mean_exp, constant)


def test_eval_mode_moves_nothing(golden):
    before = copy.deepcopy(golden.state_dict())
    golden.eval()(STUDENT, TEACHER, OWN, negative_index=DRAWN)
    assert all(torch.equal(value, before[name]) for name, value in golden.state_dict().items())


@pytest.mark.parametrize("standardize", [False, True])
def test_gradcheck(standardize):
    torch.manual_seed(0)
    criterion = CRDLoss(3, 5, num_samples=10, embedding_dim=4, num_negatives=4, standardize=standardize).double()
    criterion(STUDENT.double(), TEACHER.double(), OWN, negative_index=DRAWN)
    criterion.eval()
    student = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: criterion(s, TEACHER.double(), OWN, negative_index=DRAWN), (student,))


def test_both_heads_train_and_no_gradient_reaches_the_teachers_features(golden):
    teacher = TEACHER.clone().requires_grad_()
    golden(STUDENT, teacher, OWN, negative_index=DRAWN).backward()
    assert teacher.grad is None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in golden.parameters())
    assert len(list(golden.parameters())) == 4


def test_defaults_are_those_of_the_public_code():
    criterion = CRDLoss(256, 256, num_samples=100)
    assert sum(p.numel() for p in criterion.parameters()) == 65_792
    contrast = criterion.contrast
    assert (contrast.num_negatives, contrast.temperature, contrast.estimator) == (16384, 0.07, "sampled")
    assert criterion.contrast.student_memory.momentum == 0.5


def test_first_loss_is_that_of_the_public_code():
    torch.manual_seed(0)
    criterion = CRDLoss(64, 64, num_samples=50_000, estimator="expected")
    loss = criterion(torch.randn(64, 64), torch.randn(64, 64), torch.arange(64))
    assert 22.5 < loss.item() < 25
    assert 50_000 * criterion.contrast.student_nce.log_mean_exp.exp().item() == pytest.approx(1.11e5, rel=0.03)


@pytest.mark.parametrize("standardize", [False, True])
def test_zero_and_equal_features_are_finite(standardize):
    criterion = CRDLoss(3, 5, num_samples=10, num_negatives=6, standardize=standardize)
    with torch.no_grad():
        criterion.student_head.bias.zero_()
    for fill in (0.0, 2.0):
        student = torch.full((4, 3), fill, requires_grad=True)
        loss = criterion(student, torch.full((4, 5), fill), torch.arange(4))
        loss.backward()
        assert loss.isfinite()
        assert student.grad.isfinite().all()


def test_restored_run_takes_the_same_step_bit_for_bit():
    torch.manual_seed(0)
    batches = [(torch.randn(8, 3), torch.randn(8, 5), torch.randint(40, (8,))) for _ in range(4)]

    def make():
        return CRDLoss(3, 5, num_samples=40, num_negatives=20, standardize=True, negatives="other_class")

    def step(criterion, batch):
        loss = criterion(*batch, labels=batch[2] % 4)
        loss.backward()
        with torch.no_grad():
            for p in criterion.parameters():
                p -= 0.05 * p.grad
                p.grad = None
        return loss.detach()

    criterion = make()
    for batch in batches[:3]:
        step(criterion, batch)
    state, rng = copy.deepcopy(criterion.state_dict()), torch.get_rng_state()
    expected = step(criterion, batches[3])
    fresh = make()
    fresh.load_state_dict(state)
    torch.set_rng_state(rng)
    assert torch.equal(step(fresh, batches[3]), expected)
    ours, theirs = criterion.state_dict(), fresh.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_errors(golden):
    with pytest.raises(UsageError, match="num_samples=10 is too small for index 10"):
        golden(STUDENT, TEACHER, torch.tensor([3, 10]))
    with pytest.raises(UsageError, match="student_embedding and teacher_embedding must hold the same samples"):
        golden(STUDENT, TEACHER[:1], OWN)
    with pytest.raises(UsageError, match="teacher_embedding holds 10 values that are NaN or infinite"):
        golden(STUDENT, TEACHER * torch.nan, OWN)
    with pytest.raises(UsageError, match="student_embedding needs a batch of at least 2, received 1"):
        CRDLoss(3, 5, num_samples=10, standardize=True)(STUDENT[:1], TEACHER[:1], OWN[:1])
    with pytest.raises(UsageError, match="negatives='other_class' needs the class of every sample"):
        CRDLoss(3, 5, num_samples=10, negatives="other_class")(STUDENT, TEACHER, OWN)
