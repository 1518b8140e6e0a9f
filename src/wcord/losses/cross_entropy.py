"""Cross-entropy with the true classes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.checks import UsageError, WrongTypeError, require_fraction, require_matrix, require_tensor
from wcord.host import may_read
from wcord.losses.logits import require_classes, require_shares
from wcord.numerics import autocast_off, full_precision


def cross_entropy_loss(
    logits: Tensor, target: Tensor, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
) -> Tensor:
    r"""Return the mean cross-entropy of predictions with the true classes.

    −Σ_i Σ_c w_c q_ic log softmax(x_i)_c / Σ_i w_{y_i},  q = (1−α)·onehot(y) + α/C

    Without class weights this is the mean over the batch; with them the weighted mean of `F.cross_entropy`.

    Args:
        logits: x, B×C.
        target: class numbers y, B; or the shares of the classes in each sample, B×C, which stand for onehot(y), and
            for w_{y_i} the mean of the weights in these shares.
        label_smoothing: α in [0, 1]; none by default.
        class_weights: w, C numbers above 0; all 1 by default.

    Returns:
        A scalar in nats, in at least single precision.

    Raises:
        UsageError: on a target or weights that do not fit the logits, or a smoothing outside [0, 1].

    Example:
        >>> import torch
        >>> cross_entropy_loss(torch.zeros(2, 4), torch.tensor([0, 3]))
        tensor(1.3863)
    """
    require_matrix("logits", logits)
    require_fraction("label_smoothing", label_smoothing)
    require_tensor("target", target)
    has_shares = target.is_floating_point() and target.dim() == logits.dim()
    if has_shares:
        require_shares(target, logits)
    else:
        require_classes(target, logits)
    weight = None if class_weights is None else require_class_weights(class_weights, logits.shape[1])
    with autocast_off(logits):
        scores = full_precision(logits)
        weight = None if weight is None else weight.to(scores)
        if not has_shares:
            return F.cross_entropy(scores, target, weight=weight, label_smoothing=label_smoothing)
        shares = target.to(scores)
        # torch divides by the batch size here, by the weights of the classes above.
        below = len(shares) if weight is None else (shares @ weight).sum()
        return F.cross_entropy(scores, shares, weight=weight, label_smoothing=label_smoothing, reduction="sum") / below


def require_class_weights(weights: Tensor, classes: int) -> Tensor:
    """Return the weights if there is one for each class, each (on the CPU) a finite number above 0; else raise.

    >>> import torch
    >>> require_class_weights(torch.tensor([1.0, 0.0]), 2)
    Traceback (most recent call last):
        ...
    wcord.checks.UsageError: class_weights must be finite numbers above 0, received 0.0 for class 1
    """
    require_tensor("class_weights", weights)
    if weights.is_complex() or weights.dtype == torch.bool:
        raise WrongTypeError(f"class_weights must be numbers, received {weights.dtype}: convert them with .float()")
    if tuple(weights.shape) != (classes,):
        raise UsageError(
            f"class_weights must hold one number for each of the {classes} classes, received shape "
            f"{tuple(weights.shape)}"
        )
    if may_read(weights):
        wrong = torch.nonzero(~((weights > 0) & weights.isfinite())).flatten().tolist()
        if wrong:
            value = weights[wrong[0]].item()
            raise UsageError(f"class_weights must be finite numbers above 0, received {value} for class {wrong[0]}")
    return weights
