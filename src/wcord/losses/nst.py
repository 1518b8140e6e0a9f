"""Neuron selectivity transfer (Huang and Wang, 2017, arXiv 1707.01219)."""

import torch.nn.functional as F
from torch import Tensor

from wcord.losses.maps import pool_to_smaller, require_maps
from wcord.numerics import autocast_off, full_precision

MIN_LENGTH = 1e-3
"""Least length that a channel is divided by: bounds the gradient at a channel that is zero by 1000."""


def nst_loss(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    r"""Return the squared discrepancy (MMD) of the two networks' channels, each channel treated as one sample.

    1/B Σ_i ( mean_cc' k(s_ic, s_ic') + mean_cc' k(t_ic, t_ic') − 2 mean_cc' k(s_ic, t_ic') ),  k(a, b) = (a·b)²

    with s_ic channel c of `student_map` (B×C×H×W) flattened and brought to unit length, and t the same of
    `teacher_map`. Channels may differ; of maps of other sizes the larger is average-pooled to the smaller.

    The paper offers several kernels; this is its squared polynomial one (d = 2, c = 0), which the public
    CRD benchmark's code has, with weight 50. Where we differ: a channel is divided by at least 1e-3, where the code has
    1e-12, since channels that are zero for a sample are common after a ReLU.

    The teacher is detached.

    Args:
        student_map: s.
        teacher_map: t.

    Returns:
        A scalar in at least single precision; not negative but for rounding.

    Raises:
        UsageError: if these are not maps of the same samples, on NaN or infinity.

    Example:
        >>> import torch
        >>> left, right = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[0.0, 1.0]]]])
        >>> nst_loss(left, -5 * left), nst_loss(left, right)
        (tensor(0.), tensor(2.))
    """
    require_maps(student_map, teacher_map)
    with autocast_off(student_map):
        student, teacher = pool_to_smaller(full_precision(student_map), full_precision(teacher_map.detach()))
        student, teacher = _unit_channels(student), _unit_channels(teacher).to(student.dtype)
        within = _mean_kernel(student, student) + _mean_kernel(teacher, teacher)
        return within - 2 * _mean_kernel(student, teacher)


def _unit_channels(feature_map: Tensor) -> Tensor:
    return F.normalize(feature_map.flatten(2), dim=2, eps=MIN_LENGTH)


def _mean_kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.transpose(1, 2)).square().mean()
