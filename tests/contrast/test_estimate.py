"""Value and gradient of the three estimators against the equation written as loops."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.contrast import nce_loss
from wcord.contrast.estimate import EXACT, Negatives, _softplus_sum, log_mean_exp_score

B, D, N, K, TAU = 5, 6, 40, 16, 0.3


@pytest.fixture
def data():
    torch.manual_seed(0)
    unit = torch.nn.functional.normalize
    return (
        unit(torch.randn(B, D, dtype=torch.float64), dim=1).requires_grad_(),
        unit(torch.randn(B, D, dtype=torch.float64), dim=1).requires_grad_(),
        unit(torch.randn(N, D, dtype=torch.float64), dim=1),
        torch.stack([torch.randperm(N)[:K] for _ in range(B)]),
    )


def _naive(anchor, positive, rows, index, *, log_z, total=None, weights=None):
    """The docstring's sum, one pair at a time; `weights` B×K."""
    total = total or index.shape[1]
    loss = anchor.new_zeros(())
    for i in range(anchor.shape[0]):
        pairs = [(anchor[i] @ positive[i], 1.0, True)]
        for k in range(index.shape[1]):
            weight = 1.0 if weights is None else float(weights[i, k])
            pairs.append((anchor[i] @ rows[index[i, k]], weight, False))
        for dot, weight, is_positive in pairs:
            noise = math.exp(log_z) * total
            probability = torch.exp(dot / TAU) / (torch.exp(dot / TAU) + noise)
            loss = loss - weight * torch.log(probability if is_positive else 1 - probability)
    return loss / anchor.shape[0]


def _value_and_grads(loss, anchor, positive):
    return loss.detach(), *torch.autograd.grad(loss, (anchor, positive))


def _assert_same(ours, naive, anchor, positive, tolerance=1e-9):
    for a, b in zip(_value_and_grads(ours, anchor, positive), _value_and_grads(naive, anchor, positive), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("ratio", [15, 0], ids=["dense", "gathered"])
def test_sampled_is_the_double_loop(data, ratio, monkeypatch):
    monkeypatch.setattr("wcord.contrast.estimate.GATHER_RATIO", ratio)
    anchor, positive, rows, index = data
    ours = nce_loss(anchor, positive, rows, index, temperature=TAU, log_mean_exp=0.7)
    _assert_same(ours, _naive(anchor, positive, rows, index, log_z=0.7), anchor, positive)


def test_sampled_counts_a_row_as_often_as_it_is_drawn(data):
    anchor, positive, rows, _ = data
    index = torch.randint(3, (B, 50))
    ours = nce_loss(anchor, positive, rows, index, temperature=TAU)
    _assert_same(ours, _naive(anchor, positive, rows, index, log_z=0.0), anchor, positive)


def test_shared_is_the_double_loop_with_one_draw(data):
    anchor, positive, rows, index = data
    ours = nce_loss(anchor, positive, rows, index[0], temperature=TAU, log_mean_exp=0.7)
    naive = _naive(anchor, positive, rows, index[:1].expand(B, K), log_z=0.7)
    _assert_same(ours, naive, anchor, positive)


def test_expected_weighs_every_row_alike(data):
    anchor, positive, rows, _ = data
    every = torch.arange(N).expand(B, N)
    ours = nce_loss(anchor, positive, rows, temperature=TAU, log_mean_exp=0.7, num_negatives=K)
    naive = _naive(
        anchor,
        positive,
        rows,
        every,
        log_z=0.7,
        total=K,
        weights=torch.full((B, N), K / N, dtype=torch.float64),
    )
    _assert_same(ours, naive, anchor, positive)


def test_expected_is_the_mean_over_all_draws(data):
    anchor, positive, rows, _ = data
    draws = [torch.tensor(draw) for draw in itertools.combinations(range(7), 3)]
    options = {"temperature": TAU, "log_mean_exp": 0.2}
    mean = torch.stack([nce_loss(anchor, positive, rows[:7], draw, **options) for draw in draws]).mean()
    ours = nce_loss(anchor, positive, rows[:7], num_negatives=3, **options)
    _assert_same(ours, mean, anchor, positive)


@pytest.mark.parametrize("shared", [False, True], ids=["expected", "shared"])
def test_rows_of_the_own_class_weigh_nothing(data, shared):
    anchor, positive, rows, index = data
    labels, row_labels = torch.tensor([0, 1, 2, 3, 9]), torch.arange(N) % 4
    draw = index[0] if shared else None
    ours = nce_loss(
        anchor,
        positive,
        rows,
        draw,
        temperature=TAU,
        log_mean_exp=0.7,
        num_negatives=K,
        labels=labels,
        row_labels=row_labels,
    )
    chosen = index[0] if shared else torch.arange(N)
    others = (labels.unsqueeze(1) != row_labels[chosen]).double()
    weights = others * K / others.sum(1, keepdim=True)
    naive = _naive(anchor, positive, rows, chosen.expand(B, -1), log_z=0.7, total=K, weights=weights)
    _assert_same(ours, naive, anchor, positive)


def test_no_other_class_at_all_is_finite(data):
    anchor, positive, rows, _ = data
    zeros = torch.zeros(N, dtype=torch.long)
    loss = nce_loss(anchor, positive, rows, temperature=TAU, labels=zeros[:B], row_labels=zeros)
    _assert_same(loss, _naive(anchor, positive, rows, torch.zeros(B, 0, dtype=torch.long), log_z=0.0, total=N),
                 anchor, positive)  # fmt: skip


@pytest.mark.parametrize("draw", ["own", "shared", "all"])
def test_blocks_change_nothing(data, draw, monkeypatch):
    anchor, positive, rows, index = data
    chosen = {"own": index, "shared": index[0], "all": None}[draw]

    def values():
        loss = nce_loss(anchor, positive, rows, chosen, temperature=TAU)
        constant = log_mean_exp_score(anchor, positive, Negatives(rows, chosen, K), temperature=TAU)
        return (*_value_and_grads(loss, anchor, positive), constant)

    whole = values()
    monkeypatch.setattr("wcord.contrast.estimate.GATHER_RATIO", 0)
    monkeypatch.setattr("wcord.contrast.estimate.CACHED", 20)
    monkeypatch.setattr("wcord.contrast.estimate._block_rows", lambda anchor, on_cpu: 7)
    for a, b in zip(whole, values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("draw", ["own", "shared", "all"])
def test_gradcheck(data, draw):
    anchor, positive, rows, index = data
    chosen = {"own": index, "shared": index[0], "all": None}[draw]
    assert torch.autograd.gradcheck(
        lambda a, p: nce_loss(a, p, rows, chosen, temperature=TAU, log_mean_exp=0.3),
        (anchor, positive),
    )


def test_gradient_scales_with_the_incoming_one_and_refuses_a_second(data):
    anchor, positive, rows, index = data
    loss = nce_loss(anchor, positive, rows, index, temperature=TAU)
    plain = torch.autograd.grad(loss, anchor, retain_graph=True)[0]
    scaled = torch.autograd.grad(loss * 1024, anchor, retain_graph=True)[0]
    torch.testing.assert_close(scaled, plain * 1024)
    with pytest.raises(RuntimeError, match="nce_loss has no second derivative"):
        torch.autograd.grad(loss.square(), anchor, create_graph=True)


def test_rows_get_no_gradient_and_may_be_written_before_backward(data):
    anchor, positive, rows, index = data
    loss = nce_loss(anchor, positive.detach(), rows, index, temperature=TAU)
    before = torch.autograd.grad(loss, anchor, retain_graph=True)[0]
    rows.zero_()
    assert torch.equal(torch.autograd.grad(loss, anchor)[0], before)


def test_no_gradient_is_formed_where_none_is_wanted(data):
    anchor, positive, rows, index = data
    with torch.no_grad():
        quiet = nce_loss(anchor, positive, rows, index, temperature=TAU)
    assert not quiet.requires_grad
    assert torch.equal(quiet, nce_loss(anchor, positive, rows, index, temperature=TAU).detach())


@pytest.mark.parametrize("temperature", [0.07, 0.011, 0.005])
@pytest.mark.parametrize("draw", ["own", "all"])
def test_finite_at_every_temperature(temperature, draw):
    torch.manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(N, D), dim=1)
    index = torch.randint(N, (4, K)) if draw == "own" else None
    for fill in (rows[:4], rows[:1].expand(4, D), torch.zeros(4, D), -rows[:4]):
        anchor = fill.clone().requires_grad_()
        constant = log_mean_exp_score(anchor, fill, Negatives(rows, index, K), temperature=temperature)
        loss = nce_loss(anchor, fill, rows, index, temperature=temperature, log_mean_exp=constant, num_negatives=K)
        loss.backward()
        assert constant.isfinite()
        assert loss.isfinite()
        assert anchor.grad is not None
        assert anchor.grad.isfinite().all()


@pytest.mark.parametrize("draw", ["own", "shared", "all"])
def test_constant_is_the_mean_over_all_pairs(data, draw):
    anchor, positive, rows, index = data
    chosen = {"own": index, "shared": index[:1].expand(B, K), "all": torch.arange(N).expand(B, N)}[draw]
    total = 10
    negatives = torch.exp((rows[chosen] * anchor.unsqueeze(1)).sum(2) / TAU) * total / chosen.shape[1]
    positives = torch.exp((anchor * positive).sum(1) / TAU)
    expected = ((negatives.sum() + positives.sum()) / (B * (total + 1))).log()
    given_draw = {"own": index, "shared": index[0], "all": None}[draw]
    ours = log_mean_exp_score(anchor, positive, Negatives(rows, given_draw, total), temperature=TAU)
    torch.testing.assert_close(ours, expected)


def test_random_unit_rows_have_the_analytic_constant():
    torch.manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(5000, 128), dim=1)
    anchor = torch.nn.functional.normalize(torch.randn(64, 128), dim=1)
    found = log_mean_exp_score(anchor, rows[:64], Negatives(rows, None, 5000), temperature=0.07)
    assert abs(found.item() - 1 / (2 * 128 * 0.07**2)) < 0.02


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 41), st.floats(-800, 800), st.floats(0.01, 300))
def test_softplus_sum_is_the_sum_of_softplus(width, centre, spread):
    scores = centre + spread * torch.linspace(-1, 1, 3 * width, dtype=torch.float64).reshape(3, width)
    expected = torch.logaddexp(scores, torch.zeros(())).sum(1)
    torch.testing.assert_close(_softplus_sum(scores.clone()), expected, rtol=1e-12, atol=1e-300)
    torch.testing.assert_close(_softplus_sum(scores.float()).double(), expected, rtol=2e-4, atol=1e-38)


def test_small_terms_are_not_rounded_away_in_single_precision():
    scores = torch.full((1, 4096), -18.0)
    torch.testing.assert_close(_softplus_sum(scores), torch.tensor([4096 * math.exp(-18.0)]), rtol=1e-5, atol=0)


def test_threshold_is_beyond_double_precision():
    assert EXACT + math.log1p(math.exp(-EXACT)) == EXACT


def test_half_precision_and_autocast_are_computed_in_single(data):
    anchor, positive, rows, index = (t.detach().float() if t.is_floating_point() else t for t in data)
    plain = nce_loss(anchor, positive, rows, index, temperature=TAU)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(nce_loss(anchor, positive, rows, index, temperature=TAU), plain)
    half = nce_loss(anchor.bfloat16(), positive.bfloat16(), rows, index, temperature=TAU)
    assert half.dtype == torch.float32
    assert abs(half - plain) < 0.01 * plain


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0.0}, "temperature must be a finite number above 0, received 0.0"),
        ({"index": torch.zeros(3, 2, dtype=torch.long)}, r"index must have shape \(K,\) or \(batch, K\)"),
        ({"rows": torch.zeros(4, D + 1)}, "anchor and rows must have one width, received 6 and 7"),
        ({"rows": torch.zeros(0, D)}, "rows needs a batch of at least 1"),
        ({"positive": torch.zeros(B + 1, D)}, "anchor and positive must have the same shape"),
        ({"labels": torch.zeros(B)}, "labels and row_labels belong together"),
    ],
)
def test_errors(data, change, message):
    anchor, positive, rows, index = data
    arguments = {"anchor": anchor, "positive": positive, "rows": rows, "index": index, "temperature": TAU} | change
    with pytest.raises(UsageError, match=message):
        nce_loss(**arguments)
