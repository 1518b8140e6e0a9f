"""A transport plan and the quantities derived from it.

Symbols: C the n×m cost, a and b the weights of rows and columns (the marginals), Q the prior (a bᵀ without one), ε the
regularization in units of the cost, f and g the dual potentials, P the plan.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from wcord.checks import UsageError

DEFAULT_TOLERANCE = 1e-2
"""L1 error of the marginals above which a plan counts as unconverged when no tolerance is given: the gradient's
relative error is about as large, and below it mini-batch noise is far larger."""


class ConvergenceWarning(UserWarning):
    """The plan's marginals are further off than the tolerance."""


@dataclass(frozen=True, eq=False)
class Plan:
    """A coupling of rows and columns; derived quantities are computed on first use and cached.

    The plan itself is a constant for autograd. `cost` and `entropic_cost` follow the graph of `cost_matrix`, with the
    plan held fixed: for a converged plan that is the exact gradient of `entropic_cost` (envelope theorem), and not of
    `cost`; see `transport_loss(gradient="sharp")` for the latter.

    Attributes:
        cost_matrix: C, n×m, as passed in.
        a: weights of the rows, n.
        b: weights of the columns, m.
        epsilon: ε in units of the cost; 0 for an exact plan.
        iterations: Sinkhorn iterations made; 0 for an exact plan.
        tolerance: L1 error of the marginals up to which the plan counts as converged.
        prior: Q, n×m, or None for a bᵀ.
        potentials: f (n) and g (m) in units of the cost, P_ij = Q_ij exp((f_i + g_j − C_ij)/ε); None for an exact plan.
        assignment: the column of each row, n, for an exact plan; else None.
    """

    cost_matrix: Tensor
    a: Tensor
    b: Tensor
    epsilon: float
    iterations: int
    tolerance: float
    prior: Tensor | None = None
    potentials: tuple[Tensor, Tensor] | None = None
    assignment: Tensor | None = None

    @cached_property
    def plan(self) -> Tensor:
        """P, n×m, with Σ P_ij = 1."""
        with torch.no_grad():
            cost = self.cost_matrix.detach().to(self.a.dtype)
            if self.potentials is None:
                assert self.assignment is not None, "a plan has potentials or an assignment"
                return torch.zeros_like(cost).scatter_(1, self.assignment[:, None], self.a[:, None])
            f, g = self.potentials
            scaled = torch.add(f[:, None], g).sub_(cost).div_(self.epsilon).exp_()
            return scaled.mul_(self.a[:, None]).mul_(self.b) if self.prior is None else scaled.mul_(self.prior)

    @cached_property
    def cost(self) -> Tensor:
        """Σ P_ij C_ij, a scalar; the price of the plan without the entropy."""
        return (self.plan * self.cost_matrix).sum()

    @cached_property
    def entropic_cost(self) -> Tensor:
        """Σ P_ij C_ij + ε KL(P‖Q), a scalar: what Sinkhorn minimizes."""
        if self.potentials is None:
            return self.cost
        # log(P/Q) = (f + g − C)/ε turns ε KL into ⟨P1, f⟩ + ⟨Pᵀ1, g⟩ − ΣPC; where no mass is, f may be −∞.
        dual = sum(
            torch.where(mass > 0, mass * f, 0).sum() for mass, f in zip(self._masses, self.potentials, strict=True)
        )
        return self.cost + (dual - self.cost.detach())

    @cached_property
    def marginal_error(self) -> Tensor:
        """Σ_i |Σ_j P_ij − a_i| + Σ_j |Σ_i P_ij − b_j|, a scalar between 0 and 2 for a plan of mass 1."""
        rows, columns = self._masses
        return (rows - self.a).abs().sum() + (columns - self.b).abs().sum()

    @cached_property
    def converged(self) -> bool:
        """Whether the marginals are right up to `tolerance`."""
        return bool(self.marginal_error <= self.tolerance)

    @cached_property
    def entropy(self) -> Tensor:
        """−Σ P_ij log P_ij in nats: between log n (a permutation of n) and log n + log m (the uniform product)."""
        return torch.special.entr(self.plan).sum()

    @cached_property
    def diagonal_mass(self) -> Tensor:
        """Σ_i P_ii, the share of the mass that stays with its own sample; only for as many rows as columns.

        Raises:
            UsageError: the plan is not square.
        """
        if self.plan.shape[0] != self.plan.shape[1]:
            raise UsageError(f"diagonal_mass needs as many rows as columns, received {tuple(self.plan.shape)}")
        return self.plan.diagonal().sum()

    @property
    def _masses(self) -> tuple[Tensor, Tensor]:
        return self.plan.sum(dim=1), self.plan.sum(dim=0)
