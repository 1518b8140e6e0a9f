"""Weights that change during the training: a warm-up at its start, a decay towards its end, parts in turn.

The authors of these methods count epochs; here both are shares of the training, step by step.
"""

import math

import torch
from torch import Tensor, nn

from wcord.checks import require_counts, require_fraction
from wcord.losses.progress import Progress
from wcord.methods.setting import Setting


class WarmUp(nn.Module):
    """w = min(1, x / warmup), x the share of the training that is done; 1 if its length is not known.

    Args:
        warmup: share of the training over which w rises; 0 for no warm-up.
        setting: with the steps of the training.
    """

    def __init__(self, warmup: float, setting: Setting) -> None:
        super().__init__()
        require_fraction("warmup", warmup)
        self.warmup = warmup
        self.progress = Progress(setting.total_steps) if warmup and setting.total_steps else None

    def forward(self) -> Tensor | float:
        """Return w; a training-mode call counts as a step."""
        return 1.0 if self.progress is None else (self.progress() / self.warmup).clamp(max=1.0)


class CosineDecay(nn.Module):
    """w = (1 + cos π z) / 2, where z goes from 0 to 1 between `start` and the end; 1 if its length is not known.

    Args:
        start: share of the training after which w falls; 1 for never.
        setting: with the steps of the training.
    """

    def __init__(self, start: float, setting: Setting) -> None:
        super().__init__()
        require_fraction("decay_from", start)
        self.start = start
        self.progress = Progress(setting.total_steps) if start < 1 and setting.total_steps else None

    def forward(self) -> Tensor | float:
        """Return w; a training-mode call counts as a step."""
        if self.progress is None:
            return 1.0
        passed = (self.progress() - self.start) / (1 - self.start)
        return 0.5 * (1 + torch.cos(math.pi * passed.clamp(0, 1)))


class InTurn(nn.Module):
    """1 for each of n parts that trains, 0 for one that does not yet: part l from the share (l − 1)/n on, l = 1 … n.

    Args:
        parts: n.
        total: steps of the training.

    Example:
        >>> turns = InTurn(2, total=4)
        >>> [turns().tolist() for _ in range(4)]
        [[1.0, 0.0], [1.0, 0.0], [1.0, 1.0], [1.0, 1.0]]
    """

    starts: Tensor

    def __init__(self, parts: int, total: int) -> None:
        super().__init__()
        require_counts(parts=parts)
        self.parts = parts
        self.progress = Progress(total)
        # In steps times n, so that the comparison is one of whole numbers.
        self.register_buffer("starts", torch.arange(parts) * total, persistent=False)

    def open(self) -> Tensor:
        """Return the weights of the present step, n; nothing is counted."""
        return (self.progress.calls * self.parts >= self.starts).to(torch.get_default_dtype())

    def forward(self) -> Tensor:
        """Return the weights of the present step, n; a training-mode call counts as a step."""
        weights = self.open()
        self.progress()
        return weights
