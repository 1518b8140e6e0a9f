"""Transport cost of two batches as a loss: one autograd function that never unrolls the iteration."""

from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from wcord.checks import require_choice, require_finite, require_matrix
from wcord.host import may_read, reads_are_off
from wcord.numerics import NORM_EPS, autocast_off, in_common_precision
from wcord.transport.cost import require_same_width
from wcord.transport.sinkhorn import (
    PLAIN_BOUND,
    TINY,
    Scaling,
    center,
    require_prior,
    require_settings,
    scale,
    uniform,
    warn_if_unconverged,
)

Gradient = Literal["entropic", "sharp"]

EPSILON = 0.05
"""ε, in units of the cosine cost."""
ITERATIONS = 10
"""Sinkhorn iterations: with ε = 0.05 and clustered features the gradient is then off by less than 0.4 %."""

ADJOINT_POWER = 0.6
"""The adjoint's residual is brought below the dtype's epsilon to this power, 7e-5 in float32. Against float64 the
gradient is then off by 1e-6, and by up to 6e-4 where the plan nearly falls apart into clusters (ε = 0.02). Closer to
rounding the directions lose their conjugacy, and the error grows again, up to 2e-3."""

MAX_ADJOINT_STEPS = 500
"""A limit; up to 70 were needed in trials."""

FIXED_ADJOINT_STEPS = 100
"""Steps that are always made where the residual must not be read to decide whether more are needed."""


class TransportParts(NamedTuple):
    """The loss and two values for the log; only `cost` carries a gradient."""

    cost: Tensor
    """Σ P_ij C_ij."""
    diagonal_mass: Tensor
    """Σ_i P_ii, the share of the mass that stays with its own sample; NaN where the batches differ in size."""
    marginal_error: Tensor
    """L1 error of the row sums; the column sums are exact."""


def transport_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    epsilon: float = EPSILON,
    iterations: int = ITERATIONS,
    prior: Tensor | None = None,
    gradient: Gradient = "entropic",
    tolerance: float | None = None,
) -> Tensor:
    r"""Return the cost of carrying the student's batch onto the teacher's, under the entropic plan.

    Σ P_ij C_ij,  C_ij = 1 − cos(student_i, teacher_j),
    P = argmin over P of Σ P_ij C_ij + ε KL(P ‖ Q), P 1 = 1/n, Pᵀ 1 = 1/m; Q uniform unless a prior is given.

    This is LCKT of Chen et al. (2021), "Wasserstein Contrastive Representation Distillation". The paper leaves open the
    cost, ε, and how the gradient passes the plan: cosine, 0.05 and 10 iterations (a gradient error below 0.4 % on
    clustered features) were chosen by measurement. The two gradients are far apart (their norms differ up to twofold):

    - "entropic" holds the plan constant: dC is weighted by P. With a converged plan this is the exact gradient of the
      *entropic* value Σ P C + ε KL(P‖Q), not of the Σ P C that is returned; otherwise its relative error is about that
      of the marginals.
    - "sharp" is the gradient of Σ P C itself, the plan's own movement included, by implicit differentiation
      (conjugate gradients on the Schur complement of the optimality conditions). With a converged plan it equals
      differentiation through the iterations run to convergence. With an unconverged plan it is the exact gradient of
      the transport problem which that plan does solve, the one between its own marginals, held fixed; that is not the
      gradient of the truncated iteration. On an accelerator each of its steps waits for the device; within
      `host.no_reads` a fixed number of them is made instead.

    Both arguments are differentiated: the caller detaches the teacher. The gradients are formed during forward, so
    nothing of size n×m outlives it; for the same reason a second derivative is refused.

    Args:
        student: n×D; need not be normalized. A zero row costs 1 against all rows, with a finite gradient.
        teacher: m×D.
        epsilon: ε, in units of the cost, which spans [0, 2].
        iterations: Sinkhorn iterations; with a tolerance, the most of them.
        prior: Q, n×m, non-negative, sum 1; see `sinkhorn`.
        gradient: "entropic" or "sharp".
        tolerance: L1 error of the marginals to stop at, checked every 10 iterations; None makes all iterations.

    Returns:
        A scalar in [0, 2], float32 at least whatever the inputs or autocast say.

    Raises:
        RuntimeError: backward is called with create_graph=True.
        UsageError: fewer than two rows on a side, widths that differ, NaN or infinity (checked on the CPU), an
            unknown gradient, a setting out of range, or an invalid prior.
        TypeError: an argument does not hold floating-point numbers.

    Warns:
        ConvergenceWarning: on the CPU, if the marginals are off by more than the tolerance (0.01 if none is given). On
            an accelerator the check would wait for the device: log `transport_parts(...).marginal_error` there.

    >>> teacher = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> student = torch.tensor([[0.0, 2.0], [3.0, 0.0]], requires_grad=True)
    >>> loss = transport_loss(student, teacher)  # the same points in another order
    >>> round(loss.item(), 4)
    0.0
    """
    parts = transport_parts(
        student, teacher, epsilon=epsilon, iterations=iterations, prior=prior, gradient=gradient, tolerance=tolerance
    )
    if may_read(parts.marginal_error):
        warn_if_unconverged(float(parts.marginal_error), iterations, tolerance, stacklevel=3)
    return parts.cost


def transport_parts(
    student: Tensor,
    teacher: Tensor,
    *,
    epsilon: float = EPSILON,
    iterations: int = ITERATIONS,
    prior: Tensor | None = None,
    gradient: Gradient = "entropic",
    tolerance: float | None = None,
) -> TransportParts:
    """Return `transport_loss` together with the plan's diagonal mass and marginal error, at no further cost.

    Arguments and errors are those of `transport_loss`. Never warns; check `marginal_error`.

    >>> same = torch.eye(3)
    >>> parts = transport_parts(same, same, epsilon=0.1)
    >>> round(float(parts.diagonal_mass), 3)
    1.0
    """
    require_transport_settings(epsilon=epsilon, iterations=iterations, gradient=gradient, tolerance=tolerance)
    for name, tensor in (("student", student), ("teacher", teacher)):
        require_matrix(name, tensor, min_rows=2)
        # A NaN or infinity shows in the sum, at a fiftieth of the cost of checking every number.
        if may_read(tensor) and not bool(tensor.detach().sum().isfinite()):
            require_finite(name, tensor)
    require_same_width(student, teacher, ("student", "teacher"))
    with autocast_off(student):
        x, y = in_common_precision(student, teacher)
        if prior is not None:
            prior = require_prior(prior, uniform(len(x), x), uniform(len(y), y))
        recorded = torch.is_grad_enabled()
        formed = (recorded and x.requires_grad, recorded and y.requires_grad)
        solved = _Transport.apply(x, y, prior, epsilon, iterations, tolerance, gradient == "sharp", formed)
    return TransportParts(*solved)


def require_transport_settings(
    *, epsilon: float, iterations: int, gradient: Gradient = "entropic", tolerance: float | None = None
) -> None:
    """Validate the settings of a transport loss, so that callers can fail before the first batch."""
    require_choice("gradient", gradient, get_args(Gradient))
    require_settings(epsilon, iterations, tolerance)


class _Transport(torch.autograd.Function):
    """The cost of the plan between the rows of two batches; its gradients are formed in forward."""

    @staticmethod
    def forward(
        ctx: Any,
        student: Tensor,
        teacher: Tensor,
        prior: Tensor | None,
        epsilon: float,
        iterations: int,
        tolerance: float | None,
        sharp: bool,
        formed: tuple[bool, bool],
    ) -> tuple[Tensor, Tensor, Tensor]:
        (x, x_scale), (y, y_scale) = _unit(student), _unit(teacher)
        scaling, a = _match(x, y, prior, epsilon, iterations, tolerance)
        kernel, u, v = scaling.kernel, scaling.u[:, None], scaling.v[:, None]
        kernel.mul_(v.T)  # now P = diag(u) K
        carried = (kernel @ y).mul_(u)
        overlap = (carried * x).sum(dim=1, keepdim=True)  # Σ_j P_ij cos_ij
        cost = scaling.row_mass.sum() - overlap.sum()
        diagonal = (scaling.u * kernel.diagonal()).sum() if len(x) == len(y) else x.new_full((), torch.nan)
        error = (scaling.row_mass - a).abs().sum()
        to_x = to_y = None
        if sharp and any(formed):
            weights = _sharp_weights(kernel.mul_(u), x, y, epsilon)
            to_x = _gradient(weights @ y, x, x_scale) if formed[0] else None
            to_y = _gradient(weights.T @ x, y, y_scale) if formed[1] else None
        else:
            to_x = _gradient(carried, x, x_scale, overlap) if formed[0] else None
            to_y = _gradient(kernel.T @ (u * x), y, y_scale) if formed[1] else None
        ctx.save_for_backward(to_x, to_y)
        ctx.mark_non_differentiable(diagonal, error)
        return cost, diagonal, error

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        # What was saved depends on the inputs, but not for autograd: under create_graph=True, where gradients are
        # recorded, a second derivative would silently lack that part (once_differentiable does not see this).
        if torch.is_grad_enabled():
            raise RuntimeError("transport_loss has no second derivative: call backward without create_graph=True")
        return *(None if saved is None else saved * grad_outputs[0] for saved in ctx.saved_tensors), *[None] * 6


def _unit(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return unit_rows(rows) and the factor of each row, which the gradient needs."""
    scale = torch.rsqrt(torch.linalg.vector_norm(rows, dim=1, keepdim=True).square_() + NORM_EPS)
    return rows * scale, scale


def _gradient(pull: Tensor, unit: Tensor, scale: Tensor, along: Tensor | None = None) -> Tensor:
    """Return the gradient at the raw rows, in the memory of `pull` = Σ_j W_ij y_j, where W = d loss / dC.

    dC_ij = −⟨y_j, dx_i⟩, and the unit row x = s r of r has dx = s (1 − x xᵀ) dr; `along` is ⟨pull_i, x_i⟩ if known.
    """
    along = (pull * unit).sum(dim=1, keepdim=True) if along is None else along
    return pull.addcmul_(unit, along, value=-1).mul_(-scale)


def _match(
    x: Tensor, y: Tensor, prior: Tensor | None, epsilon: float, iterations: int, tolerance: float | None
) -> tuple[Scaling, Tensor]:
    """Return the scaled kernel between unit rows, and the weights of x."""
    log_kernel = _scores(x, y, epsilon)
    bound = 1 / epsilon
    if prior is not None:
        log_kernel += prior.log()
    if prior is not None or bound > PLAIN_BOUND:
        _, bound = center(log_kernel)
    a, b = uniform(len(x), x), uniform(len(y), y)
    return scale(log_kernel, a, b, bound=bound, iterations=iterations, tolerance=tolerance), a


def _scores(x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    """Return ⟨x_i, y_j⟩/ε: −C/ε up to a constant, which matters neither to the plan nor to the adjoint."""
    return torch.addmm(x.new_zeros(()), x, y.T, beta=0, alpha=1 / epsilon)


def _sharp_weights(plan: Tensor, x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    r"""Return d(Σ P C)/dC = P ⊙ (1 + S − α − β), S = −C/ε, where α and β give P ⊙ (S − α − β) zero row and column sums.

    With p = P 1 and q = Pᵀ 1, (α, β) solves  p α + P β = (P⊙S) 1,  Pᵀ α + q β = (P⊙S)ᵀ 1.
    """
    scores = _scores(x, y, epsilon)
    carried = plan * scores
    alpha, beta = _adjoint(plan, carried.sum(dim=1), carried.sum(dim=0))
    return scores.sub_(alpha[:, None] - 1).sub_(beta).mul_(plan)


def _adjoint(plan: Tensor, row_sums: Tensor, column_sums: Tensor) -> tuple[Tensor, Tensor]:
    """Solve the system above by conjugate gradients on its Schur complement, scaled to a unit diagonal.

    The operator is 1 − NᵀN with N = p^(−1/2) P q^(−1/2), positive semi-definite with the null vector q^(1/2) (a
    constant moved from α to β), which the right-hand side does not contain. Clusters of features give a few
    eigenvalues near zero, which stall alternating projections and cost conjugate gradients a step or two each.

    A system that is solved, or of which only rounding is left, stays as it is in further steps.
    """
    p, q = plan.sum(dim=1).clamp_min_(TINY), plan.sum(dim=0).clamp_min_(TINY)
    root = q.sqrt()
    residual = (column_sums - (row_sums / p) @ plan) / root
    gamma, direction = torch.zeros_like(residual), residual
    square = residual @ residual
    goal = square * torch.finfo(plan.dtype).eps ** (2 * ADJOINT_POWER)
    fixed = reads_are_off()
    for _ in range(FIXED_ADJOINT_STEPS if fixed else MAX_ADJOINT_STEPS):
        image = direction - (((plan @ (direction / root)) / p) @ plan) / root
        curvature = direction @ image
        goes_on = (square > goal) & (curvature > 0)
        if not fixed and not bool(goes_on):
            break
        step = torch.where(goes_on, square / curvature, 0.0)
        gamma = gamma + step * direction
        residual = residual - step * image
        square, before = residual @ residual, square
        direction = torch.where(goes_on, residual + (square / before) * direction, direction)
    beta = gamma / root
    return (row_sums - plan @ beta) / p, beta
