"""Cross-entropy with the true classes."""

import torch.nn.functional as F
from torch import Tensor

from wcord.checks import require_fraction, require_matrix
from wcord.losses.logits import require_classes
from wcord.numerics import autocast_off, full_precision


def cross_entropy_loss(logits: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    r"""Return the mean cross-entropy of predictions with the true classes.

    −1/B Σ_i Σ_c q_ic log softmax(x_i)_c,  q = (1−α)·onehot(y) + α/C

    Args:
        logits: x, B×C.
        target: class numbers y, B.
        label_smoothing: α in [0, 1]; none by default.

    Returns:
        A scalar in nats, in at least single precision.

    Raises:
        UsageError: on a target that does not fit the logits, or a smoothing outside [0, 1].

    Example:
        >>> import torch
        >>> cross_entropy_loss(torch.zeros(2, 4), torch.tensor([0, 3]))
        tensor(1.3863)
    """
    require_matrix("logits", logits)
    require_fraction("label_smoothing", label_smoothing)
    require_classes(target, logits)
    with autocast_off(logits):
        return F.cross_entropy(full_precision(logits), target, label_smoothing=label_smoothing)
