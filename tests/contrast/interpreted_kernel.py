"""Run by test_kernel.py with TRITON_INTERPRET=1: the NCE kernel in Triton's interpreter beside torch."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord import kernels
from wcord.contrast import nce_loss
from wcord.contrast.kernel import sweep


def by_torch(anchors, rows, bias, index=None):
    rows = rows.double() if index is None else rows[index].double()
    scores = anchors.double() @ rows.T - bias.double()
    return F.softplus(scores, threshold=60).sum(1), scores.sigmoid() @ rows


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def assert_same(ours, expected):
    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine.double(), theirs, rtol=2e-6, atol=2e-6 * max(1.0, float(theirs.abs().max())))


@pytest.mark.parametrize(("batch", "rows", "width", "programs"), [
    (1, 1, 5, 1), (1, 100, 64, 3), (3, 1, 128, 2), (3, 1000, 5, 7), (64, 100, 128, 2), (70, 100, 64, 5),
    (70, 1000, 128, 4), (40, 33, 200, 8),
])  # fmt: skip
def test_the_sums_are_those_of_torch(batch, rows, width, programs):
    anchors, memory, bias = 10 * unit(batch, width), unit(rows, width, seed=1), torch.tensor(1.5)
    assert_same(sweep(anchors, memory, bias, programs=programs), by_torch(anchors, memory, bias))


@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
def test_an_index_chooses_rows(kind):
    anchors, memory, bias = 10 * unit(3, 5), unit(50, 5, seed=1), torch.tensor(0.5)
    index = torch.tensor([0, 49, 7, 7, 7, *range(10, 45)], dtype=kind)
    assert_same(sweep(anchors, memory, bias, index=index, programs=2), by_torch(anchors, memory, bias, index))


def test_the_pull_is_left_out_where_nobody_wants_it():
    anchors, memory, bias = unit(3, 5), unit(50, 5, seed=1), torch.tensor(0.5)
    losses, pulled = sweep(anchors, memory, bias, pull=False)
    assert torch.equal(losses, sweep(anchors, memory, bias)[0])
    assert torch.equal(pulled, torch.zeros(3, 5))


@pytest.mark.parametrize("shift", [-1e4, -90.0, 0.0, 20.0, 90.0, 1e4])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_extreme_scores_neither_overflow_nor_vanish(scale, shift):
    anchors, memory, bias = scale * unit(3, 5), unit(40, 5, seed=1), torch.tensor(shift)
    ours, exact = sweep(anchors, memory, bias), by_torch(anchors, memory, bias)
    assert all(bool(part.isfinite().all()) for part in ours)
    # Small losses count by their own size: log(1 + e) must not drown in the 1.
    torch.testing.assert_close(ours[0].double(), exact[0], rtol=2e-4, atol=1e-30)
    assert_same(ours, exact)


def test_nan_is_passed_on():
    anchors = unit(3, 5)
    anchors[1] = torch.nan
    losses, pulled = sweep(anchors, unit(40, 5), torch.tensor(0.0))
    assert losses.isnan().tolist() == [False, True, False]
    assert pulled.isnan().any(dim=1).tolist() == [False, True, False]


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 20), st.integers(1, 80), st.integers(1, 20), st.integers(1, 5), st.floats(-30, 30))
def test_every_row_is_counted_once_however_it_is_shared(batch, rows, width, programs, shift):
    anchors, memory, bias = 5 * unit(batch, width), unit(rows, width, seed=1), torch.tensor(shift)
    assert_same(sweep(anchors, memory, bias, programs=programs), by_torch(anchors, memory, bias))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("constant", [0.3, torch.tensor(0.3)], ids=["number", "tensor"])
@pytest.mark.parametrize("taught", [True, False])
def test_the_loss_and_its_gradients_are_those_of_torch(monkeypatch, shared, constant, taught):
    index = torch.arange(0, 60, 2) if shared else None
    sides = [unit(6, 8, seed=seed).requires_grad_(wanted) for seed, wanted in ((1, taught), (2, True))]
    rows = unit(60, 8, seed=3)
    wanted = [side for side in sides if side.requires_grad]

    def results():
        loss = nce_loss(*sides, rows, index, temperature=0.07, log_mean_exp=constant, num_negatives=40)
        return loss.detach(), *torch.autograd.grad(loss, wanted)

    expected = results()
    monkeypatch.setattr(kernels, "_suits", lambda tensor: True)
    monkeypatch.setattr(kernels, "_launched", set())
    ours = results()
    assert kernels._launched
    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", ["classes", "own draws", "wide", "double"])
def test_what_is_not_for_the_kernel_goes_to_torch(monkeypatch, case):
    monkeypatch.setattr(kernels, "_launched", set())
    monkeypatch.setattr(kernels, "_suits", lambda tensor: tensor.dtype != torch.float64)
    width = 300 if case == "wide" else 8
    anchor, rows, options = unit(3, width), unit(20, width, seed=1), {}
    if case == "classes":
        options = {"labels": torch.arange(3), "row_labels": torch.arange(20) % 4}
    elif case == "own draws":
        options = {"index": torch.arange(6).view(3, 2)}
    elif case == "double":
        anchor, rows = anchor.double(), rows.double()
    assert bool(nce_loss(anchor, anchor, rows, temperature=0.1, **options).isfinite())
    assert not kernels._launched
