"""Both directions, each against the opposite side's memory, with one draw."""

import pytest
import torch

from wcord.checks import UsageError
from wcord.contrast import Bank, CrossedNCE, Queue, nce_loss

D, N, K, TAU = 6, 30, 10, 0.3


def _crossed(**options):
    defaults = {
        "num_samples": N,
        "queue_size": 12,
        "momentum": 0.5,
        "renormalize": False,
        "num_negatives": K,
        "temperature": TAU,
        "objective": "nce",
        "estimator": "sampled",
        "constant": "analytic",
        "negatives": "uniform",
    }
    torch.manual_seed(0)
    return CrossedNCE(D, **(defaults | options))


@pytest.fixture
def sides():
    torch.manual_seed(1)
    return torch.randn(4, D, requires_grad=True), torch.randn(4, D, requires_grad=True)


INDEX = torch.tensor([3, 9, 0, 29])


def test_positives_of_a_bank_are_the_stored_opposite_rows(sides):
    crossed = _crossed()
    drawn = torch.randint(N, (4, K))
    options = {"temperature": TAU, "log_mean_exp": crossed.student_nce.log_mean_exp}
    student_bank, teacher_bank = crossed.student_memory.rows, crossed.teacher_memory.rows
    expected = nce_loss(sides[0], teacher_bank[INDEX], teacher_bank, drawn, **options)
    expected = expected + nce_loss(sides[1], student_bank[INDEX], student_bank, drawn, **options)
    assert torch.equal(crossed(*sides, INDEX, negative_index=drawn), expected)


def test_positives_of_a_queue_are_the_current_opposite_embeddings(sides):
    crossed = _crossed(num_samples=None, estimator="expected")
    crossed.write(torch.randn(5, D), torch.randn(5, D))
    options = {"temperature": TAU, "log_mean_exp": crossed.student_nce.log_mean_exp, "num_negatives": K}
    expected = nce_loss(sides[0], sides[1], crossed.teacher_memory.rows, **options)
    expected = expected + nce_loss(sides[1], sides[0], crossed.student_memory.rows, **options)
    loss = crossed(*sides)
    assert torch.equal(loss, expected)
    for ours, theirs in zip(torch.autograd.grad(loss, sides), torch.autograd.grad(expected, sides), strict=True):
        assert torch.equal(ours, theirs)


def test_first_step_of_a_queue_is_zero(sides):
    loss = _crossed(num_samples=None)(*sides)
    loss.backward()
    assert loss == 0
    assert all(side.grad is not None and not side.grad.any() for side in sides)


def test_forward_reads_and_write_writes(sides):
    for options in ({}, {"num_samples": None}):
        crossed = _crossed(**options)
        before = {name: value.clone() for name, value in crossed.state_dict().items()}
        crossed(*sides, INDEX)
        assert all(torch.equal(value, before[name]) for name, value in crossed.state_dict().items())
        crossed.write(*sides, INDEX, torch.tensor([0, 1, 2, 3]))
        for memory, side in ((crossed.student_memory, sides[0]), (crossed.teacher_memory, sides[1])):
            if isinstance(memory, Queue):
                assert torch.equal(memory.rows, side.detach())
                assert memory.labels.tolist() == [0, 1, 2, 3]
            else:
                assert isinstance(memory, Bank)
                name = "student" if side is sides[0] else "teacher"
                old = before[f"{name}_memory.storage"][INDEX]
                assert torch.equal(memory.read(INDEX), 0.5 * old + 0.5 * side.detach())


def test_one_draw_serves_both_directions(sides, monkeypatch):
    crossed, seen = _crossed(), []
    for nce in (crossed.student_nce, crossed.teacher_nce):
        forward = nce.forward
        monkeypatch.setattr(
            nce, "forward", lambda *a, forward=forward, **k: (seen.append(k["index"]), forward(*a, **k))[1]
        )
    crossed(*sides, INDEX)
    assert len(seen) == 2
    assert seen[0] is seen[1]


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


def test_the_index_of_a_step_is_looked_at_once(sides, monkeypatch):
    crossed, looked = _crossed(), []
    monkeypatch.setattr(Bank, "check", lambda bank, index: looked.append(index))
    crossed(*sides, INDEX)
    crossed.write(*sides, INDEX, checked=True)
    assert len(looked) == 1
    crossed.write(*sides, INDEX)
    assert len(looked) == 2
