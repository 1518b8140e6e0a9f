import dataclasses
import math

import pytest
import torch

from wcord.checks import UsageError
from wcord.transport import sinkhorn


def draw(n=5, m=7, seed=0):
    return torch.rand(n, m, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def solve(cost, **options):
    return sinkhorn(cost, epsilon=0.1, iterations=2000, tolerance=1e-12, **options)


@pytest.mark.parametrize("anchored", [False, True])
def test_quantities_against_loops(anchored):
    cost = draw()
    prior = draw(seed=1) / draw(seed=1).sum() if anchored else None
    plan = solve(cost, prior=prior)
    price = divergence = entropy = 0.0
    for i in range(5):
        for j in range(7):
            p, q = float(plan.plan[i, j]), 1 / 35 if prior is None else float(prior[i, j])
            price += p * float(cost[i, j])
            divergence += p * math.log(p / q)
            entropy -= p * math.log(p)
    assert float(plan.cost) == pytest.approx(price, rel=1e-9)
    assert float(plan.entropic_cost) == pytest.approx(price + 0.1 * divergence, rel=1e-9)
    assert float(plan.entropy) == pytest.approx(entropy, rel=1e-9)
    assert float(plan.marginal_error) < 1e-11


def test_entropic_cost_of_an_unconverged_plan_is_still_that_of_the_plan():
    cost = draw()
    plan = sinkhorn(cost, epsilon=0.2, iterations=1, tolerance=1.0)
    divergence = (plan.plan * (plan.plan * 35).log()).sum()
    torch.testing.assert_close(plan.entropic_cost, (plan.plan * cost).sum() + 0.2 * divergence)


def test_marginal_error_is_the_l1_norm():
    plan = sinkhorn(draw(), epsilon=0.02, iterations=2, tolerance=2.0)
    rows = sum(abs(float(plan.plan[i].sum()) - 1 / 5) for i in range(5))
    columns = sum(abs(float(plan.plan[:, j].sum()) - 1 / 7) for j in range(7))
    assert float(plan.marginal_error) == pytest.approx(rows + columns)
    assert rows > 1e-4
    assert columns < 1e-12


def test_zero_weights_carry_nothing_and_leave_every_quantity_finite():
    a = torch.tensor([0.5, 0.0, 0.5, 0.0, 0.0], dtype=torch.float64)
    plan = solve(draw(), a=a)
    assert float(plan.plan[a == 0].abs().sum()) == 0
    for quantity in (plan.cost, plan.entropic_cost, plan.entropy, plan.marginal_error):
        assert quantity.isfinite()
    inner = solve(draw()[a > 0])
    torch.testing.assert_close(plan.plan[a > 0], inner.plan)
    torch.testing.assert_close(plan.entropic_cost, inner.entropic_cost)


def test_gradient_of_the_entropic_cost_is_the_plan():
    cost = draw().requires_grad_()
    plan = solve(cost)
    (gradient,) = torch.autograd.grad(plan.entropic_cost, cost)
    torch.testing.assert_close(gradient, plan.plan)
    step = torch.zeros_like(cost)
    step[1, 2] = 1e-5
    with torch.no_grad():
        slope = (solve(cost + step).entropic_cost - solve(cost - step).entropic_cost) / 2e-5
    torch.testing.assert_close(slope, gradient[1, 2], rtol=1e-6, atol=1e-9)


def test_the_plan_is_a_constant():
    plan = solve(draw().requires_grad_())
    assert not plan.plan.requires_grad
    assert plan.cost.requires_grad


def test_diagonal_mass():
    plan = solve(draw(6, 6))
    torch.testing.assert_close(plan.diagonal_mass, torch.stack([plan.plan[i, i] for i in range(6)]).sum())
    with pytest.raises(UsageError, match=r"as many rows as columns, received \(5, 7\)"):
        _ = solve(draw()).diagonal_mass


def test_is_frozen_and_computes_once():
    plan = solve(draw())
    assert plan.plan is plan.plan
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.epsilon = 1.0
