"""The constant is set, moved and kept as told; the estimators draw what they should."""

import math

import pytest
import torch

from wcord.checks import UsageError
from wcord.contrast import NCE, Bank, Queue, nce_loss
from wcord.contrast.estimate import Negatives, log_mean_exp_score

B, D, N, K, TAU = 6, 8, 60, 20, 0.2


@pytest.fixture
def bank():
    torch.manual_seed(0)
    bank = Bank(N, D)
    bank.classes.copy_(torch.arange(N) % 5)
    return bank


@pytest.fixture
def pairs(bank):
    return bank.rows[:B].clone().requires_grad_(), bank.rows[B : 2 * B].clone()


def _nce(**options):
    return NCE(D, **({"num_negatives": K, "temperature": TAU} | options))


@pytest.mark.parametrize("estimator", ["sampled", "expected", "shared"])
def test_first_constant_is_set_once_from_the_first_training_batch(bank, pairs, estimator):
    nce = _nce(estimator=estimator)
    index = nce.draw(bank, B)
    expected = log_mean_exp_score(*pairs, Negatives(bank.rows, index, K), temperature=TAU)
    loss = nce(*pairs, bank, index=index)
    assert torch.equal(nce.log_mean_exp, expected)
    assert bool(nce.is_set)
    same = nce_loss(*pairs, bank.rows, index, temperature=TAU, log_mean_exp=expected, num_negatives=K)
    assert torch.equal(loss, same)
    nce(-pairs[0], pairs[1], bank)
    assert torch.equal(nce.log_mean_exp, expected)


def test_refresh_is_a_moving_average_of_mean_exp(bank, pairs):
    nce, expected = _nce(constant="refresh", estimator="expected"), None
    for sign in (1, -1, 1):
        anchor = sign * pairs[0]
        fresh = log_mean_exp_score(anchor, pairs[1], Negatives(bank.rows, None, K), temperature=TAU).exp()
        expected = fresh if expected is None else 0.99 * expected + 0.01 * fresh
        nce(anchor, pairs[1], bank)
        torch.testing.assert_close(nce.log_mean_exp.exp(), expected)


def test_analytic_constant_stands_from_the_start(bank, pairs):
    nce = _nce(constant="analytic")
    nce(*pairs, bank)
    assert nce.log_mean_exp.item() == pytest.approx(1 / (2 * D * TAU**2))


@pytest.mark.parametrize("constant", ["first", "refresh"])
def test_eval_mode_uses_the_batch_and_stores_nothing(bank, pairs, constant):
    nce = _nce(constant=constant, estimator="expected").eval()
    current = log_mean_exp_score(*pairs, Negatives(bank.rows, None, K), temperature=TAU)
    loss = nce(*pairs, bank)
    assert not bool(nce.is_set)
    assert nce.log_mean_exp == 0
    assert torch.equal(loss, nce_loss(*pairs, bank.rows, temperature=TAU, log_mean_exp=current, num_negatives=K))
    nce.train()(*pairs, bank)
    kept = nce.log_mean_exp.clone()
    nce.eval()(-pairs[0], pairs[1], bank)
    assert torch.equal(nce.log_mean_exp, kept)


def test_dual_needs_no_constant_and_no_temperature(bank, pairs):
    losses = [_nce(objective="dual", estimator="expected", temperature=tau)(*pairs, bank) for tau in (0.1, 3.0)]
    expected = -(pairs[0] * pairs[1]).sum(1).mean() + (pairs[0] @ bank.rows.T).mean()
    torch.testing.assert_close(losses[0], expected)
    assert torch.equal(*losses)


def test_shapes_of_the_draws(bank):
    assert _nce().draw(bank, B).shape == (B, K)
    assert _nce(estimator="shared").draw(bank, B).shape == (K,)
    assert _nce(estimator="expected").draw(bank, B) is None
    assert _nce().draw(Queue(4, D), B) is None
    assert _nce(num_negatives=3 * N).draw(bank, B).shape == (B, 3 * N)


def test_other_class_draws_no_row_of_the_anchors_class(bank, pairs):
    labels = torch.arange(B) % 5
    drawn = _nce(negatives="other_class").draw(bank, B, labels=labels)
    assert (bank.labels[drawn] != labels.unsqueeze(1)).all()


@pytest.mark.parametrize("estimator", ["expected", "shared"])
def test_other_class_rows_alone_move_the_anchor(bank, pairs, estimator):
    nce = _nce(negatives="other_class", estimator=estimator, constant="analytic", num_negatives=N)
    labels = torch.zeros(B, dtype=torch.long)
    own, bank_without = bank.labels == 0, Bank(N, D)
    bank_without.load_state_dict(bank.state_dict())
    bank_without.storage[own] = 7.0
    losses = [nce(*pairs, memory, labels=labels) for memory in (bank, bank_without)]
    torch.testing.assert_close(*losses)


def test_other_class_without_labels_is_refused(bank, pairs):
    with pytest.raises(UsageError, match="negatives='other_class' needs the class of every sample: pass labels"):
        _nce(negatives="other_class")(*pairs, bank)


@pytest.mark.parametrize("training", [True, False])
def test_empty_memory_gives_a_zero_in_the_graph(pairs, training):
    nce = _nce().train(training)
    loss = nce(*pairs, Queue(4, D))
    loss.backward()
    assert loss == 0
    assert torch.equal(pairs[0].grad, torch.zeros(B, D))
    assert not bool(nce.is_set)


def test_more_negatives_than_rows_keep_their_number(bank, pairs):
    nce = _nce(num_negatives=10 * N, constant="analytic")
    whole = _nce(num_negatives=10 * N, constant="analytic", estimator="expected")
    torch.manual_seed(0)
    mean = torch.stack([nce(*pairs, bank) for _ in range(30)]).mean()
    assert abs(mean - whole(*pairs, bank)) < 0.02 * mean


@pytest.mark.parametrize("estimator", ["sampled", "shared"])
def test_estimators_agree_in_the_mean(bank, pairs, estimator):
    torch.manual_seed(0)
    nce, whole = (_nce(estimator=name, constant="analytic") for name in (estimator, "expected"))
    values = torch.stack([nce(*pairs, bank).detach() for _ in range(400)])
    spread = values.std() / math.sqrt(400)
    assert abs(values.mean() - whole(*pairs, bank).detach()) < 4 * spread


def test_state_holds_the_constant(bank, pairs):
    nce, fresh = _nce(), _nce()
    nce(*pairs, bank)
    fresh.load_state_dict(nce.state_dict())
    index = nce.draw(bank, B)
    assert torch.equal(nce(*pairs, bank, index=index), fresh(*pairs, bank, index=index))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"estimator": "sampeld"}, "unknown estimator 'sampeld': did you mean 'sampled'"),
        ({"constant": "frist"}, "unknown constant 'frist': did you mean 'first'"),
        ({"negatives": "other"}, "unknown negatives 'other': did you mean 'other_class'"),
        ({"objective": "dua"}, "unknown objective 'dua': did you mean 'dual'"),
        ({"temperature": 0}, "temperature must be a finite number above 0"),
        ({"num_negatives": 0}, "num_negatives must be a whole number of at least 1"),
    ],
)
def test_errors(option, message):
    with pytest.raises(UsageError, match=message):
        _nce(**option)


def test_a_second_derivative_is_refused():
    anchor = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    rows = torch.randn(6, 4, dtype=torch.float64)
    loss = nce_loss(anchor, rows[:3], rows, temperature=0.5)
    with pytest.raises(RuntimeError, match="nce_loss has no second derivative"):
        torch.autograd.grad(loss, anchor, create_graph=True)


def test_a_constant_that_a_state_unsets_is_set_anew(bank, pairs):
    nce, fresh = _nce(estimator="expected"), _nce(estimator="expected")
    unset = fresh.state_dict()
    nce(*pairs, bank)
    nce.load_state_dict(unset)
    nce(-pairs[0], pairs[1], bank)
    fresh(-pairs[0], pairs[1], bank)
    assert torch.equal(nce.log_mean_exp, fresh.log_mean_exp)


def test_it_is_settled_once_its_constant_stands(bank, pairs):
    first, fresh = _nce(), _nce()
    assert not first.settled
    first.eval()(*pairs, bank)
    assert not first.settled
    first.train()(*pairs, bank)
    assert first.settled
    fresh.load_state_dict(first.state_dict())
    assert fresh.settled
    assert _nce(constant="analytic").settled
    assert _nce(objective="dual").settled
