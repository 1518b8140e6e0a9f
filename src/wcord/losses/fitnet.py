"""FitNets: regression of a hidden map (Romero, Ballas, Kahou, Chassang, Gatta and Bengio, ICLR 2015, 1412.6550)."""

import torch.nn.functional as F
from torch import Tensor

from wcord.checks import UsageError
from wcord.losses.maps import require_maps
from wcord.numerics import autocast_off, full_precision


def fitnet_loss(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    r"""Return the mean squared error of the student's map, the hint being the teacher's.

    1/n Σ_e (s_e − t_e)²

    with s `student_map`, t `teacher_map` (B×C×H×W, or features of any other shape with the batch first, such as tokens
    B×T×D) and n the number of their elements. The student's map is the output of a regressor that brings it to the
    teacher's shape; the regressor belongs to the method.

    The paper (Eq. 3) has half the squared distance, summed, and trains on it alone in a stage before distillation. This
    is the form of the public CRD benchmark's code: the mean, weighed 100 beside cross-entropy in one stage.

    The teacher is detached.

    Args:
        student_map: s, regressed.
        teacher_map: t, of the same shape.

    Returns:
        A scalar in at least single precision.

    Raises:
        UsageError: if the shapes differ, or on NaN or infinity.

    Example:
        >>> import torch
        >>> fitnet_loss(torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.5))
        tensor(0.2500)
    """
    require_maps(student_map, teacher_map, any_shape=True)
    if student_map.shape != teacher_map.shape:
        raise UsageError(
            f"fitnet compares element by element, received a student of shape {tuple(student_map.shape)} and a teacher "
            f"of {tuple(teacher_map.shape)}: bring the student's map to the teacher's shape with a regressor, as the "
            "method 'fitnet' does"
        )
    with autocast_off(student_map):
        student = full_precision(student_map)
        return F.mse_loss(student, full_precision(teacher_map.detach()).to(student.dtype))
