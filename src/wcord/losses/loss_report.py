"""The result of a loss with several parts."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class LossReport:
    """The sum to differentiate, and its parts.

    Attributes:
        total: scalar, weighted.
        parts: name → scalar, unweighted, attached to the graph: each may be differentiated by itself.
        diagnostics: name → scalar for the log that is not part of the sum.
        teacher: loss of what trains inside the teacher, for a backward pass of its own; None if nothing does.

    Example:
        >>> import torch
        >>> report = LossReport(torch.tensor(1.6), {"gckt": torch.tensor(2.0)})
        >>> sorted(report.parts), report.diagnostics
        (['gckt'], {})
    """

    total: Tensor
    parts: dict[str, Tensor]
    diagnostics: dict[str, Tensor] = field(default_factory=dict)
    teacher: Tensor | None = None
