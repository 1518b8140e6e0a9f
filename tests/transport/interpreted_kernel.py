"""Run by test_kernel.py with TRITON_INTERPRET=1: the Sinkhorn kernel in Triton's interpreter beside torch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord import kernels
from wcord.transport import sinkhorn, transport_loss
from wcord.transport.kernel import alternate
from wcord.transport.sinkhorn import TINY


def by_torch(kernel, a, b, v, iterations, least=TINY):
    kernel, a, b, v = (tensor.double() for tensor in (kernel, a, b, v))
    u = torch.ones_like(a)
    for _ in range(iterations):
        u = a / (kernel @ v).clamp_min(least)
        v = b / (u @ kernel).clamp_min(least)
    return u, v


def problem(n, m, *, spread=3.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    log_kernel = spread * (2 * torch.rand(n, m, generator=generator) - 1)
    a, b = (torch.rand(size, generator=generator) + 0.1 for size in (n, m))
    return log_kernel.exp(), a / a.sum(), b / b.sum()


def assert_same(ours, expected, tolerance=2e-5):
    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine.double(), theirs, rtol=tolerance, atol=0)


@pytest.fixture
def taken(monkeypatch):
    """Tensors of the CPU pass for a GPU's; the set holds what was launched."""
    monkeypatch.setattr(kernels, "_suits", lambda tensor: tensor.dtype == torch.float32 and tensor.is_contiguous())
    monkeypatch.setattr(kernels, "_launched", set())
    return kernels._launched


@pytest.mark.parametrize(
    ("n", "m"), [(1, 1), (1, 5), (3, 1), (5, 3), (64, 70), (70, 64), (130, 100), (3, 1000), (300, 257)]
)
@pytest.mark.parametrize("iterations", [1, 10])
def test_the_scalings_are_those_of_torch(n, m, iterations):
    kernel, a, b = problem(n, m)
    assert_same(alternate(kernel, a, b, b, iterations=iterations, least=TINY), by_torch(kernel, a, b, b, iterations))


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 6), st.floats(0.1, 30))
def test_columns_are_exact_whatever_the_kernel(n, m, iterations, spread):
    kernel, a, b = problem(n, m, spread=spread)
    u, v = alternate(kernel, a, b, torch.ones(m), iterations=iterations, least=TINY)
    assert bool((u > 0).all())
    torch.testing.assert_close((u.double() @ kernel.double()) * v, b.double(), rtol=1e-5, atol=1e-9)


def test_a_row_and_a_column_of_zeros_get_finite_scalings():
    kernel, a, b = problem(6, 5)
    kernel[2], kernel[:, 3] = 0, 0
    least = 1e-20
    ours = alternate(kernel, a, b, b, iterations=3, least=least)
    assert all(bool(part.isfinite().all()) for part in ours)
    assert_same(ours, by_torch(kernel, a, b, b, 3, least))


def test_weights_of_zero_stay_without_mass():
    kernel, a, b = problem(6, 5)
    a[1], b[4] = 0, 0
    u, v = alternate(kernel, a, b, b, iterations=3, least=TINY)
    assert u[1] == 0
    assert v[4] == 0


def test_nan_is_passed_on():
    kernel, a, b = problem(6, 5)
    kernel[2, 3] = torch.nan
    u, v = alternate(kernel, a, b, b, iterations=2, least=TINY)
    assert bool(u.isnan().all())
    assert bool(v.isnan().all())


@pytest.mark.filterwarnings("ignore:Sinkhorn's marginals")
@pytest.mark.parametrize(("n", "m", "epsilon", "iterations"), [
    (6, 8, 0.05, 10),  # the kernel as it stands
    (8, 6, 0.01, 1),  # the iteration in the log domain alone
    (8, 6, 0.01, 45),  # absorbed twice
])  # fmt: skip
def test_the_loss_and_its_gradients_are_those_of_torch(monkeypatch, taken, n, m, epsilon, iterations):
    torch.manual_seed(0)
    sides = torch.randn(n, 7, requires_grad=True), torch.randn(m, 7, requires_grad=True)

    def results():
        loss = transport_loss(*sides, epsilon=epsilon, iterations=iterations)
        return loss.detach(), *torch.autograd.grad(loss, sides)

    ours = results()
    assert bool(taken) == (iterations > 1)
    monkeypatch.setenv(kernels.VARIABLE, "off")
    for mine, theirs in zip(ours, results(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_a_plan_with_given_weights_is_that_of_torch(monkeypatch, taken):
    cost, a, b = problem(5, 9)
    ours = sinkhorn(cost, epsilon=2.0, iterations=30, a=a, b=b).plan
    assert taken
    monkeypatch.setenv(kernels.VARIABLE, "off")
    torch.testing.assert_close(ours, sinkhorn(cost, epsilon=2.0, iterations=30, a=a, b=b).plan, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("case", ["tolerance", "double", "large"])
def test_what_is_not_for_the_kernel_goes_to_torch(taken, case):
    cost = torch.rand(2, 1025 if case == "large" else 5, dtype=torch.float64 if case == "double" else torch.float32)
    plan = sinkhorn(cost, epsilon=1.0, iterations=20, tolerance=1e-3 if case == "tolerance" else None)
    assert plan.converged
    assert not taken
