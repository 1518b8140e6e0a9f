"""Both directions, each against the opposite side's memory, with one draw; the constant and the estimators."""

import math

import pytest
import torch

from wcord.checks import UsageError
from wcord.contrast import Bank, CrossedNCE, Queue, nce_loss
from wcord.contrast.crossed import NormalizingConstant
from wcord.contrast.estimate import Negatives, log_mean_exp_score

D, N, K, TAU = 6, 30, 10, 0.3
INDEX = torch.tensor([3, 9, 0, 29])


def _crossed(**options):
    """A contrast over two memories; those with `constant` have one from the start."""
    constant = options.pop("constant", None)
    defaults = {
        "num_samples": N,
        "queue_size": 12,
        "momentum": 0.5,
        "renormalize": False,
        "num_negatives": K,
        "temperature": TAU,
        "estimator": "sampled",
        "negatives": "uniform",
    }
    torch.manual_seed(0)
    crossed = CrossedNCE(D, **(defaults | options))
    for nce in (crossed.student_nce, crossed.teacher_nce) if constant is not None else ():
        nce.log_mean_exp.fill_(constant)
        nce.is_set.fill_(True)
    for memory in (crossed.student_memory, crossed.teacher_memory):
        memory.classes.copy_(torch.arange(len(memory.classes)) % 5)
    return crossed


@pytest.fixture
def sides():
    torch.manual_seed(1)
    return torch.randn(4, D, requires_grad=True), torch.randn(4, D, requires_grad=True)


def test_positives_of_a_bank_are_the_stored_opposite_rows(sides):
    crossed = _crossed(constant=0.9)
    drawn = torch.randint(N, (4, K))
    options = {"temperature": TAU, "log_mean_exp": 0.9}
    student_bank, teacher_bank = crossed.student_memory.rows, crossed.teacher_memory.rows
    expected = nce_loss(sides[0], teacher_bank[INDEX], teacher_bank, drawn, **options)
    expected = expected + nce_loss(sides[1], student_bank[INDEX], student_bank, drawn, **options)
    torch.testing.assert_close(crossed(*sides, INDEX, negative_index=drawn), expected)


def test_positives_of_a_queue_are_the_current_opposite_embeddings(sides):
    crossed = _crossed(num_samples=None, estimator="expected", constant=0.9)
    crossed.write(torch.randn(5, D), torch.randn(5, D))
    options = {"temperature": TAU, "log_mean_exp": torch.tensor(0.9), "num_negatives": K}
    expected = nce_loss(sides[0], sides[1], crossed.teacher_memory.rows, **options)
    expected = expected + nce_loss(sides[1], sides[0], crossed.student_memory.rows, **options)
    loss = crossed(*sides)
    assert torch.equal(loss, expected)
    for gradients in zip(torch.autograd.grad(loss, sides), torch.autograd.grad(expected, sides), strict=True):
        assert torch.equal(*gradients)


@pytest.mark.parametrize("training", [True, False])
def test_first_step_of_a_queue_is_a_zero_in_the_graph(sides, training):
    crossed = _crossed(num_samples=None).train(training)
    loss = crossed(*sides)
    loss.backward()
    assert loss == 0
    assert all(side.grad is not None and not side.grad.any() for side in sides)
    assert not crossed.student_nce.is_set


def test_forward_reads_and_write_writes(sides):
    for options in ({}, {"num_samples": None}):
        crossed = _crossed(constant=0.9, **options)
        before = {name: value.clone() for name, value in crossed.state_dict().items()}
        crossed(*sides, INDEX)
        assert all(torch.equal(value, before[name]) for name, value in crossed.state_dict().items())
        crossed.write(*sides, INDEX, torch.tensor([0, 1, 2, 3]))
        for name, side in (("student", sides[0]), ("teacher", sides[1])):
            memory = getattr(crossed, f"{name}_memory")
            if isinstance(memory, Queue):
                assert torch.equal(memory.rows, side.detach())
                assert memory.labels.tolist() == [0, 1, 2, 3]
            else:
                old = before[f"{name}_memory.storage"][INDEX]
                assert torch.equal(memory.read(INDEX), 0.5 * old + 0.5 * side.detach())


def test_one_draw_serves_both_directions(sides, monkeypatch):
    crossed, draws = _crossed(), []
    draw = crossed.draw
    monkeypatch.setattr(crossed, "draw", lambda *a, **k: draws.append(draw(*a, **k)) or draws[-1])
    torch.manual_seed(2)
    loss = crossed(*sides, INDEX)
    assert len(draws) == 1
    assert torch.equal(loss, crossed(*sides, INDEX, negative_index=draws[0]))


def test_the_index_of_a_step_is_checked_once(sides, monkeypatch):
    crossed, checked = _crossed(), []
    monkeypatch.setattr(Bank, "check", lambda bank, index: checked.append(index))
    crossed(*sides, INDEX)
    crossed.write(*sides, INDEX, checked=True)
    assert len(checked) == 1
    crossed.write(*sides, INDEX)
    assert len(checked) == 2


@pytest.mark.parametrize("estimator", ["sampled", "expected", "shared"])
def test_the_constant_is_set_once_by_the_first_training_batch(sides, estimator):
    crossed = _crossed(estimator=estimator)
    drawn = crossed.draw(4)
    bank = crossed.teacher_memory.rows
    negatives = Negatives(bank, drawn, K)
    expected = log_mean_exp_score(sides[0], bank[INDEX], negatives, temperature=TAU)
    crossed(*sides, INDEX, negative_index=drawn)
    if drawn is not None:
        assert torch.equal(crossed.student_nce.log_mean_exp, expected)
    constants = [nce.log_mean_exp.clone() for nce in (crossed.student_nce, crossed.teacher_nce)]
    crossed(-sides[0], sides[1], INDEX)
    assert [crossed.student_nce.log_mean_exp, crossed.teacher_nce.log_mean_exp] == constants
    assert crossed.student_nce.is_set
    assert constants[0] != constants[1]


def test_eval_mode_uses_the_batch_and_stores_nothing(sides):
    crossed = _crossed(estimator="expected").eval()
    banks = crossed.teacher_memory.rows, crossed.student_memory.rows
    expected = 0
    for anchor, other, bank in zip(sides, reversed(banks), banks, strict=True):
        assert other is not None
        positive, negatives = bank[INDEX], Negatives(bank, None, K)
        current = log_mean_exp_score(anchor, positive, negatives, temperature=TAU)
        expected += nce_loss(anchor, positive, bank, temperature=TAU, log_mean_exp=current, num_negatives=K)
    assert torch.equal(crossed(*sides, INDEX), expected)
    assert not crossed.student_nce.is_set
    assert crossed.student_nce.log_mean_exp == 0
    crossed.train()(*sides, INDEX)
    constant = crossed.student_nce.log_mean_exp.clone()
    crossed.eval()(-sides[0], sides[1], INDEX)
    assert torch.equal(crossed.student_nce.log_mean_exp, constant)


def test_a_restored_constant_is_the_stored_one_and_an_unset_one_is_set_anew(sides):
    crossed, fresh = _crossed(estimator="expected"), _crossed(estimator="expected")
    unset = {name: value.clone() for name, value in fresh.state_dict().items()}
    assert not crossed.student_nce.settled
    crossed(*sides, INDEX)
    assert crossed.student_nce.settled
    fresh.load_state_dict(crossed.state_dict())
    assert fresh.student_nce.settled
    assert torch.equal(crossed(*sides, INDEX), fresh(*sides, INDEX))
    crossed.load_state_dict(unset)
    crossed(-sides[0], sides[1], INDEX)
    assert crossed.student_nce.log_mean_exp != fresh.student_nce.log_mean_exp


def test_a_set_constant_does_not_compute_that_of_the_batch():
    constant = NormalizingConstant()
    assert constant(lambda: torch.tensor(2.0)) == 2

    def never():
        raise AssertionError

    assert constant(never) == 2


def test_shapes_of_the_draws():
    assert _crossed().draw(4).shape == (4, K)
    assert _crossed(estimator="shared").draw(4).shape == (K,)
    assert _crossed(estimator="expected").draw(4) is None
    assert _crossed(num_samples=None).draw(4) is None
    assert _crossed(num_negatives=3 * N).draw(4).shape == (4, 3 * N)


def test_other_class_draws_no_row_of_the_anchors_class():
    crossed, labels = _crossed(negatives="other_class"), torch.arange(4) % 3
    drawn = crossed.draw(4, labels=labels)
    assert (crossed.teacher_memory.labels[drawn] != labels.unsqueeze(1)).all()


@pytest.mark.parametrize("estimator", ["expected", "shared"])
def test_other_class_rows_alone_move_the_anchor(sides, estimator):
    crossed = _crossed(negatives="other_class", estimator=estimator, num_negatives=N, constant=0.5)
    labels, index = torch.zeros(4, dtype=torch.long), torch.tensor([1, 2, 3, 4])
    first = crossed(*sides, index, labels=labels)
    for memory in (crossed.student_memory, crossed.teacher_memory):
        memory.storage[memory.labels == 0] = 7.0
    torch.testing.assert_close(crossed(*sides, index, labels=labels), first)


def test_more_negatives_than_rows_keep_their_number(sides):
    sampled = _crossed(num_negatives=10 * N, constant=1.0)
    whole = _crossed(num_negatives=10 * N, constant=1.0, estimator="expected")
    torch.manual_seed(0)
    mean = torch.stack([sampled(*sides, INDEX) for _ in range(30)]).mean()
    assert abs(mean - whole(*sides, INDEX)) < 0.02 * mean


@pytest.mark.parametrize("estimator", ["sampled", "shared"])
def test_estimators_agree_in_the_mean(sides, estimator):
    drawn, whole = (_crossed(estimator=name, constant=1.0) for name in (estimator, "expected"))
    torch.manual_seed(0)
    values = torch.stack([drawn(*sides, INDEX).detach() for _ in range(400)])
    spread = values.std() / math.sqrt(400)
    assert abs(values.mean() - whole(*sides, INDEX).detach()) < 4 * spread


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"estimator": "sampeld"}, "unknown estimator 'sampeld': did you mean 'sampled'"),
        ({"negatives": "other"}, "unknown negatives 'other': did you mean 'other_class'"),
        ({"temperature": 0}, "temperature must be a finite number above 0"),
        ({"num_negatives": 0}, "num_negatives must be a whole number of at least 1"),
        ({"momentum": 2, "num_samples": None}, "momentum must lie between 0 and 1"),
    ],
)
def test_options_are_checked(option, message):
    with pytest.raises(UsageError, match=message):
        _crossed(**option)


def test_errors(sides):
    crossed = _crossed()
    with pytest.raises(UsageError, match="num_samples was given, so every batch needs its row numbers"):
        crossed(*sides)
    with pytest.raises(UsageError, match="num_samples was given"):
        crossed.write(*sides)
    with pytest.raises(UsageError, match=r"index must hold one row number per sample, received shape \(3,\)"):
        crossed(*sides, INDEX[:3])
    with pytest.raises(UsageError, match="num_samples=30 is too small for index 30"):
        crossed(*sides, INDEX + 1)
    with pytest.raises(UsageError, match="num_samples=30 is too small for index 31"):
        crossed(*sides, INDEX, negative_index=torch.full((4, K), 31))
    with pytest.raises(UsageError, match=r"index must have shape \(K,\) or \(batch, K\)"):
        crossed(*sides, INDEX, negative_index=torch.zeros(3, K, dtype=torch.long))
    with pytest.raises(UsageError, match="student must be as wide as the memory, 6, received 5"):
        crossed(sides[0][:, :5], sides[1][:, :5], INDEX)
    with pytest.raises(UsageError, match="negatives='other_class' needs the class of every sample: pass labels"):
        _crossed(negatives="other_class")(*sides, INDEX)
