"""Softmax with an additive angular margin on the own class, ArcFace (Deng, Guo, Xue and Zafeiriou, CVPR 2019)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.checks import UsageError, require_finite, require_matrix, require_number, require_positive
from wcord.losses.logits import is_class, require_classes
from wcord.numerics import autocast_off, in_common_precision

LEAST_LENGTH = 1e-3
"""Shorter rows are divided by this: bounds the gradient at a zero row by 1000, as `numerics.unit_rows` does."""

FROM_ONE = 1e-7
"""Distance of the cosines from ±1, where the derivative of the angle is infinite."""


def margin_softmax_loss(
    embedding: Tensor, weight: Tensor, target: Tensor, *, scale: float = 64.0, margin: float = 0.5
) -> Tensor:
    r"""Return the cross-entropy of the cosines between embeddings and classes, with a margin on the own class's angle.

    −1/B Σ_i log softmax_c( s · cos(θ_ic + m·[c = y_i]) )_{y_i},    θ_ic = arccos ⟨n(x_i), n(w_c)⟩

    with x `embedding`, w `weight` (the rows of a linear classifier, whose bias is not used), y `target`, s `scale`, m
    `margin` and n(x) = x / |x|. The own class must win by the angle m, so that embeddings of one class lie close
    together, which verification by cosine needs. Deng et al., arXiv 1801.07698, Eq. 3.

    There is no special case for angles beyond π − m, where the cosine rises again, as in the equation; the authors'
    code has one. Cosines are clamped to ±(1 − 1e-7), and rows shorter than 1e-3 are divided by 1e-3, so that the
    gradient stays finite.

    Args:
        embedding: x, B×D.
        weight: w, C×D.
        target: classes, B.
        scale: s, above 0.
        margin: m, in radians, from 0 to π.

    Returns:
        A scalar in nats, in at least single precision.

    Raises:
        UsageError: on shapes or classes that do not fit, on NaN or infinity.
        TypeError: if the target does not hold whole numbers.

    Example:
        >>> weight = torch.eye(2)
        >>> margin_softmax_loss(torch.tensor([[3.0, 0.0]]), weight, torch.tensor([0]), scale=1.0, margin=0.0)
        tensor(0.3133)
    """
    require_matrix("embedding", embedding)
    require_matrix("weight", weight)
    if embedding.shape[1] != weight.shape[1]:
        raise UsageError(
            f"embedding and weight must have the same width, received {embedding.shape[1]} and {weight.shape[1]}: "
            "weight is that of the linear layer after the embedding"
        )
    require_finite("embedding", embedding)
    require_finite("weight", weight)
    require_classes(target, embedding.new_empty((len(embedding), len(weight))))
    require_positive("scale", scale)
    require_number("margin", margin, low=0, high=torch.pi)
    with autocast_off(embedding):
        rows, classes = (F.normalize(one, dim=1, eps=LEAST_LENGTH) for one in in_common_precision(embedding, weight))
        cosine = (rows @ classes.mT).clamp(FROM_ONE - 1, 1 - FROM_ONE)
        own = is_class(target, len(weight))
        return F.cross_entropy(scale * torch.where(own, (cosine.arccos() + margin).cos(), cosine), target.long())
