"""Cross-entropy for samples with several labels: each label is an independent yes-or-no question."""

import torch.nn.functional as F
from torch import Tensor

from wcord.checks import UsageError, require_fraction, require_matrix, require_same_shape
from wcord.host import may_read
from wcord.numerics import autocast_off, full_precision


def bce_loss(logits: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    r"""Return the mean binary cross-entropy of predictions with the labels.

    −1/(B·C) Σ_i Σ_c [ q_ic log σ(x_ic) + (1 − q_ic) log σ(−x_ic) ],  q = (1−α)·y + α/2

    Args:
        logits: x, B×C.
        target: y, B×C: 1 where the sample has the label, else 0; shares in between where samples are mixed.
        label_smoothing: α in [0, 1]; none by default.

    Returns:
        A scalar in nats a label, in at least single precision.

    Raises:
        UsageError: on a target of another shape or outside [0, 1], or a smoothing outside [0, 1].

    Example:
        >>> import torch
        >>> bce_loss(torch.zeros(2, 3), torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]))
        tensor(0.6931)
    """
    require_matrix("logits", logits)
    require_matrix("target", target)
    require_fraction("label_smoothing", label_smoothing)
    require_same_shape("logits", logits, "target", target)
    if may_read(target) and not bool(((target >= 0) & (target <= 1)).all()):
        raise UsageError("target must be 1 where a sample has the label and 0 elsewhere, received other numbers")
    with autocast_off(logits):
        scores = full_precision(logits)
        smoothed = (1 - label_smoothing) * target.to(scores) + label_smoothing / 2
        return F.binary_cross_entropy_with_logits(scores, smoothed)
