"""Attention transfer (Zagoruyko and Komodakis, ICLR 2017, arXiv 1612.03928)."""

import torch.nn.functional as F
from torch import Tensor

from wcord.checks import require_number
from wcord.losses.maps import pool_to_smaller, require_maps
from wcord.numerics import autocast_off, full_precision

MIN_LENGTH = 1e-6
"""Least length that an attention map is divided by: bounds the gradient where a map is nearly zero."""


def at_loss(student_map: Tensor, teacher_map: Tensor, *, p: float = 2) -> Tensor:
    r"""Return the mean squared difference of the two networks' attention maps.

    1/(B·H·W) Σ_i ‖ q(s_i) − q(t_i) ‖²,  q(x) = a / ‖a‖,  a_hw = 1/C Σ_c |x_chw|^p

    with s `student_map` and t `teacher_map` (B×C×H×W). Channels may differ; of maps of other sizes the larger is
    average-pooled to the smaller.

    The paper (Eq. 2) sums the channels, which the normalization undoes, and writes the length of the difference, not
    its square, under a weight β/2. The authors' code and the public CRD benchmark take the mean square, as here; the
    latter weighs it 1000. Where we differ from them: |x|^p, where the latter has x^p, so that odd powers count negative
    activations too; a is divided by at least 1e-6, where they have 1e-12.

    The teacher is detached.

    Args:
        student_map: s.
        teacher_map: t.
        p: the power, at least 1; larger ones weigh the most active channels more.

    Returns:
        A scalar in at least single precision.

    Raises:
        UsageError: if these are not maps of the same samples, on a power below 1, NaN or infinity.

    Example:
        >>> import torch
        >>> left, right = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[0.0, 1.0]]]])
        >>> at_loss(left, 5 * left), at_loss(left, right)
        (tensor(0.), tensor(1.))
    """
    require_maps(student_map, teacher_map)
    require_number("p", p, low=1)
    with autocast_off(student_map):
        student, teacher = pool_to_smaller(full_precision(student_map), full_precision(teacher_map.detach()))
        student = _attention(student, p)
        return F.mse_loss(student, _attention(teacher, p).to(student.dtype))


def _attention(feature_map: Tensor, p: float) -> Tensor:
    return F.normalize(feature_map.abs().pow(p).mean(dim=1).flatten(1), dim=1, eps=MIN_LENGTH)
