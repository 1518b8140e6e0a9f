"""Sinkhorn's iteration for one pair of weights: scales a positive kernel until its rows and columns sum to them.

Symbols: L the log-kernel (log Q − C/ε up to a constant), K = exp(L + F + G) the kernel with the potentials F and G
absorbed, u and v the scalings, P = diag(u) K diag(v) the plan, a and b the weights of rows and columns.

Products of a stored K with a vector are the cheapest form of the iteration, but exp(−C/ε) leaves the range of float32
when the costs spread over more than about 80 ε. So while |L| ≤ 30 the kernel is used as it stands; beyond that the
first iteration is made in the log domain, its potentials are absorbed into K, and again after every 20 iterations.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow
from torch import Tensor

from wcord.checks import UsageError, require_counts, require_finite, require_fractions, require_matrix, require_positive
from wcord.host import may_read
from wcord.kernels import result_of
from wcord.numerics import autocast_off, full_precision
from wcord.transport.plan import DEFAULT_TOLERANCE, ConvergenceWarning, Plan

PLAIN_BOUND = 30.0
"""Largest |L| for which exp(L) needs no stabilization: exp(±30), and the scalings, stay far inside float32."""

ABSORB_EVERY = 20
"""Kernel iterations between two absorptions."""
CHECK_EVERY = 10
"""Iterations between two checks of the marginals, with a tolerance."""

KERNEL_BOUND = 1024
"""Largest number of rows and columns of the GPU kernel."""

LOG_FLOOR = -69.0
"""Kernel entries below exp(−69) = 1e-30 are zero until the next absorption: nothing becomes a denormal number, which
would slow the products tenfold on a CPU."""

TINY = 1e-37
"""Least divisor: a row whose kernel entries all fell below the floor gets a large finite scaling, and is absorbed."""

NOTHING = -1e30
"""Replaces log 0 in differences: −∞ minus −∞ would be NaN."""

SUM_TOLERANCE = 1e-4
"""Largest deviation from 1 of the sum of weights."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """P = diag(u) K diag(v), in factors; K = exp(L + row_shift_i + column_shift_j)."""

    kernel: Tensor
    u: Tensor
    v: Tensor
    row_shift: Tensor
    column_shift: Tensor
    iterations: int
    row_mass: Tensor
    """P 1; Pᵀ 1 is b, since the last half-step is that of the columns."""


def sinkhorn(
    cost: Tensor,
    *,
    epsilon: float,
    iterations: int,
    a: Tensor | None = None,
    b: Tensor | None = None,
    prior: Tensor | None = None,
    tolerance: float | None = None,
) -> Plan:
    r"""Solve entropic optimal transport by Sinkhorn's alternating scaling.

    min over P of  Σ P_ij C_ij + ε KL(P ‖ Q),  P 1 = a,  Pᵀ 1 = b.

    Without a prior Q = a bᵀ, and the plan is that of Cuturi (2013), "Sinkhorn Distances". With one the Gibbs kernel is
    Q_ij exp(−C_ij/ε): Q = (1−α)·uniform + α·identity anchors row i to column i.

    Runs without recording a graph; the plan is a constant for autograd (see `Plan`). The number of iterations is
    fixed unless there is a tolerance; checking the marginals against it waits for an accelerator. Nothing else does:
    the values of cost, weights and prior, and the final marginals, are checked on the CPU only.

    Args:
        cost: C, n×m, finite; any offset, the plan does not depend on it.
        epsilon: ε, absolute, in units of the cost.
        iterations: iterations to make, or with a tolerance to make at most.
        a: weights of the rows, n, non-negative, sum 1; uniform if None.
        b: weights of the columns, m, likewise.
        prior: Q, n×m, non-negative, sum 1; a zero forbids the pair.
        tolerance: L1 error of the marginals to stop at, checked every 10 iterations.

    Returns:
        The plan, in float32 at least. Its columns are exact up to rounding, its rows as good as the iterations made.

    Raises:
        UsageError: a value out of range, weights or prior of the wrong size, sign or sum, or a prior whose zeros leave
            no plan with these marginals (values are checked on the CPU).
        TypeError: the cost does not hold floating-point numbers.

    Warns:
        ConvergenceWarning: on the CPU, if the marginals are off by more than the tolerance (0.01 if none is given).

    >>> plan = sinkhorn(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), epsilon=0.5, iterations=10)
    >>> plan.plan
    tensor([[0.4404, 0.0596],
            [0.0596, 0.4404]])
    >>> plan.converged, round(float(plan.cost), 4)
    (True, 0.1192)
    """
    require_matrix("cost", cost, min_rows=1)
    require_finite("cost", cost)
    require_settings(epsilon, iterations, tolerance)
    values = full_precision(cost.detach())
    rows = weights("a", a, values.shape[0], values)
    columns = weights("b", b, values.shape[1], values)
    with torch.no_grad(), autocast_off(values):
        log_kernel = values / -epsilon
        if prior is not None:
            prior = require_prior(prior, rows, columns)
            log_kernel += prior.log()
        middle, bound = center(log_kernel)
        scaling = scale(log_kernel, rows, columns, bound=bound, iterations=iterations, tolerance=tolerance)
        f = scaling.row_shift + scaling.u.log() - middle
        g = scaling.column_shift + scaling.v.log()
        if prior is None:
            # L left the weights out of the kernel; −∞ stays −∞ where a weight is zero.
            f, g = f - rows.log().clamp_min_(NOTHING), g - columns.log().clamp_min_(NOTHING)
    if may_read(cost):
        warn_if_unconverged(float((scaling.row_mass - rows).abs().sum()), iterations, tolerance, stacklevel=3)
    limit = DEFAULT_TOLERANCE if tolerance is None else tolerance
    potentials = (f * epsilon, g * epsilon)
    return Plan(cost, rows, columns, epsilon, scaling.iterations, limit, prior=prior, potentials=potentials)


def center(log_kernel: Tensor) -> tuple[Tensor | float, float]:
    """Shift a log-kernel in place so that it spreads evenly about zero; return the shift and the bound on |L|.

    A kernel with forbidden pairs (−∞) stays as it is, with an infinite bound: its potentials may grow with every
    chain of pairs that has to be followed, so no bound on L makes the plain kernel safe. The bound is also infinite
    if it must not be read.
    """
    if not may_read(log_kernel):
        low, high = torch.aminmax(log_kernel)
        middle = torch.where(low.isinf(), 0.0, (low + high) / 2)
        log_kernel.sub_(middle)
        return middle, torch.inf
    low, high = (float(end) for end in torch.aminmax(log_kernel))
    if low == -torch.inf:
        return 0.0, torch.inf
    log_kernel.sub_((low + high) / 2)
    return (low + high) / 2, (high - low) / 2


def scale(
    log_kernel: Tensor, a: Tensor, b: Tensor, *, bound: float, iterations: int, tolerance: float | None = None
) -> Scaling:
    """Scale exp(log_kernel) to the marginals a and b; overwrites `log_kernel`.

    Args:
        log_kernel: L, n×m; −∞ where no mass may go. Its memory may become the kernel's.
        a: weights of the rows, n.
        b: weights of the columns, m.
        bound: a number that |L| does not exceed.
        iterations: iterations to make at most.
        tolerance: L1 error of the row sums to stop at, or None.
    """
    # Starting from v = b instead of 1 keeps mass off columns of weight zero, however close they are.
    u, v = a, b
    row_shift, column_shift = torch.zeros_like(a), torch.zeros_like(b)
    made = 0
    if bound <= PLAIN_BOUND:
        kernel = log_kernel.exp_()
        u, v, made = _alternate(kernel, a, b, v, iterations, tolerance, made=0)
    else:
        row_shift, column_shift = _log_iteration(log_kernel, a, b)
        u, v, made = torch.ones_like(a), torch.ones_like(b), 1
        last = iterations - 1 <= ABSORB_EVERY
        kernel = log_kernel if last else torch.empty_like(log_kernel)
        while True:
            _absorb(log_kernel, row_shift, column_shift, out=kernel)
            turns = min(ABSORB_EVERY, iterations - made)
            u, v, count = _alternate(kernel, a, b, v, turns, tolerance, made=made)
            made += count
            if made >= iterations or count < turns:
                break
            row_shift, column_shift = row_shift + u.log(), column_shift + v.log()
            u, v = torch.ones_like(a), torch.ones_like(b)
    return Scaling(kernel, u, v, row_shift, column_shift, made, row_mass=u * (kernel @ v))


def _alternate(
    kernel: Tensor, a: Tensor, b: Tensor, v: Tensor, iterations: int, tolerance: float | None, *, made: int
) -> tuple[Tensor, Tensor, int]:
    """Return u, v and the number of iterations made on a fixed kernel, after `made` earlier ones."""
    solved = _solved_at_once(kernel, a, b, v, iterations) if tolerance is None else None
    if solved is not None:
        return *solved, iterations
    u = torch.ones_like(a)
    for turn in range(iterations):
        reached = kernel @ v
        # The product is needed anyway, so the error of the row sums is free; reading it waits for the device.
        due = turn + made > 0 and (turn + made) % CHECK_EVERY == 0
        if tolerance is not None and due and float((u * reached - a).abs().sum()) <= tolerance:
            return u, v, turn
        u = a / reached.clamp_min_(TINY)
        v = b / (u @ kernel).clamp_min_(TINY)
    return u, v, iterations


def _solved_at_once(kernel: Tensor, a: Tensor, b: Tensor, v: Tensor, iterations: int) -> tuple[Tensor, Tensor] | None:
    """Return u and v from a GPU kernel; None if the kernel does not apply or cannot run."""
    if iterations == 0 or max(kernel.shape) > KERNEL_BOUND:
        return None

    def launch() -> tuple[Tensor, Tensor]:
        from wcord.transport.kernel import alternate  # needs Triton

        return alternate(kernel, a, b, v, iterations=iterations, least=TINY)

    tensors, size = (kernel, a, b, v), max(kernel.shape)
    return result_of("sinkhorn", launch, tensors=tensors, size=size, variant=tuple(kernel.shape))


def _log_iteration(log_kernel: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the row and column shifts after one iteration in the log domain, started from v = b."""
    rows = _log_weights(a) - _log_sum_exp(log_kernel + b.log(), dim=1)
    columns = _log_weights(b) - _log_sum_exp(log_kernel + rows[:, None], dim=0)
    return rows, columns


def _log_weights(weights: Tensor) -> Tensor:
    """Return log(weights), with a large negative number in place of −∞, which differences need."""
    return weights.log().clamp_min_(NOTHING)


def _log_sum_exp(values: Tensor, dim: int) -> Tensor:
    """Return log Σ exp(values) along `dim`; overwrites `values` (torch.logsumexp would need a second copy)."""
    top = values.amax(dim=dim, keepdim=True).clamp_min_(NOTHING)
    return values.sub_(top).exp_().sum(dim=dim).log_().clamp_min_(NOTHING) + top.squeeze(dim)


def _absorb(log_kernel: Tensor, row_shift: Tensor, column_shift: Tensor, *, out: Tensor) -> None:
    """Write exp(L + row_shift + column_shift) to `out`, entries below exp(LOG_FLOOR) as zero."""
    torch.add(log_kernel, row_shift[:, None], out=out).add_(column_shift)
    torch.threshold_(out, LOG_FLOOR, -torch.inf).exp_()


def weights(name: str, values: Tensor | None, size: int, like: Tensor) -> Tensor:
    """Return checked weights of `size` points, uniform if None, that sum to 1, with dtype and device of `like`."""
    if values is None:
        return uniform(size, like)
    require_fractions(name, values)
    if values.shape != (size,):
        raise UsageError(f"{name} must hold one weight a point ({size}), received shape {tuple(values.shape)}")
    values = values.detach().to(like)
    return values / (_require_distribution(name, values) if may_read(values) else values.sum())


def uniform(size: int, like: Tensor) -> Tensor:
    """Return equal weights of `size` points that sum to 1, in the dtype and on the device of `like`."""
    return like.new_full((size,), 1 / size)


def require_prior(prior: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return the prior with dtype and device of the weights; check shape, sign, sum, and that some plan fits it.

    Its values are checked on the CPU only.
    """
    shape = (a.shape[0], b.shape[0])
    require_fractions("prior", prior)
    if prior.shape != shape:
        raise UsageError(f"prior must have the shape of the cost {shape}, received {tuple(prior.shape)}")
    prior = prior.detach().to(a)
    if not may_read(prior):
        return prior
    _require_distribution("prior", prior)
    if bool((prior == 0).any()) and not _feasible(prior, a, b):
        raise UsageError(
            "prior forbids (by its zeros) every plan with these marginals: mix it with a little of the uniform prior"
        )
    return prior


def _require_distribution(name: str, values: Tensor) -> float:
    low, total = float(values.min()), float(values.sum())
    if not low >= 0:  # also where it is NaN
        raise UsageError(f"{name} must hold non-negative numbers, received {low}")
    if not abs(total - 1) <= SUM_TOLERANCE:
        raise UsageError(f"{name} must sum to 1, received a sum of {total:g}: divide it by its sum")
    return total


def _feasible(prior: Tensor, a: Tensor, b: Tensor) -> bool:
    """Whether some plan with marginals a and b is zero wherever the prior is."""
    if prior.shape[0] == prior.shape[1] and torch.equal(a, b) and bool(((prior.diagonal() > 0) | (a == 0)).all()):
        return True
    return _largest_flow(prior.cpu().numpy() > 0, a.cpu().numpy(), b.cpu().numpy()) >= 1 - SUM_TOLERANCE


def _largest_flow(allowed: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """Return the most mass that can go from supplies a to demands b over the allowed pairs."""
    n, m = allowed.shape
    unit = 10**9  # SciPy's flow is integer, in 32 bits; flooring loses at most n + m units
    supply, demand = (np.floor(weights.astype(np.float64) * unit).astype(np.int32) for weights in (a, b))
    i, j = np.nonzero(allowed)
    source, sink = n + m, n + m + 1
    tails = np.concatenate([np.full(n, source), i, n + np.arange(m)])
    heads = np.concatenate([np.arange(n), n + j, np.full(m, sink)])
    capacities = np.concatenate([supply, np.minimum(supply[i], demand[j]), demand])
    graph = csr_array((capacities, (tails, heads)), shape=(n + m + 2, n + m + 2), dtype=np.int32)
    return maximum_flow(graph, source, sink).flow_value / unit


def require_settings(epsilon: float, iterations: int, tolerance: float | None) -> None:
    """Validate the settings of the iteration."""
    require_positive("epsilon", epsilon)
    require_counts(iterations=iterations)
    if tolerance is not None:
        require_positive("tolerance", tolerance)


def warn_if_unconverged(error: float, iterations: int, tolerance: float | None, *, stacklevel: int) -> None:
    """Warn if the row sums are off by more than the tolerance.

    The text contains no measured value, so that Python's default filter shows it once per call site, not once per step.
    """
    limit = DEFAULT_TOLERANCE if tolerance is None else tolerance
    if error <= limit:
        return
    warnings.warn(
        f"Sinkhorn's marginals are off by more than {limit:g} after {iterations} iterations: "
        "raise iterations or epsilon (see marginal_error)",
        ConvergenceWarning,
        stacklevel=stacklevel,
    )
