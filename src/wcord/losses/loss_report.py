"""What a loss of several parts returns."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class LossReport:
    """The sum to differentiate, and what it is made of.

    Attributes:
        total: scalar, weighted.
        parts: name → scalar, unweighted and detached from nothing: each may be differentiated by itself.
        diagnostics: name → scalar to be logged that is no part of the sum.

    Example:
        >>> import torch
        >>> report = LossReport(torch.tensor(1.6), {"gckt": torch.tensor(2.0)})
        >>> sorted(report.parts), report.diagnostics
        (['gckt'], {})
    """

    total: Tensor
    parts: dict[str, Tensor]
    diagnostics: dict[str, Tensor] = field(default_factory=dict)
