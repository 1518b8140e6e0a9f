import math
import warnings

import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.host_reads import reads_refused

from wcord.checks import UsageError
from wcord.host import no_reads
from wcord.transport import ConvergenceWarning, cosine_cost, exact, sinkhorn

DOUBLE = torch.float64


def draw(n=6, m=8, seed=0):
    return torch.rand(n, m, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def simplex(size, seed=0):
    return torch.softmax(torch.randn(size, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed)), dim=0)


def converge(cost, epsilon=0.1, **options):
    return sinkhorn(cost, epsilon=epsilon, iterations=20_000, tolerance=1e-10, **options)


def naive_sinkhorn(cost, epsilon, iterations, a, b, prior=None):
    """Scale the kernel entry by entry, with Python's own floats."""
    n, m = len(a), len(b)
    kernel = [
        [(a[i] * b[j] if prior is None else prior[i][j]) * math.exp(-cost[i][j] / epsilon) for j in range(m)]
        for i in range(n)
    ]
    v = [1.0] * m if prior is None else list(b)
    for _ in range(iterations):
        u = [a[i] / sum(kernel[i][j] * v[j] for j in range(m)) for i in range(n)]
        v = [b[j] / sum(kernel[i][j] * u[i] for i in range(n)) for j in range(m)]
    return torch.tensor([[u[i] * kernel[i][j] * v[j] for j in range(m)] for i in range(n)], dtype=DOUBLE)


def log_domain_plan(cost, epsilon, iterations, a, b):
    """The iteration that needs no range: both potentials by log-sum-exp."""
    log_kernel = -cost / epsilon + b.log()
    g = torch.zeros_like(b)
    for _ in range(iterations):
        f = -torch.logsumexp(log_kernel + g, dim=1)
        g = -torch.logsumexp(-cost / epsilon + a.log()[:, None] + f[:, None], dim=0)
    return (log_kernel + a.log()[:, None] + f[:, None] + g).exp()


def clustered(n, m, *, spread=0.3, seed=0):
    """Cosine costs between two draws around the same centres."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(5, 16, dtype=DOUBLE, generator=generator)
    noise = [spread * torch.randn(size, 16, dtype=DOUBLE, generator=generator) for size in (n, m)]
    return cosine_cost(*(centres[torch.arange(len(part)) % 5] + part for part in noise))


@pytest.mark.parametrize("iterations", [1, 3, 25])
@pytest.mark.parametrize("epsilon", [0.5, 0.01])  # the plain path and the stabilised one
@pytest.mark.parametrize("anchored", [False, True])
def test_every_iteration_is_the_naive_one(iterations, epsilon, anchored):
    cost, a, b = draw(), simplex(6), simplex(8, seed=1)
    prior = draw(seed=2) / draw(seed=2).sum() if anchored else None
    plan = quiet(cost, epsilon=epsilon, iterations=iterations, a=a, b=b, prior=prior)
    expected = naive_sinkhorn(
        cost.tolist(), epsilon, iterations, a.tolist(), b.tolist(), None if prior is None else prior.tolist()
    )
    assert plan.iterations == iterations
    torch.testing.assert_close(plan.plan, expected, rtol=1e-8, atol=1e-14)


def quiet(cost, **options):
    """Solve without the warning that an unconverged plan brings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return sinkhorn(cost, **options)


@pytest.mark.parametrize("epsilon", [0.5, 0.05])
def test_against_pot(epsilon):
    cost, a, b = draw(), simplex(6), simplex(8, seed=1)
    plan = converge(cost, epsilon, a=a, b=b)
    oracle = ot.solve(cost.numpy(), a.numpy(), b.numpy(), reg=epsilon, reg_type="KL", max_iter=20_000, tol=1e-14)
    torch.testing.assert_close(plan.plan, torch.as_tensor(oracle.plan), atol=1e-10, rtol=1e-7)
    assert float(plan.cost) == pytest.approx(float(oracle.value_linear), rel=1e-8)
    assert float(plan.entropic_cost) == pytest.approx(float(oracle.value), rel=1e-8)


@pytest.mark.parametrize(("epsilon", "gap"), [(0.1, 1.0), (0.5, 0.2), (2.0, 3.0)])
def test_two_by_two_closed_form(epsilon, gap):
    # P = ½ [[p, 1−p], [1−p, p]] with p/(1−p) = exp(gap/ε): the logistic function.
    plan = converge(torch.tensor([[0.0, gap], [gap, 0.0]], dtype=DOUBLE), epsilon)
    p = 1 / (1 + math.exp(-gap / epsilon))
    expected = torch.tensor([[p, 1 - p], [1 - p, p]], dtype=DOUBLE) / 2
    torch.testing.assert_close(plan.plan, expected)
    assert float(plan.cost) == pytest.approx((1 - p) * gap)
    divergence = math.log(2) + p * math.log(p) + (1 - p) * math.log(1 - p)
    assert float(plan.entropic_cost) == pytest.approx((1 - p) * gap + epsilon * divergence)


def test_diracs():
    plan = converge(draw(1, 1))
    assert float(plan.plan) == pytest.approx(1)
    assert float(plan.cost) == pytest.approx(float(draw(1, 1)))
    # One point sends its mass wherever the weights say, at any price.
    b = simplex(8)
    torch.testing.assert_close(converge(draw(1, 8), b=b).plan[0], b)


def test_large_epsilon_gives_the_product():
    a, b = simplex(6), simplex(8, seed=1)
    torch.testing.assert_close(converge(draw(), 1e6, a=a, b=b).plan, a[:, None] * b, atol=1e-6, rtol=0)


def test_small_epsilon_gives_the_assignment():
    cost = draw(10, 10)
    plan = quiet(cost, epsilon=1e-3, iterations=20_000, tolerance=1e-6)
    torch.testing.assert_close(plan.plan, exact(cost).plan, atol=1e-4, rtol=0)
    assert float(plan.cost) == pytest.approx(float(exact(cost).cost), abs=1e-4)


def test_permuted_points_permute_the_plan():
    cost = draw()
    rows, columns = torch.randperm(6), torch.randperm(8)
    torch.testing.assert_close(converge(cost[rows][:, columns]).plan, converge(cost).plan[rows][:, columns])


@given(n=st.integers(1, 9), m=st.integers(1, 9), epsilon=st.floats(0.05, 10), seed=st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_invariants(n, m, epsilon, seed):
    cost, a, b = draw(n, m, seed), simplex(n, seed), simplex(m, seed + 1)
    plan = converge(cost, epsilon, a=a, b=b)
    assert plan.converged
    assert float(plan.plan.min()) >= 0
    torch.testing.assert_close(plan.plan.sum(dim=1), a)
    torch.testing.assert_close(plan.plan.sum(dim=0), b)
    swapped = converge(cost.T, epsilon, a=b, b=a)
    torch.testing.assert_close(swapped.plan.T, plan.plan, atol=1e-9, rtol=1e-6)
    shifted = converge(cost + draw(n, 1, seed) + 3 * draw(1, m, seed), epsilon, a=a, b=b)
    torch.testing.assert_close(shifted.plan, plan.plan, atol=1e-9, rtol=1e-6)
    scaled = converge(7 * cost, 7 * epsilon, a=a, b=b)
    torch.testing.assert_close(scaled.plan, plan.plan, atol=1e-9, rtol=1e-6)
    assert float(plan.entropic_cost) <= float((a[:, None] * b * cost).sum()) + 1e-9


def outliers(kind):
    cost = clustered(40, 30)
    if kind == "row":
        cost[3] = 2
    elif kind == "column":
        cost[:, 7] = 2
    elif kind == "both, far":
        cost[3] += 100
        cost[:, 7] += 50
    elif kind == "antipodal":
        signs = torch.where(torch.arange(40) < 20, 1.0, -1.0)[:, None] * torch.where(torch.arange(30) < 15, 1.0, -1.0)
        cost = 1 - 0.9 * signs + 0.1 * cost
    return cost


@pytest.mark.parametrize("kind", ["none", "row", "column", "both, far", "antipodal"])
@pytest.mark.parametrize("epsilon", [0.05, 0.015, 0.001])
@pytest.mark.parametrize("iterations", [10, 70])
def test_stable_where_the_plain_kernel_is_not(kind, epsilon, iterations):
    cost = outliers(kind)
    a, b = torch.full((40,), 1 / 40, dtype=DOUBLE), torch.full((30,), 1 / 30, dtype=DOUBLE)
    expected = log_domain_plan(cost, epsilon, iterations, a, b)
    double = quiet(cost, epsilon=epsilon, iterations=iterations)
    torch.testing.assert_close(double.plan, expected, atol=1e-9, rtol=0)
    single = quiet(cost.float(), epsilon=epsilon, iterations=iterations)
    # What float32 can hold of C/ε bounds what can be asked of its exponential.
    rounding = 4 * torch.finfo(torch.float32).eps * float(cost.max()) / epsilon
    assert float((single.plan - expected).abs().sum()) < rounding


@pytest.mark.parametrize("epsilon", [0.5, 0.001])
def test_zero_weights(epsilon):
    a, b = simplex(6), simplex(8, seed=1)
    a[2], b[5], b[6] = 0, 0, 0
    a, b = a / a.sum(), b / b.sum()
    cost = draw()
    cost[:, 5] = 0  # the weightless column is the nearest to every row
    plan = quiet(cost, epsilon=epsilon, iterations=30, a=a, b=b)
    inner = quiet(cost[a > 0][:, b > 0], epsilon=epsilon, iterations=30, a=a[a > 0], b=b[b > 0])
    torch.testing.assert_close(plan.plan[a > 0][:, b > 0], inner.plan)
    assert float(plan.plan[2].sum() + plan.plan[:, 5:7].sum()) == 0


def anchor(n, alpha):
    return (1 - alpha) * torch.full((n, n), 1 / n**2, dtype=DOUBLE) + alpha * torch.eye(n, dtype=DOUBLE) / n


def test_prior_without_anchor_is_no_prior():
    free, anchored = converge(draw(7, 7)), converge(draw(7, 7), prior=anchor(7, 0.0))
    torch.testing.assert_close(anchored.plan, free.plan)
    torch.testing.assert_close(anchored.entropic_cost, free.entropic_cost)


def test_anchor_draws_the_mass_to_the_diagonal():
    priors = [anchor(7, alpha) for alpha in (0, 0.2, 0.5, 0.9, 0.999, 1)]
    masses = [float(converge(draw(7, 7), prior=prior).diagonal_mass) for prior in priors]
    assert masses == sorted(masses)
    assert masses[0] < 0.3
    assert masses[-2] > 0.9
    assert masses[-1] == pytest.approx(1)


def test_prior_of_equal_labels_keeps_mass_within_them():
    labels = torch.tensor([0, 0, 1, 2, 1, 0])
    same = (labels[:, None] == labels).to(DOUBLE)
    plan = converge(draw(6, 6), prior=same / same.sum())
    assert plan.converged
    assert float(plan.plan[same == 0].abs().sum()) == 0


@pytest.mark.parametrize(
    ("zeros", "feasible"),
    [
        ([(0, 0)], True),
        ([(0, 2), (1, 2)], True),
        ([(0, 0), (0, 1), (0, 2)], False),
        ([(0, 1), (0, 2), (1, 1), (1, 2)], False),
    ],
)
def test_prior_with_zeros_is_refused_only_if_no_plan_fits(zeros, feasible):
    prior = torch.ones(3, 3, dtype=DOUBLE)
    for pair in zeros:
        prior[pair] = 0
    prior[2] *= 0.5
    prior /= prior.sum()
    if feasible:
        a = torch.tensor([0.3, 0.3, 0.4], dtype=DOUBLE)
        assert converge(draw(3, 3), a=a, prior=prior).converged
    else:
        with pytest.raises(UsageError, match=r"prior forbids .* every plan .*: mix it with a little of the uniform"):
            sinkhorn(draw(3, 3), epsilon=0.1, iterations=5, prior=prior)


def test_tolerance_stops_early_and_seldom_looks():
    cost = draw(20, 20)
    plan = sinkhorn(cost, epsilon=0.1, iterations=1000, tolerance=1e-6)
    assert plan.converged
    assert plan.iterations < 1000
    assert plan.iterations % 10 == 0
    fixed = sinkhorn(cost, epsilon=0.1, iterations=plan.iterations)
    assert torch.equal(fixed.plan, plan.plan)
    stabilised = quiet(cost, epsilon=0.01, iterations=50_000, tolerance=1e-6)
    assert stabilised.converged
    assert stabilised.iterations < 50_000


def test_warns_once_a_place_if_not_converged():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for seed in range(3):
            plan = sinkhorn(clustered(20, 20, seed=seed) + draw(20, 20, seed), epsilon=0.001, iterations=1)
    assert not plan.converged
    (warning,) = caught
    assert warning.category is ConvergenceWarning
    assert "off by more than 0.01 after 1 iterations: raise iterations or epsilon" in str(warning.message)
    assert warning.filename == __file__


def test_records_no_graph():
    cost = draw().requires_grad_()
    plan = converge(cost)
    assert plan.potentials is not None
    assert not any(potential.requires_grad for potential in plan.potentials)


def test_leaves_the_cost_as_it_was():
    cost = draw()
    before = cost.clone()
    quiet(cost, epsilon=0.001, iterations=3)
    quiet(cost, epsilon=1.0, iterations=3)
    assert torch.equal(cost, before)


def test_precision():
    cost = draw().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = sinkhorn(cost, epsilon=0.1, iterations=50)
    assert torch.equal(inside.plan, sinkhorn(cost, epsilon=0.1, iterations=50).plan)
    assert inside.plan.dtype == torch.float32
    assert sinkhorn(cost.bfloat16(), epsilon=0.5, iterations=50).plan.dtype == torch.float32
    assert converge(cost.double()).plan.dtype == torch.float64


@pytest.mark.parametrize("epsilon", [1.0, 1e-4])
def test_constant_cost_gives_the_product(epsilon):
    plan = sinkhorn(torch.full((4, 5), 3.0), epsilon=epsilon, iterations=5)
    torch.testing.assert_close(plan.plan, torch.full((4, 5), 1 / 20))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": 0.0}, "epsilon must be a finite number above 0, received 0.0"),
        ({"iterations": 0}, "iterations must be a whole number of at least 1, received 0"),
        ({"tolerance": -1.0}, "tolerance must be a finite number above 0"),
        ({"a": torch.ones(5)}, r"a must hold one weight a point \(6\), received shape \(5,\)"),
        ({"b": torch.ones(8)}, "b must sum to 1, received a sum of 8: divide it by its sum"),
        ({"a": torch.tensor([1.5, -0.5, 0, 0, 0, 0])}, "a must hold non-negative numbers, received -0.5"),
        ({"a": torch.tensor([float("nan"), 1, 0, 0, 0, 0])}, "a must hold non-negative numbers, received nan"),
        ({"prior": torch.ones(8, 6) / 48}, r"prior must have the shape of the cost \(6, 8\), received \(8, 6\)"),
        ({"prior": torch.ones(6, 8)}, "prior must sum to 1, received a sum of 48"),
    ],
)
def test_errors(options, message):
    with pytest.raises(UsageError, match=message):
        sinkhorn(draw(), **({"epsilon": 0.1, "iterations": 5} | options))


def test_errors_of_the_cost():
    with pytest.raises(UsageError, match="cost holds 1 values that are NaN or infinit"):
        sinkhorn(torch.tensor([[0.0, float("inf")]]), epsilon=0.1, iterations=5)
    with pytest.raises(UsageError, match="cost must be a matrix"):
        sinkhorn(torch.zeros(3), epsilon=0.1, iterations=5)
    with pytest.raises(TypeError, match="cost must hold floating-point"):
        sinkhorn(torch.zeros(3, 3, dtype=torch.int64), epsilon=0.1, iterations=5)


@pytest.mark.parametrize("kind", ["none", "row", "column", "both, far", "antipodal"])
@pytest.mark.parametrize("epsilon", [0.5, 0.05, 0.001])
@pytest.mark.parametrize("iterations", [1, 10, 70])
def test_where_nothing_may_be_looked_at_it_is_the_same_plan(kind, epsilon, iterations):
    cost = outliers(kind)
    expected = quiet(cost, epsilon=epsilon, iterations=iterations)
    with no_reads(), reads_refused():
        found = sinkhorn(cost, epsilon=epsilon, iterations=iterations)
    torch.testing.assert_close(found.plan, expected.plan, atol=1e-9, rtol=0)
    for one, other in zip(found.potentials, expected.potentials, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("epsilon", [0.5, 0.001])
def test_where_nothing_may_be_looked_at_zeros_forbid_as_well(epsilon):
    prior = torch.eye(6, dtype=DOUBLE) / 12 + torch.eye(6, dtype=DOUBLE).roll(1, 1) / 12
    a, b = simplex(6), simplex(6, seed=1)
    options = {"epsilon": epsilon, "iterations": 20, "prior": prior}
    expected = quiet(draw(6, 6), **options)
    with no_reads(), reads_refused():
        found = sinkhorn(draw(6, 6), **options)
        weighed = sinkhorn(draw(6, 6), epsilon=epsilon, iterations=20, a=a, b=b)
    torch.testing.assert_close(found.plan, expected.plan, atol=1e-9, rtol=0)
    torch.testing.assert_close(weighed.plan, quiet(draw(6, 6), epsilon=epsilon, iterations=20, a=a, b=b).plan)
