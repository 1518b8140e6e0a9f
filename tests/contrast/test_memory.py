"""Banks and queues: what is valid, what a write does, and what survives a restart."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.host_reads import reads_refused

from wcord.checks import UsageError
from wcord.contrast import Bank, Queue
from wcord.host import no_reads


def test_bank_starts_with_valid_rows_of_about_unit_length():
    bank = Bank(2000, 128)
    bound = (128 / 3) ** -0.5
    assert bank.num_valid == 2000
    assert bank.rows.abs().max() <= bound
    assert bank.rows.abs().max() > 0.99 * bound
    assert abs(bank.rows.norm(dim=1).mean().item() - 1) < 0.01
    assert (bank.labels == -1).all()


@pytest.mark.parametrize("renormalize", [False, True])
def test_bank_moves_only_the_rows_written(renormalize):
    bank = Bank(10, 4, momentum=0.25, renormalize=renormalize)
    before, rows = bank.rows.clone(), torch.randn(2, 4)
    bank.write(rows, torch.tensor([7, 2]), torch.tensor([5, 6]))
    for place, row, label in ((7, rows[0], 5), (2, rows[1], 6)):
        moved = 0.25 * before[place] + 0.75 * row
        expected = moved / moved.norm() if renormalize else moved
        torch.testing.assert_close(bank.rows[place], expected, atol=1e-5, rtol=1e-5)
        assert bank.labels[place] == label
    others = [0, 1, 3, 4, 5, 6, 8, 9]
    assert torch.equal(bank.rows[others], before[others])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(0, 1000))
def test_last_occurrence_of_an_index_is_written(index, seed):
    torch.manual_seed(seed)
    bank, rows, labels = Bank(5, 3), torch.randn(len(index), 3), torch.arange(len(index))
    before = bank.rows.clone()
    bank.write(rows, torch.tensor(index), labels)
    for place in range(5):
        if place in index:
            last = len(index) - 1 - index[::-1].index(place)
            torch.testing.assert_close(bank.rows[place], 0.5 * before[place] + 0.5 * rows[last])
            assert bank.labels[place] == last
        else:
            assert torch.equal(bank.rows[place], before[place])


@pytest.mark.parametrize("use", ["read", "write"])
def test_bank_names_the_number_of_samples_for_an_index_that_does_not_fit(use):
    bank = Bank(10, 4)
    for wrong, named in (([3, 10], "10"), ([-1, 3], "-1")):
        with pytest.raises(UsageError, match=f"num_samples=10 is too small for index {named}"):
            bank.read(torch.tensor(wrong)) if use == "read" else bank.write(torch.ones(2, 4), torch.tensor(wrong))
    with pytest.raises(TypeError, match=r"index must hold row numbers of the training set, received torch.float32"):
        bank.read(torch.tensor([1.0]))


def test_read_is_a_copy():
    bank = Bank(5, 2)
    row = bank.read(torch.tensor([3]))
    row.zero_()
    assert bank.rows[3].abs().sum() > 0


def test_bank_written_from_a_graph_or_in_half_precision_stays_plain():
    bank = Bank(5, 2)
    bank.write(torch.ones(1, 2, requires_grad=True) * 2, torch.tensor([0]))
    bank.write(torch.ones(1, 2, dtype=torch.bfloat16), torch.tensor([1]))
    assert not bank.rows.requires_grad
    assert bank.rows.dtype == torch.float32


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 7), st.lists(st.integers(0, 17), max_size=8))
def test_queue_holds_the_newest_rows(size, batches):
    queue, written = Queue(size, 1), []
    for batch in batches:
        fresh = [float(len(written) + i) for i in range(batch)]
        queue.write(torch.tensor(fresh).reshape(-1, 1), torch.tensor(fresh).long())
        written += fresh
        newest = written[-size:]
        assert queue.num_valid == len(newest)
        assert sorted(queue.rows.flatten().tolist()) == newest
        assert torch.equal(queue.labels, queue.rows.flatten().long())


def test_queue_starts_empty_and_forgets_old_labels():
    queue = Queue(2, 3)
    assert queue.num_valid == 0
    assert queue.rows.shape == (0, 3)
    queue.write(torch.ones(2, 3), torch.tensor([4, 5]))
    queue.write(torch.ones(1, 3))
    assert queue.labels.tolist() == [-1, 5]


@pytest.mark.parametrize("make", [lambda: Bank(6, 3), lambda: Queue(5, 3)])
def test_state_survives_a_restart_and_a_copy(make):
    def write(memory, rows, index):
        memory.write(rows, index, index) if isinstance(memory, Bank) else memory.write(rows, index)

    memory = make()
    write(memory, torch.randn(4, 3), torch.arange(4))
    copied, fresh = copy.deepcopy(memory), make()
    fresh.load_state_dict(memory.state_dict())
    rows = torch.randn(3, 3)
    for each in (memory, copied, fresh):
        write(each, rows, torch.tensor([5, 1, 5]))
    for other in (copied, fresh):
        assert other.num_valid == memory.num_valid
        assert all(
            torch.equal(a, b) for a, b in zip(memory.state_dict().values(), other.state_dict().values(), strict=True)
        )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Bank(0, 4), "num_samples must be a whole number of at least 1, received 0"),
        (lambda: Bank(4, 4, momentum=1.5), "momentum must lie between 0 and 1, received 1.5"),
        (lambda: Queue(0, 4), "size must be a whole number of at least 1"),
    ],
)
def test_errors(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_a_full_queue_that_is_given_another_state_is_as_full_as_that():
    full, begun = Queue(2, 1), Queue(2, 1)
    full.write(torch.ones(2, 1))
    begun.write(torch.ones(1, 1))
    assert full.num_valid == 2
    full.load_state_dict(begun.state_dict())
    assert full.num_valid == 1


def test_a_queue_counts_without_a_look_until_it_is_given_a_state():
    queue, other = Queue(3, 1), Queue(3, 1)
    with reads_refused():
        for held in (2, 3, 3):
            queue.write(torch.ones(2, 1))
            assert queue.num_valid == held
            assert queue.settled is (held == 3)
    other.load_state_dict(queue.state_dict())
    copied = copy.deepcopy(other)
    for each in (other, copied):
        assert each.settled
        assert each.num_valid == int(each.count) == 3
        with reads_refused():
            each.write(torch.ones(1, 1))
            assert each.num_valid == 3


def test_a_bank_is_not_looked_up_where_nothing_may_be_looked_at():
    bank, index, labels = Bank(5, 2), torch.tensor([3, 1]), torch.tensor([0, 1])
    with no_reads(), reads_refused():
        bank.write(torch.ones(2, 2), index, labels)
        assert bank.read(index).shape == (2, 2)
        with pytest.raises(TypeError, match="index must hold row numbers"):
            bank.read(torch.ones(1))
