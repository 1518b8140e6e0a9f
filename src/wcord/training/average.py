"""A moving average of the student's weights, short in the first steps, so that the initial weights are forgotten."""

from torch import Tensor
from torch.optim.swa_utils import PARAM_LIST, AveragedModel, get_ema_multi_avg_fn

from wcord.models.network import Network


def decay_at(updates: int, decay: float) -> float:
    """Return the share of the average that is kept at an update: min(decay, (1 + n) / (10 + n)) after n updates.

    With the full decay from the first step on, a run of fewer than a few times 1/(1 − decay) steps would save its
    initial weights for the most part.

    >>> [round(decay_at(n, 0.999), 3) for n in (0, 10, 100, 10_000)]
    [0.1, 0.55, 0.918, 0.999]
    """
    return min(decay, (1 + updates) / (10 + updates))


def moving_average(student: Network, decay: float) -> AveragedModel:
    """Return an average of the student, buffers included, to be updated after each step."""

    def update(averages: PARAM_LIST, current: PARAM_LIST, updates: Tensor | int) -> None:
        get_ema_multi_avg_fn(decay_at(int(updates), decay))(averages, current, updates)  # counted on the CPU

    return AveragedModel(student, multi_avg_fn=update, use_buffers=True)
