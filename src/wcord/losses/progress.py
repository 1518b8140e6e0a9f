"""Progress of a training, for quantities that change during it: anchors, warm-ups, decays."""

import torch
from torch import Tensor, nn

from wcord.checks import require_counts


class Progress(nn.Module):
    """Count training-mode calls and return the share of the training that was done before the present one.

    min(1, calls / total).  The count is a persistent buffer, so a resumed training continues from it. In eval mode
    nothing moves.

    Args:
        total: calls after which the share stays 1.

    Example:
        >>> progress = Progress(4)
        >>> [progress().item() for _ in range(6)]
        [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    """

    calls: Tensor

    def __init__(self, total: int) -> None:
        super().__init__()
        require_counts(total=total)
        self.total = total
        self.register_buffer("calls", torch.tensor(0))

    @property
    def share(self) -> Tensor:
        """The share, a scalar on the buffer's device; nothing is counted."""
        return (self.calls / self.total).clamp(max=1.0)

    def forward(self) -> Tensor:
        """Return the share, then count in training mode."""
        share = self.share
        if self.training:
            self.calls += 1
        return share
