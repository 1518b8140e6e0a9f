import warnings

import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.host_reads import HostReadError, reads_refused
from torch.profiler import ProfilerActivity, profile

from wcord.checks import UsageError
from wcord.host import no_reads
from wcord.transport import ConvergenceWarning, cosine_cost, exact, sinkhorn, transport_loss, transport_parts

DOUBLE = torch.float64


def draw(n=6, width=5, *, seed=0, dtype=DOUBLE):
    return torch.randn(n, width, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def clustered(n, width=12, *, seed=0, noise=0.5):
    """Student and teacher features of the same samples: shared centres, own noise."""
    centres = 2 * draw(4, width, seed=99)[torch.arange(n) % 4]
    return centres + noise * draw(n, width, seed=seed), centres + noise * draw(n, width, seed=seed + 1)


def anchor(n, alpha):
    return (1 - alpha) * torch.full((n, n), 1 / n**2, dtype=DOUBLE) + alpha * torch.eye(n, dtype=DOUBLE) / n


def unrolled(student, teacher, epsilon, iterations=400, prior=None):
    """Return Σ P C and the entropic value, recorded by autograd through every log-domain iteration."""
    cost = cosine_cost(student, teacher)
    n, m = cost.shape
    reference = torch.full((n, m), 1 / (n * m), dtype=cost.dtype) if prior is None else prior
    a, b = cost.new_full((n,), 1 / n), cost.new_full((m,), 1 / m)
    log_kernel = reference.log() - cost / epsilon
    g = torch.zeros_like(b)
    for _ in range(iterations):
        f = a.log() - torch.logsumexp(log_kernel + g, dim=1)
        g = b.log() - torch.logsumexp(log_kernel + f[:, None], dim=0)
    log_plan = log_kernel + f[:, None] + g
    plan = log_plan.exp()
    linear = (plan * cost).sum()
    return linear, linear + epsilon * (plan * (log_plan - reference.log())).sum()


def gradients(value, *inputs):
    return torch.autograd.grad(value, inputs)


OPTIONS = pytest.mark.parametrize(
    ("epsilon", "prior"),
    [(0.2, None), (0.05, None), (0.02, None), (0.2, anchor(8, 0.3))],
    ids=[0.2, 0.05, 0.02, "anchored"],
)


@OPTIONS
def test_entropic_gradient_is_that_of_the_entropic_value(epsilon, prior):
    x, y = (draw(8, 64, seed=seed).requires_grad_() for seed in (0, 1))
    loss = transport_loss(x, y, epsilon=epsilon, iterations=5000, prior=prior, tolerance=1e-11)
    linear, entropic = unrolled(x, y, epsilon, prior=prior)
    torch.testing.assert_close(loss, linear)
    for found, expected in zip(gradients(loss, x, y), gradients(entropic, x, y), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-6)


@OPTIONS
def test_sharp_gradient_is_that_of_unrolling(epsilon, prior):
    x, y = (draw(8, 64, seed=seed).requires_grad_() for seed in (0, 1))
    loss = transport_loss(x, y, epsilon=epsilon, iterations=5000, prior=prior, tolerance=1e-11, gradient="sharp")
    linear, _ = unrolled(x, y, epsilon, prior=prior)
    torch.testing.assert_close(loss, linear)
    for found, expected in zip(gradients(loss, x, y), gradients(linear, x, y), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-6)


class EntropicReference(torch.autograd.Function):
    """The entropic value forward, the loss's gradient backward: what gradcheck can compare."""

    @staticmethod
    def forward(ctx, x, y):
        with torch.enable_grad():
            x, y = x.detach().requires_grad_(), y.detach().requires_grad_()
            loss = transport_loss(x, y, epsilon=0.2, iterations=5000, tolerance=1e-12)
        ctx.save_for_backward(*gradients(loss, x, y))
        return sinkhorn(cosine_cost(x, y), epsilon=0.2, iterations=5000, tolerance=1e-12).entropic_cost.detach()

    @staticmethod
    def backward(ctx, grad):
        return tuple(grad * saved for saved in ctx.saved_tensors)


def test_gradcheck_entropic():
    assert torch.autograd.gradcheck(
        EntropicReference.apply, (draw(4).requires_grad_(), draw(5, seed=1).requires_grad_())
    )


@pytest.mark.parametrize("prior", [None, anchor(4, 0.3)], ids=["uniform", "anchored"])
def test_gradcheck_sharp(prior):
    x, y = draw(4).requires_grad_(), draw(4 if prior is not None else 5, seed=1).requires_grad_()

    def value(x, y):
        return transport_loss(x, y, epsilon=0.2, iterations=5000, tolerance=1e-12, gradient="sharp", prior=prior)

    assert torch.autograd.gradcheck(value, (x, y))


def test_the_two_gradients_differ():
    x, y = clustered(16)
    x.requires_grad_()
    entropic, sharp = (
        gradients(transport_loss(x, y, epsilon=0.2, iterations=200, gradient=name), x)[0]
        for name in ("entropic", "sharp")
    )
    assert float((entropic - sharp).norm() / entropic.norm()) > 0.1


def test_unconverged_sharp_gradient_holds_the_plans_own_marginals():
    x, y = clustered(8, noise=1.5)
    x.requires_grad_()
    found = gradients(quiet(x, y, epsilon=0.05, iterations=1, gradient="sharp"), x)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        plan = sinkhorn(cosine_cost(x, y), epsilon=0.05, iterations=1).plan
    a, b = plan.sum(dim=1), plan.sum(dim=0)
    step = 1e-6 * draw(8, 12, seed=5)

    def value(at):
        return sinkhorn(cosine_cost(at, y), epsilon=0.05, iterations=5000, a=a, b=b, tolerance=1e-12).cost.detach()

    slope = (value(x + step) - value(x - step)) / 2
    torch.testing.assert_close((found * step).sum(), slope, rtol=1e-5, atol=1e-12)


def quiet(*inputs, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return transport_loss(*inputs, **options)


@pytest.mark.parametrize("epsilon", [0.05, 0.02])
def test_value_against_pot(epsilon):
    x, y = draw(12, 64), draw(12, 64, seed=1)
    loss = transport_loss(x, y, epsilon=epsilon, iterations=20_000, tolerance=1e-10)
    weights = torch.full((12,), 1 / 12, dtype=DOUBLE)
    plan = ot.bregman.sinkhorn(
        weights, weights, cosine_cost(x, y), epsilon, method="sinkhorn_log", stopThr=1e-13, numItermax=20_000
    )
    torch.testing.assert_close(loss, (torch.as_tensor(plan) * cosine_cost(x, y)).sum())


@pytest.mark.parametrize("gradient", ["entropic", "sharp"])
@pytest.mark.parametrize("iterations", [1, 10, 45])
@pytest.mark.parametrize("epsilon", [0.1, 0.02, 0.002])
def test_is_the_plan_of_sinkhorn(epsilon, iterations, gradient):
    x, y = clustered(12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        plan = sinkhorn(cosine_cost(x, y), epsilon=epsilon, iterations=iterations)
        parts = transport_parts(x, y, epsilon=epsilon, iterations=iterations, gradient=gradient)
    torch.testing.assert_close(parts.cost, plan.cost)
    torch.testing.assert_close(parts.diagonal_mass, plan.diagonal_mass)
    torch.testing.assert_close(parts.marginal_error, plan.marginal_error, atol=1e-12, rtol=1e-6)


def test_entropic_gradient_against_loop():
    x, y = clustered(5)
    x.requires_grad_()
    weights = sinkhorn(cosine_cost(x, y), epsilon=0.1, iterations=10, tolerance=2.0).plan
    total = sum(
        float(weights[i, j]) * (1 - torch.dot(x[i], y[j]) / (x[i].norm() * y[j].norm()))
        for i in range(5)
        for j in range(5)
    )
    found = gradients(quiet(x, y, epsilon=0.1), x)[0]
    torch.testing.assert_close(found, gradients(total, x)[0], atol=1e-6, rtol=1e-4)


def test_permuted_batch_costs_nothing():
    x = draw(16, 32)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    assert float(transport_loss(x, 3 * x[order], epsilon=0.01)) == pytest.approx(0, abs=1e-6)


def test_small_epsilon_costs_what_the_assignment_costs():
    x, y = draw(16, 32), draw(16, 32, seed=1)
    loss = transport_loss(x, y, epsilon=2e-3, iterations=20_000, tolerance=1e-3)
    assert float(loss) == pytest.approx(float(exact(cosine_cost(x, y)).cost), abs=2e-3)


def test_identity_prior_is_pairwise_matching():
    x, y = draw(6), draw(6, seed=1)
    parts = transport_parts(x, y, prior=torch.eye(6) / 6)
    torch.testing.assert_close(parts.cost, cosine_cost(x, y).diagonal().mean())
    assert float(parts.diagonal_mass) == pytest.approx(1)


@given(n=st.integers(2, 9), m=st.integers(2, 9), scale=st.floats(0.5, 1e3), seed=st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_invariants(n, m, scale, seed):
    x, y = draw(n, 8, seed=seed), draw(m, 8, seed=seed + 1)
    options = {"epsilon": 0.2, "iterations": 20_000, "tolerance": 1e-11}
    loss = transport_loss(x, y, **options)
    assert 0 <= float(loss) <= 2
    torch.testing.assert_close(transport_loss(y, x, **options), loss)
    torch.testing.assert_close(transport_loss(scale * x, y, **options), loss, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(transport_loss(x.flip(0), y, **options), loss)
    spin = torch.linalg.qr(draw(8, 8, seed=seed))[0]
    torch.testing.assert_close(transport_loss(x @ spin, y @ spin, **options), loss)


@pytest.mark.parametrize("gradient", ["entropic", "sharp"])
@pytest.mark.parametrize("epsilon", [0.05, 0.001])
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("name", ["equal", "zero", "one-hot", "antipodal", "one outlier"])
def test_finite_on_degenerate_batches(name, dtype, epsilon, gradient):
    teacher = torch.eye(6, 8, dtype=dtype)
    student = (
        {
            "equal": torch.ones(6, 8),
            "zero": torch.zeros(6, 8),
            "one-hot": torch.eye(6, 8),
            "antipodal": -torch.eye(6, 8),
            "one outlier": torch.cat([torch.eye(5, 8), -torch.ones(1, 8)]),
        }[name]
        .to(dtype)
        .requires_grad_()
    )
    loss = quiet(student, teacher, epsilon=epsilon, gradient=gradient)
    assert loss.isfinite()
    assert gradients(loss, student)[0].isfinite().all()


@pytest.mark.parametrize("gradient", ["entropic", "sharp"])
def test_single_precision_is_close_to_double(gradient):
    x, y = clustered(64, 32)
    x.requires_grad_()
    options = {"epsilon": 0.1, "iterations": 100, "gradient": gradient}
    expected = gradients(transport_loss(x, y, **options), x)[0]
    found = gradients(transport_loss(x.float(), y.float(), **options), x)[0]
    assert float((found - expected).norm() / expected.norm()) < 5e-5


def test_precision():
    x, y = draw(dtype=torch.float32).requires_grad_(), draw(seed=1, dtype=torch.float32)
    plain = quiet(x, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = quiet(x, y)
        (gradient,) = gradients(inside, x)
    assert torch.equal(inside, plain)
    assert torch.equal(gradient, gradients(plain, x)[0])
    half = quiet(x.bfloat16(), y.bfloat16())
    assert half.dtype == torch.float32
    assert gradients(half, x)[0].dtype == torch.float32
    assert quiet(x.double(), y.double()).dtype == DOUBLE
    assert quiet(x, y.double()).dtype == DOUBLE


@pytest.mark.parametrize("gradient", ["entropic", "sharp"])
def test_only_what_wants_a_gradient_gets_one(gradient):
    x, y = draw().requires_grad_(), draw(seed=1)
    parts = transport_parts(x, y, epsilon=0.3, gradient=gradient)
    parts.cost.backward()
    assert x.grad is not None
    assert y.grad is None
    assert not parts.diagonal_mass.requires_grad
    assert not transport_loss(draw(), y, epsilon=0.3, gradient=gradient).requires_grad
    with torch.no_grad():
        assert not transport_loss(x, y, epsilon=0.3, gradient=gradient).requires_grad


def test_gradient_scales_with_what_comes_from_above():
    x, y = draw().requires_grad_(), draw(seed=1)
    once, scaled = transport_loss(x, y, epsilon=0.3), 1024 * transport_loss(x, y, epsilon=0.3)
    torch.testing.assert_close(gradients(scaled, x)[0], 1024 * gradients(once, x)[0])


def test_second_derivative_is_refused():
    x = draw().requires_grad_()
    with pytest.raises(
        RuntimeError, match="transport_loss has no second derivative: call backward without create_graph"
    ):
        torch.autograd.grad(transport_loss(x, draw(seed=1), epsilon=0.3), x, create_graph=True)


def test_nothing_of_the_size_of_the_plan_is_kept():
    n, width = 200, 4
    kept = []
    x = draw(n, width).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        for gradient in ("entropic", "sharp"):
            transport_loss(x, draw(n, width, seed=1), epsilon=0.3, gradient=gradient)
    assert max(kept) <= n * width


@pytest.mark.parametrize(("gradient", "squares"), [("entropic", 1.5), ("sharp", 3.0)])
@pytest.mark.parametrize("epsilon", [0.05, 0.02])
def test_peak_memory(gradient, squares, epsilon):
    n, width = 512, 16
    x, y = (part.float() for part in clustered(n, width))
    x.requires_grad_()
    if epsilon < 0.05:
        squares = 3.0  # the iteration in the log domain holds a second matrix

    def step():
        quiet(x, y, epsilon=epsilon, gradient=gradient).backward()

    step()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = torch.tensor([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]).cumsum(0)
    assert len(events) > 10
    assert int(held.max()) <= 4 * (squares * n * n + 6 * n * width) + 65536


def test_warns_at_the_callers_place_and_once():
    x, y = draw(32), draw(32, seed=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            transport_loss(x, y, epsilon=0.001, iterations=2)
    (warning,) = caught
    assert warning.category is ConvergenceWarning
    assert warning.filename == __file__
    assert "more than 0.01 after 2 iterations" in str(warning.message)


def test_tolerance_stops_early():
    x, y = draw(), draw(seed=1)
    early = transport_parts(x, y, epsilon=0.3, iterations=10_000, tolerance=1e-3)
    assert 1e-12 < float(early.marginal_error) <= 1e-3


def test_other_size_has_no_diagonal():
    assert transport_parts(draw(4), draw(5, seed=1), epsilon=0.5).diagonal_mass.isnan()


@pytest.mark.parametrize(
    ("student", "teacher", "options", "message"),
    [
        (draw(1), draw(4), {}, "student needs a batch of at least 2, received 1"),
        (draw(4), draw(4, 3), {}, "student and teacher must have rows of the same width, received 5 and 3"),
        (draw(4), draw(4) / 0, {}, "teacher holds 20 values that are NaN or infinit"),
        (draw(4), draw(4), {"gradient": "sharpe"}, "unknown gradient 'sharpe': did you mean 'sharp'?"),
        (draw(4), draw(4), {"epsilon": -1.0}, "epsilon must be a finite number above 0"),
        (draw(4), draw(4), {"iterations": 0}, "iterations must be a whole number of at least 1"),
        (draw(4), draw(4), {"prior": torch.ones(3, 4) / 12}, "prior must have the shape of the cost"),
        (draw(4), draw(4), {"prior": torch.eye(4).flip(0).triu() / 1}, "prior must sum to 1"),
        (draw(4), draw(4), {"prior": torch.eye(4)[[0, 1, 2, 2]] / 4}, "prior forbids"),
    ],
)
def test_errors(student, teacher, options, message):
    with pytest.raises(UsageError, match=message):
        transport_loss(student, teacher, **options)


def test_whole_numbers_are_refused():
    with pytest.raises(TypeError, match="student must hold floating-point"):
        transport_loss(torch.ones(3, 3, dtype=torch.int64), draw(3, 3))


@pytest.mark.parametrize("gradient", ["entropic", "sharp"])
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize(("epsilon", "iterations"), [(0.2, 10), (0.05, 10), (0.05, 200), (0.02, 10), (0.005, 45)])
@pytest.mark.parametrize("alpha", [None, 0.3, 1.0])
def test_where_nothing_may_be_looked_at_it_is_the_same(gradient, dtype, epsilon, iterations, alpha):
    x, y = (side.to(dtype).requires_grad_() for side in clustered(40))
    prior = None if alpha is None else anchor(40, alpha).to(dtype)
    options = {"epsilon": epsilon, "iterations": iterations, "gradient": gradient, "prior": prior}
    expected = transport_parts(x, y, **options)
    with no_reads(), reads_refused():
        found = transport_parts(x, y, **options)
    tight = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-7, "atol": 1e-9}
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, **tight)
    for one, other in zip(gradients(found.cost, x, y), gradients(expected.cost, x, y), strict=True):
        assert float((one - other).norm() / other.norm().clamp_min(1e-6)) < (1e-3 if dtype == torch.float32 else 1e-7)


@pytest.mark.parametrize("same", [True, False])
def test_a_system_that_is_solved_stays_solved(same):
    """Equal rows leave nothing to solve, so all steps but the first find neither residual nor curvature."""
    rows = torch.ones(6, 4) if same else torch.eye(6)
    x, y = rows.clone().requires_grad_(), rows.clone().requires_grad_()
    with no_reads(), reads_refused():
        loss = transport_loss(x, y, gradient="sharp")
    assert all(gradient.isfinite().all() for gradient in gradients(loss, x, y))


def test_to_stop_at_a_tolerance_needs_a_look():
    x, y = clustered(16)
    with no_reads(), reads_refused(), pytest.raises(HostReadError, match=r"transport/sinkhorn\.py"):
        transport_loss(x, y, tolerance=1e-3, iterations=50)
