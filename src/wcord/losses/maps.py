"""Checks shared by the losses on feature maps, and pooling of two maps to one size."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from wcord.checks import UsageError, require_finite, require_fractions, require_kind, require_same_rows


def require_map(name: str, tensor: Tensor, *, min_rows: int = 1, any_shape: bool = False) -> None:
    """Raise unless `tensor` is a finite floating-point feature map B×C×H×W with enough samples.

    With `any_shape`, features of any shape are taken that have the batch first, such as tokens B×T×D.

    >>> import torch
    >>> require_map("student_map", torch.zeros(2, 3, 4))
    Traceback (most recent call last):
        ...
    wcord.checks.UsageError: student_map must be a feature map (batch × channels × height × width), received shape ...
    """
    require_fractions(name, tensor)
    if any_shape and tensor.dim() < 2:
        raise UsageError(f"{name} must be features with the batch first, received shape {tuple(tensor.shape)}")
    if not any_shape and tensor.dim() != 4:
        raise UsageError(
            f"{name} must be a feature map (batch × channels × height × width), received shape {tuple(tensor.shape)}"
        )
    if tensor.shape[0] < min_rows:
        raise UsageError(f"{name} needs a batch of at least {min_rows}, received {tensor.shape[0]}: use a larger batch")
    if tensor.numel() == 0:
        raise UsageError(f"{name} is empty, received shape {tuple(tensor.shape)}: read another layer")
    require_finite(name, tensor)


def require_maps(
    student_map: Tensor, teacher_map: Tensor, *, min_rows: int = 1, any_shape: bool = False, kind: str = "map"
) -> None:
    """Raise unless both are finite feature maps (`require_map`) of the same samples; all else may differ."""
    student, teacher = f"student_{kind}", f"teacher_{kind}"
    require_map(student, student_map, min_rows=min_rows, any_shape=any_shape)
    require_map(teacher, teacher_map, min_rows=min_rows, any_shape=any_shape)
    require_same_rows(student, student_map, teacher, teacher_map)


def require_lists(student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor]) -> None:
    """Raise unless both are lists of maps."""
    for name, maps in (("student_maps", student_maps), ("teacher_maps", teacher_maps)):
        require_kind(name, maps, (list, tuple), "a list of feature maps")


def pool_to_smaller(student_map: Tensor, teacher_map: Tensor) -> tuple[Tensor, Tensor]:
    """Return both maps (B×C×H×W, channels may differ) at the smaller of their heights and widths.

    The larger one is average-pooled, adaptively where the sizes do not divide; maps of one size are returned as they
    are. Where the public CRD benchmark compares heights only and makes the larger map square, we take height and width
    each by itself, which is the same for square maps.

    >>> import torch
    >>> student, teacher = pool_to_smaller(torch.ones(2, 16, 8, 8), torch.ones(2, 32, 4, 4))
    >>> student.shape, teacher.shape
    (torch.Size([2, 16, 4, 4]), torch.Size([2, 32, 4, 4]))
    """
    height, width = (min(student_map.shape[axis], teacher_map.shape[axis]) for axis in (2, 3))
    return _pool(student_map, height, width), _pool(teacher_map, height, width)


def _pool(feature_map: Tensor, height: int, width: int) -> Tensor:
    if feature_map.shape[2:] == (height, width):
        return feature_map
    return F.adaptive_avg_pool2d(feature_map, (height, width))
