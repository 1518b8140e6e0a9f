from itertools import permutations

import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.transport import exact


def draw(n, seed=0):
    return torch.rand(n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@given(n=st.integers(1, 6), seed=st.integers(0, 99))
@settings(max_examples=30)
def test_is_the_cheapest_of_all_permutations(n, seed):
    cost = draw(n, seed)
    cheapest = min(sum(float(cost[i, j]) for i, j in enumerate(order)) / n for order in permutations(range(n)))
    assert float(exact(cost).cost) == pytest.approx(cheapest)


def test_against_pot():
    cost = draw(40)
    weights = torch.full((40,), 1 / 40, dtype=torch.float64)
    torch.testing.assert_close(exact(cost).plan, torch.as_tensor(ot.emd(weights, weights, cost)), atol=1e-12, rtol=0)


def test_finds_a_hidden_permutation():
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    plan = exact(1 - torch.eye(20)[order])
    assert torch.equal(plan.plan, torch.eye(20)[order] / 20)
    assert float(plan.cost) == 0


def test_what_an_exact_plan_says_of_itself():
    plan = exact(1 - torch.eye(3))
    assert plan.converged
    assert plan.iterations == 0
    assert plan.potentials is None
    assert float(plan.marginal_error) < 1e-6
    assert float(plan.entropic_cost) == float(plan.cost) == 0
    assert float(plan.diagonal_mass) == pytest.approx(1)


def test_gradient_is_the_plan():
    cost = draw(5).requires_grad_()
    plan = exact(cost)
    (gradient,) = torch.autograd.grad(plan.cost, cost)
    torch.testing.assert_close(gradient, plan.plan)


def test_half_precision_is_raised():
    assert exact(draw(4).bfloat16()).cost.dtype == torch.float32


def test_errors():
    with pytest.raises(UsageError, match=r"as many rows as columns .* received a cost of shape \(2, 3\): use sinkhorn"):
        exact(torch.ones(2, 3))
    with pytest.raises(UsageError, match="cost holds 1 values that are NaN or infinit"):
        exact(torch.tensor([[0.0, 1.0], [float("nan"), 0.0]]))
    with pytest.raises(TypeError, match="floating-point"):
        exact(torch.ones(2, 2, dtype=torch.int64))
