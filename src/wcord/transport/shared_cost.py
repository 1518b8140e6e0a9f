r"""Entropic transport between many pairs of weight vectors over one cost: a batch of B problems in memory B·n + n².

Symbols as in `sinkhorn`: K = exp(−C/ε) the kernel, here one for all pairs, u and v the scalings, one row of B×n a pair.
Each half-iteration is a matrix product, K v for all pairs at once. Potentials cannot be absorbed into a shared kernel,
so where exp(−C/ε) could leave the range of float32 the iteration is made in the log domain, a few pairs at a time.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from wcord.checks import UsageError, require_finite, require_matrix, require_positive, require_same_rows
from wcord.host import may_read, reads_are_off
from wcord.numerics import autocast_off, full_precision, in_common_precision
from wcord.transport.sinkhorn import NOTHING, PLAIN_BOUND, SUM_TOLERANCE, TINY, require_settings

LEAST_WEIGHT = 1e-30
"""Weights below it are taken as zero: they carry nothing, and their scalings would leave the range of float32."""

CHUNK_ELEMENTS = 2**22
"""Most elements of a temporary in the log domain, 16 MB of float32."""


class SharedCostTransport(NamedTuple):
    """Results of B transport problems over one cost, each a vector of B; all but the error carry the gradient."""

    cost: Tensor
    """Σ P_ij C_ij, the price of the plan without the entropy."""
    entropic: Tensor
    """Σ P_ij C_ij + ε KL(P ‖ a bᵀ), by its dual: it rises to the optimum as the iteration goes on."""
    marginal_error: Tensor
    """L1 error of the column sums; the row sums are exact."""


def shared_cost_transport(
    a: Tensor, b: Tensor, cost: Tensor, *, epsilon: float, iterations: int, largest: float | None = None
) -> SharedCostTransport:
    r"""Solve B entropic transport problems between the rows of a and of b over one cost.

    for each k:  min over P of  Σ P_ij C_ij + ε KL(P ‖ a_k b_kᵀ),  P 1 = a_k,  Pᵀ 1 = b_k

    The same problem as `sinkhorn`'s without a prior. Each iteration is u ← a / (K v), v ← b / (Kᵀ u) for all pairs at
    once, and a last u makes the row sums exact. It starts from v = 1: with few iterations the potentials then fall to
    zero together with the difference of a and b, while a start from v = b (as in `sinkhorn`, whose weights do
    not differ much) would keep −ε log b and pull a away from an equal b.

    The gradient with respect to a is the dual potential f_i = −ε log Σ_j K_ij v_j, centered so that Σ_i a_i f_i = 0:
    on the simplex potentials count up to a constant. By the envelope theorem it is the exact gradient of `entropic`
    once the iteration has converged; nothing is unrolled. `cost` carries the same gradient, which is not that of
    Σ P C (see `transport_loss`). b and the cost are constants. A zero weight takes its point out of the problem; its
    potential is the one it would have with the first bit of mass. A second derivative is refused.

    Args:
        a: B×n, rows that are non-negative with sum 1.
        b: B×m, likewise.
        cost: C, n×m, finite and not negative.
        epsilon: ε, in units of the cost.
        iterations: iterations to make.
        largest: a number that no cost exceeds; None reads it from the cost, which waits for an accelerator.

    Returns:
        B values each, float32 at least whatever the inputs or autocast say.

    Raises:
        RuntimeError: backward is called with create_graph=True.
        UsageError: shapes that do not fit, weights that are no distributions, costs below zero or above `largest`, NaN
            or infinity (values are checked on the CPU), or a setting out of range.
        TypeError: an argument does not hold floating-point numbers.

    >>> cost = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> a, b = torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    >>> shared_cost_transport(a, b, cost, epsilon=0.1, iterations=50).cost
    tensor([7.5000e-01, 4.5398e-05])
    """
    require_settings(epsilon, iterations, None)
    if largest is not None:
        require_positive("largest", largest)
    _require_problem(a, b, cost)
    with autocast_off(a):
        rows, columns, costs = in_common_precision(a, b.detach(), cost.detach())
        rows, columns = rows / rows.sum(dim=1, keepdim=True), columns / columns.sum(dim=1, keepdim=True)
        # The factor allows a bound that was computed in another precision.
        highest = _highest(costs) if largest is None else largest * (1 + 1e-6)
        if largest is not None and may_read(costs) and float(costs.max()) > highest:
            raise UsageError(f"cost exceeds largest={largest:g}, received {float(costs.max()):g}: raise largest")
        return SharedCostTransport(*_SharedCost.apply(rows, columns, costs, epsilon, iterations, highest))


def _highest(costs: Tensor) -> float:
    """Return the largest cost; infinity, which leads to the log domain, if it must not be read."""
    return torch.inf if reads_are_off() else float(costs.max())


def _require_problem(a: Tensor, b: Tensor, cost: Tensor) -> None:
    for name, tensor in (("a", a), ("b", b), ("cost", cost)):
        require_matrix(name, tensor, min_rows=1)
        require_finite(name, tensor)
    require_same_rows("a", a, "b", b)
    if cost.shape != (a.shape[1], b.shape[1]):
        raise UsageError(
            f"cost must be n×m for weights of n and m points, here {(a.shape[1], b.shape[1])}, "
            f"received {tuple(cost.shape)}"
        )
    for name, weights in (("a", a), ("b", b)):
        if not may_read(weights):
            continue
        values = weights.detach()
        low, off = float(values.min()), float((full_precision(values).sum(dim=1) - 1).abs().max())
        if low < 0:
            raise UsageError(f"{name} must hold non-negative numbers, received {low:g}")
        # Weights in half precision sum to 1 as well as they can.
        if off > max(SUM_TOLERANCE, 4 * torch.finfo(weights.dtype).eps):
            raise UsageError(f"rows of {name} must sum to 1, received one off by {off:g}: divide them by their sums")
    if may_read(cost) and float(cost.detach().min()) < 0:
        raise UsageError(f"cost must not be negative, received {float(cost.min()):g}: subtract its minimum")


class _SharedCost(torch.autograd.Function):
    """The values of B problems; the gradient, their potentials, is formed in forward."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, cost: Tensor, epsilon: float, iterations: int, largest: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        b = torch.where(b < LEAST_WEIGHT, 0, b)
        if largest / (2 * epsilon) <= PLAIN_BOUND:
            f, paid, dual, error = _solve(a, b, cost, epsilon, iterations, largest)
        else:
            pairs = max(1, CHUNK_ELEMENTS // cost.numel())
            solved = [
                _solve_log(some_a, some_b, cost, epsilon, iterations)
                for some_a, some_b in zip(a.split(pairs), b.split(pairs), strict=True)
            ]
            f, paid, dual, error = (torch.cat(parts) for parts in zip(*solved, strict=True))
        ctx.save_for_backward(f - (a * f).sum(dim=1, keepdim=True))
        ctx.mark_non_differentiable(error)
        return paid, dual, error

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        # As in transport_loss: what was saved depends on a, but not for autograd.
        if torch.is_grad_enabled():
            raise RuntimeError(
                "shared_cost_transport has no second derivative: call backward without create_graph=True"
            )
        (potential,) = ctx.saved_tensors
        return (grad_outputs[0] + grad_outputs[1])[:, None] * potential, *[None] * 5


def _solve(
    a: Tensor, b: Tensor, cost: Tensor, epsilon: float, iterations: int, largest: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return f, Σ P C, the dual value and the error of the column sums, by products with one stored kernel."""
    # exp((largest/2 − C)/ε), so that its logarithm lies within ±PLAIN_BOUND.
    kernel = torch.exp((largest / 2 - cost) / epsilon)
    v = (b > 0).to(b)
    for _ in range(iterations):
        u = a / (v @ kernel.T).clamp_min_(TINY)
        v = b / (u @ kernel).clamp_min_(TINY)
    reached = (v @ kernel.T).clamp_min_(TINY)
    u = a / reached
    f = reached.log_().mul_(-epsilon).add_(largest / 2)
    paid = ((u @ (kernel * cost)) * v).sum(dim=1)
    error = (v * (u @ kernel) - b).abs().sum(dim=1)
    return f, paid, _dual(a, f, b, v.clamp_min(TINY).log_(), epsilon), error


def _solve_log(
    a: Tensor, b: Tensor, cost: Tensor, epsilon: float, iterations: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what `_solve` does, in the log domain; temporaries are B×n×m."""
    log_kernel = cost / -epsilon
    log_a, log_b = (weights.log().clamp_min_(NOTHING) for weights in (a, b))
    y = torch.where(b > 0, 0, NOTHING).to(b)
    for _ in range(iterations):
        x = log_a - torch.logsumexp(log_kernel + y[:, None, :], dim=2)
        y = log_b - torch.logsumexp(log_kernel + x[:, :, None], dim=1)
    f = torch.logsumexp(log_kernel + y[:, None, :], dim=2)
    plan = torch.exp(log_kernel + (log_a - f)[:, :, None] + y[:, None, :])
    error = (plan.sum(dim=1) - b).abs().sum(dim=1)
    f = f.mul_(-epsilon)
    return f, (plan * cost).sum(dim=(1, 2)), _dual(a, f, b, y, epsilon), error


def _dual(a: Tensor, f: Tensor, b: Tensor, log_v: Tensor, epsilon: float) -> Tensor:
    """Return ⟨a, f⟩ + ⟨b, g⟩ with g = ε (log v − log b): the dual objective of a plan with exact row sums."""
    g = torch.where(b > 0, log_v - b.clamp_min(LEAST_WEIGHT).log(), 0)
    return (a * f).sum(dim=1) + epsilon * (b * g).sum(dim=1)
