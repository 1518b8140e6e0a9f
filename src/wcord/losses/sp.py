"""Similarity-preserving knowledge distillation (Tung and Mori, ICCV 2019, arXiv 1907.09682)."""

import torch.nn.functional as F
from torch import Tensor

from wcord.losses.maps import require_maps
from wcord.numerics import autocast_off, full_precision

MIN_LENGTH = 1e-6
"""Least length that a row of similarities is divided by: bounds the gradient at a sample whose map is zero."""


def sp_loss(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    r"""Return how far the similarities of the batch's samples differ between the two networks.

    1/B² ‖ G(s) − G(t) ‖²_F,  row i of G(x) = g_i / ‖g_i‖,  g_ij = x_i · x_j

    with x_i the flattened map of sample i, s `student_map` and t `teacher_map`: B×C×H×W, or features of any other shape
    with the batch first, such as tokens B×T×D. All but the batch may differ.

    The paper and the public CRD benchmark's code agree; the benchmark weighs it 3000. Where we differ: a row is divided
    by at least 1e-6, where the code has 1e-12, so that a sample whose map is zero has a bounded gradient.

    The teacher is detached.

    Args:
        student_map: s.
        teacher_map: t.

    Returns:
        A scalar in at least single precision.

    Raises:
        UsageError: if these are not features of the same two or more samples, on NaN or infinity.

    Example:
        >>> import torch
        >>> sp_loss(torch.eye(2).reshape(2, 2, 1, 1), torch.ones(2, 5, 3, 3))
        tensor(0.2929)
    """
    require_maps(student_map, teacher_map, min_rows=2, any_shape=True)
    with autocast_off(student_map):
        student = _similarities(full_precision(student_map))
        teacher = _similarities(full_precision(teacher_map.detach())).to(student.dtype)
        return F.mse_loss(student, teacher)


def _similarities(feature_map: Tensor) -> Tensor:
    rows = feature_map.flatten(1)
    return F.normalize(rows @ rows.t(), dim=1, eps=MIN_LENGTH)
