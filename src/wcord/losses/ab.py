"""Activation boundaries: agreement on the neurons that fire (Heo, Lee, Yun and Choi, AAAI 2019, arXiv 1811.03233)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.checks import require_positive, require_same_shape
from wcord.losses.maps import require_maps
from wcord.numerics import autocast_off, full_precision

SCALE = 3 / 1000
"""The constant factor in the authors' training script and in the CRD benchmark."""


def ab_loss(student_map: Tensor, teacher_map: Tensor, *, margin: float = 1.0) -> Tensor:
    r"""Return how far the student's responses are from the teacher's side of zero.

    3 / (1000 B) Σ ( 1[t > 0] · max(0, m - s)² + 1[t ≤ 0] · max(0, s + m)² )

    with s `student_map` and t `teacher_map`, both *before* the ReLU and of one shape, the sum over all elements of the
    batch of B, and m `margin`: a response should be above m where the teacher's neuron fires and below -m where it does
    not. The size of t does not count. It is the paper's differentiable form of its activation transfer loss, with the
    constant of the authors' CIFAR code and of the CRD benchmark. Of several maps, those codes weigh the last by 1 and
    each one before it by half of the next; that is left to the method.

    The teacher is detached.

    Args:
        student_map: s, B×C×H×W, after the connector that gives it the teacher's shape.
        teacher_map: t, of the same shape.
        margin: m, above 0.

    Returns:
        A scalar, in at least single precision.

    Raises:
        UsageError: if the shapes differ, or on NaN or infinity.

    Example:
        >>> ab_loss(torch.tensor([[[[2.0, 0.0]]]]), torch.tensor([[[[1.0, -5.0]]]]))  # 3/1000 · (0 + 1)
        tensor(0.0030)
    """
    require_positive("margin", margin)
    require_maps(student_map, teacher_map)
    require_same_shape("student_map", student_map, "teacher_map", teacher_map)
    with autocast_off(student_map):
        student = full_precision(student_map)
        distance = torch.where(teacher_map.detach() > 0, margin - student, student + margin)
        return F.relu(distance).square().sum() * (SCALE / student.shape[0])
