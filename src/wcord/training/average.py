"""A moving average of the student's weights, short in the first steps, so that the initial weights are forgotten."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from wcord.models.network import Network


def decay_at(updates: Tensor, decay: float) -> Tensor:
    """Return the weight of the old average at an update: min(decay, (1 + n) / (10 + n)) after n updates.

    With the full decay from the first step, a run of only a few times 1/(1 − decay) steps would save mostly its initial
    weights.

    >>> decay_at(torch.tensor([0, 10, 100, 10_000]), 0.999)
    tensor([0.1000, 0.5500, 0.9182, 0.9990])
    """
    return ((1 + updates) / (10 + updates)).clamp(max=decay)


class MovingAverage(nn.Module):
    """An average of a network's weights and running statistics, to be updated after each step.

    a ← a + (1 − decay_at(n)) · (w − a), and a copy of w at the first update. torch's `AveragedModel` counts on the
    host, which a captured step runs only once; here the count is a buffer that is never read.

    Args:
        student: the network; it is copied.
        decay: weight of the old average in the long run.

    >>> from wcord.models.create import create_model
    >>> student = create_model("resnet8")
    >>> average = MovingAverage(student, 0.9)
    >>> average.update(student)
    >>> int(average.n_averaged)
    1
    """

    n_averaged: Tensor

    def __init__(self, student: Network, decay: float) -> None:
        super().__init__()
        self.module = deepcopy(student)
        self.decay = decay
        device = next(student.parameters()).device
        self.register_buffer("n_averaged", torch.zeros((), dtype=torch.long, device=device))

    @torch.no_grad()
    def update(self, student: Network) -> None:
        """Move the average toward the current weights; integer buffers are copied."""
        pairs = [*zip(_state(self.module), _state(student), strict=True)]
        floating = [(average, weight) for average, weight in pairs if average.is_floating_point()]
        averages, current = [average for average, _ in floating], [weight for _, weight in floating]
        share = 1 - decay_at(self.n_averaged, self.decay)
        share = torch.where(self.n_averaged == 0, torch.ones_like(share), share)
        # torch has no public operations on lists of tensors; its optimizers use these.
        steps = torch._foreach_sub(current, averages)  # pyright: ignore[reportPrivateImportUsage]
        torch._foreach_mul_(steps, share)  # pyright: ignore[reportPrivateImportUsage]
        torch._foreach_add_(averages, steps)  # pyright: ignore[reportPrivateImportUsage]
        for average, weight in pairs:
            if not average.is_floating_point():
                average.copy_(weight)
        self.n_averaged += 1


def _state(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]
