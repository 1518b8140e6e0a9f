from itertools import pairwise

import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.host_reads import reads_refused
from torch.profiler import ProfilerActivity, profile

from wcord.checks import UsageError
from wcord.host import no_reads
from wcord.transport import shared_cost_transport, sinkhorn

DOUBLE = torch.float64


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def problem(pairs=4, n=6, m=6, *, seed=0):
    """Weights of both sides and a cost in [0, 1]."""
    points = draw(n + m, 3, seed=seed)
    cost = torch.cdist(points[:n], points[n:])
    return draw(pairs, n, seed=seed + 1).softmax(1), draw(pairs, m, seed=seed + 2).softmax(1), cost / cost.max()


def mean_centred(potential, weights):
    return potential - (weights * potential).sum(1, keepdim=True)


EPSILONS = pytest.mark.parametrize(
    ("epsilon", "iterations"), [(0.3, 100), (0.05, 1000), (0.016, 2000)], ids=["smooth", "sharp", "log domain"]
)


@EPSILONS
def test_is_pot_and_sinkhorn_pair_by_pair(epsilon, iterations):
    a, b, cost = problem(n=5, m=7)
    found = shared_cost_transport(a, b, cost, epsilon=epsilon, iterations=iterations)
    for k in range(len(a)):
        rows, columns = a[k].numpy(), b[k].numpy()
        plan = ot.sinkhorn(rows, columns, cost.numpy(), epsilon, stopThr=1e-13, numItermax=iterations)
        assert found.cost[k].item() == pytest.approx((plan * cost.numpy()).sum(), rel=1e-9)
        one = sinkhorn(cost, epsilon=epsilon, iterations=iterations, a=a[k], b=b[k])
        torch.testing.assert_close(found.cost[k], one.cost)
        torch.testing.assert_close(found.entropic[k], one.entropic_cost)
    assert found.marginal_error.max() < 1e-9


def test_is_the_naive_loop_at_any_number_of_iterations():
    a, b, cost = problem(pairs=2, n=3, m=4)
    epsilon, iterations = 0.1, 3
    found = shared_cost_transport(a, b, cost, epsilon=epsilon, iterations=iterations)
    kernel = (-cost / epsilon).exp().tolist()
    for k, (rows, columns) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
        v = [1.0] * 4
        for turn in range(iterations + 1):
            u = [rows[i] / sum(kernel[i][j] * v[j] for j in range(4)) for i in range(3)]
            if turn < iterations:
                v = [columns[j] / sum(kernel[i][j] * u[i] for i in range(3)) for j in range(4)]
        plan = [[u[i] * kernel[i][j] * v[j] for j in range(4)] for i in range(3)]
        price = sum(plan[i][j] * float(cost[i, j]) for i in range(3) for j in range(4))
        error = sum(abs(sum(plan[i][j] for i in range(3)) - columns[j]) for j in range(4))
        assert found.cost[k].item() == pytest.approx(price)
        assert found.marginal_error[k].item() == pytest.approx(error)


def test_log_domain_and_kernel_agree_at_any_number_of_iterations():
    a, b, cost = problem(pairs=3)
    a.requires_grad_()
    values = []
    for largest in (1.0, 100.0):  # a generous bound sends it into the log domain
        parts = shared_cost_transport(a, b, cost, epsilon=0.1, iterations=7, largest=largest)
        values.append((*parts, torch.autograd.grad(parts.entropic.sum(), a)[0]))
    for plain, logarithmic in zip(*values, strict=True):
        torch.testing.assert_close(plain, logarithmic)


def test_two_points_in_closed_form():
    """Over a cost of 1 between two points and sharp ε, what is in excess moves: half the L1 distance."""
    a, b = torch.tensor([[0.9, 0.1], [0.5, 0.5]]), torch.tensor([[0.2, 0.8], [0.5, 0.5]])
    found = shared_cost_transport(a, b, 1 - torch.eye(2), epsilon=0.02, iterations=2000)
    torch.testing.assert_close(found.cost, torch.tensor([0.7, 0.0]), atol=1e-4, rtol=0)


def test_large_epsilon_prices_the_product_of_the_weights():
    a, b, cost = problem()
    found = shared_cost_transport(a, b, cost, epsilon=1e4, iterations=5)
    product = torch.einsum("ki,ij,kj->k", a, cost, b)
    torch.testing.assert_close(found.cost, product, rtol=1e-3, atol=0)
    torch.testing.assert_close(found.entropic, product, rtol=1e-3, atol=0)


@EPSILONS
def test_gradcheck_of_the_entropic_value_once_converged(epsilon, iterations):
    _, b, cost = problem(pairs=2, n=3, m=4)
    logits = draw(2, 3, seed=9).requires_grad_()

    def value(z):
        return shared_cost_transport(z.softmax(1), b, cost, epsilon=epsilon, iterations=iterations).entropic

    assert torch.autograd.gradcheck(value, (logits,))


def test_gradient_is_the_centred_potential_on_both_values_and_none_reaches_the_constants():
    a, b, cost = (tensor.requires_grad_() for tensor in problem())
    parts = shared_cost_transport(a, b, cost, epsilon=0.2, iterations=400)
    one = sinkhorn(cost.detach(), epsilon=0.2, iterations=400, a=a[1], b=b[1])
    for value in (parts.cost, parts.entropic):
        (gradient,) = torch.autograd.grad(value.sum(), a, retain_graph=True)
        expected = mean_centred(one.potentials[0][None], a[1:2])[0]
        torch.testing.assert_close(gradient[1], expected)
        torch.testing.assert_close((a * gradient).sum(1), torch.zeros(4, dtype=DOUBLE))
    (parts.cost + parts.entropic).sum().backward()
    assert b.grad is None
    assert cost.grad is None


@pytest.mark.parametrize("iterations", [1, 3, 10])
def test_gradient_falls_with_the_difference_however_few_the_iterations(iterations):
    _, b, _ = problem(pairs=6, n=8, m=8)
    cost = 1 - torch.eye(8, dtype=DOUBLE)

    def size(step):
        a = (b.log() + step * draw(6, 8, seed=3)).softmax(1).requires_grad_()
        value = shared_cost_transport(a, b, cost, epsilon=0.05, iterations=iterations).cost
        return torch.autograd.grad(value.sum(), a)[0].abs().max().item()

    assert size(1e-4) < 1e-3
    assert size(1e-4) < size(1e-2) < size(1e-1)


def test_a_zero_weight_takes_its_point_out():
    a, b, cost = problem(pairs=3)
    keep = [0, 2, 3, 5]
    for weights in (a, b):
        weights[:, 1] = weights[:, 4] = 0
        weights /= weights.sum(1, keepdim=True)
    a.requires_grad_()
    whole = shared_cost_transport(a, b, cost, epsilon=0.1, iterations=20)
    gradient = torch.autograd.grad(whole.cost.sum(), a)[0]
    part = a.detach()[:, keep].requires_grad_()
    rest = shared_cost_transport(part, b[:, keep], cost[keep][:, keep], epsilon=0.1, iterations=20)
    torch.testing.assert_close(whole, rest)
    torch.testing.assert_close(gradient[:, keep], torch.autograd.grad(rest.cost.sum(), part)[0])
    assert gradient.isfinite().all()


@pytest.mark.parametrize("epsilon", [0.05, 1e-3])
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_value_and_gradient_are_finite_at_the_edges(epsilon, dtype):
    n = 5
    spikes = torch.eye(n, dtype=dtype)
    faint = torch.tensor([1.0, 1e-38, 1e-31, 1e-25, 0.0], dtype=dtype).expand(n, n)
    cost = (1 - torch.eye(n)).to(dtype)
    for a, b in ((spikes, spikes), (spikes, spikes.flip(0)), (faint, spikes), (spikes, faint), (faint, faint)):
        a = a.clone().requires_grad_()
        for price in (cost, torch.zeros_like(cost)):
            parts = shared_cost_transport(a, b, price, epsilon=epsilon, iterations=10)
            (gradient,) = torch.autograd.grad((parts.cost + parts.entropic).sum(), a)
            assert all(part.isfinite().all() for part in (*parts, gradient))


def test_small_pieces_of_the_log_domain_give_the_whole(monkeypatch):
    a, b, cost = problem(pairs=5)
    whole = shared_cost_transport(a, b, cost, epsilon=0.01, iterations=30)
    monkeypatch.setattr("wcord.transport.shared_cost.CHUNK_ELEMENTS", 2 * cost.numel())
    torch.testing.assert_close(shared_cost_transport(a, b, cost, epsilon=0.01, iterations=30), whole)


def test_memory_grows_with_pairs_and_points_and_not_with_their_product():
    pairs, n = 256, 128
    a, b, _ = problem(pairs=pairs, n=n, m=n)
    cost = (1 - torch.eye(n, dtype=DOUBLE)).float()
    a, b = a.float().requires_grad_(), b.float()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        shared_cost_transport(a, b, cost, epsilon=0.05, iterations=3).cost.sum().backward()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = torch.tensor([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]).cumsum(0)
    assert len(events) > 10
    assert int(held.max()) <= 4 * (8 * pairs * n + 3 * n * n) + 65536 < 4 * pairs * n * n / 10


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from([0.02, 0.1, 1.0]))
def test_invariants(seed, epsilon):
    a, b, cost = problem(pairs=3, n=4, m=5, seed=seed)
    parts = shared_cost_transport(a, b, cost, epsilon=epsilon, iterations=20)
    # An entropy is never negative, nor is a price; the entropic optimum lies below any other plan's objective.
    assert (parts.cost >= 0).all()
    product = torch.einsum("ki,ij,kj->k", a, cost, b)
    assert (parts.entropic <= product + 1e-9).all()
    # The order of pairs and of points does not matter, nor does the scale of cost and ε together.
    order = torch.randperm(3, generator=torch.Generator().manual_seed(seed))
    moved = shared_cost_transport(a[order], b[order], cost, epsilon=epsilon, iterations=20)
    torch.testing.assert_close(moved.cost, parts.cost[order])
    turned = shared_cost_transport(a.flip(1), b, cost.flip(0), epsilon=epsilon, iterations=20)
    torch.testing.assert_close(turned.cost, parts.cost)
    scaled = shared_cost_transport(a, b, 3 * cost, epsilon=3 * epsilon, iterations=20)
    torch.testing.assert_close(scaled.cost, 3 * parts.cost)


def test_dual_value_rises_to_the_optimum():
    a, b, cost = problem()
    values = [shared_cost_transport(a, b, cost, epsilon=0.05, iterations=k).entropic for k in (1, 3, 10, 100, 3000)]
    for before, after in pairwise(values):
        assert (before <= after + 1e-12).all()


def test_half_precision_and_autocast_are_computed_in_single():
    a, b, cost = (tensor.bfloat16() for tensor in problem())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = shared_cost_transport(a, b, cost, epsilon=0.1, iterations=10)
    single = (tensor.float() for tensor in (a, b, cost))
    rows, columns, price = single
    rows, columns = (weights / weights.sum(1, keepdim=True) for weights in (rows, columns))
    expected = shared_cost_transport(rows, columns, price, epsilon=0.1, iterations=10)
    assert found.cost.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_second_derivative_is_refused():
    a, b, cost = problem()
    value = shared_cost_transport(a.requires_grad_(), b, cost, epsilon=0.1, iterations=5).cost.sum()
    with pytest.raises(RuntimeError, match="has no second derivative: call backward without create_graph=True"):
        torch.autograd.grad(value, a, create_graph=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": torch.ones(4, 6)}, r"rows of a must sum to 1, received one off by 5: divide them by their sums"),
        (
            {"b": torch.tensor([[1.5, -0.5, 0, 0, 0, 0]]).expand(4, 6)},
            "b must hold non-negative numbers, received -0.5",
        ),
        ({"b": torch.full((3, 6), 1 / 6)}, "a and b must hold the same samples, received 4 and 3 rows"),
        ({"cost": torch.zeros(6, 5)}, r"cost must be n×m .* here \(6, 6\), received \(6, 5\)"),
        ({"cost": -torch.ones(6, 6)}, "cost must not be negative, received -1: subtract its minimum"),
        ({"cost": torch.full((6, 6), torch.nan)}, "cost holds 36 values that are NaN"),
        ({"largest": 0.5}, "cost exceeds largest=0.5, received 1: raise largest"),
        ({"largest": 0.0}, "largest must be a finite number above 0"),
        ({"epsilon": 0.0}, "epsilon must be a finite number above 0"),
        ({"iterations": 0}, "iterations must be a whole number of at least 1, received 0"),
    ],
)
def test_errors(change, message):
    a, b, cost = problem()
    arguments = {"a": a, "b": b, "cost": cost, "epsilon": 0.1, "iterations": 5} | change
    with pytest.raises(UsageError, match=message):
        shared_cost_transport(**arguments)


@pytest.mark.parametrize("largest", [None, 1.0])
@pytest.mark.parametrize("epsilon", [0.3, 0.05, 0.01])
def test_where_nothing_may_be_looked_at_it_is_the_same(epsilon, largest):
    a, b, cost = problem()
    options = {"epsilon": epsilon, "iterations": 20, "largest": largest}
    expected = shared_cost_transport(a, b, cost, **options)
    with no_reads(), reads_refused():
        found = shared_cost_transport(a, b, cost, **options)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
