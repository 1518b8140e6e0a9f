"""A comprehensive overhaul of feature distillation (Heo, Kim, Yun, Park, Kwak, Choi, ICCV 2019, arXiv 1904.01866)."""

import math

import torch
from torch import Tensor

from wcord.checks import UsageError, require_finite, require_fractions
from wcord.host import may_read
from wcord.losses.maps import pool_to_smaller, require_maps
from wcord.numerics import autocast_off, full_precision

RARELY_NEGATIVE = 0.001
"""Below this probability of a negative response its expectation is not taken."""
FAR_BELOW = 3.0
"""Standard deviations below zero that stand for it then."""


def ofd_loss(student_map: Tensor, teacher_map: Tensor, margin: Tensor) -> Tensor:
    r"""Return the partial squared distance of the student from the teacher's map behind a margin ReLU.

    1/B Σ d(s, max(t, m)),    d(s, t) = 0 where s ≤ t ≤ 0, else (s - t)²

    with s `student_map` and t `teacher_map`, both *before* the ReLU, and m `margin` of each channel: where the
    teacher's neuron is silent, the student's has to be silent too, and how much is not copied. The sum over elements,
    divided by the batch, is that of the authors' CIFAR code and of mdistiller, which agree; their weight of 1/1000, and
    of 1/2^(n-1-i) for map i of n, belong to the method. Where the maps differ in size, the teacher's
    is average-pooled, as there; where it is the student's that is larger, that one is, and no response is repeated.

    The teacher is detached.

    Args:
        student_map: s, B×C×H×W, after the connector that gives it the teacher's channels.
        teacher_map: t, B×C×H'×W'.
        margin: m, C numbers of at most 0, see `ofd_margin`.

    Returns:
        A scalar, in at least single precision.

    Raises:
        UsageError: if channels differ or a margin is above 0, on NaN or infinity.

    Example:
        >>> student = torch.tensor([[[[3.0, -1.0, 0.0]]]])
        >>> teacher = torch.tensor([[[[1.0, -9.0, -9.0]]]])
        >>> ofd_loss(student, teacher, torch.tensor([-0.5]))  # 2² + 0 + 0.5²
        tensor(4.2500)
    """
    require_maps(student_map, teacher_map)
    _require_vector("margin", margin)
    if student_map.shape[1] != teacher_map.shape[1] or margin.numel() != teacher_map.shape[1]:
        raise UsageError(
            "ofd compares channel by channel and wants a margin for each, received "
            f"{student_map.shape[1]} channels of the student, {teacher_map.shape[1]} of the teacher and "
            f"{margin.numel()} margins: bring the student's map to the teacher's channels first"
        )
    require_finite("margin", margin)
    if may_read(margin) and bool((margin > 0).any()):
        raise UsageError(
            f"margin must be at most 0, an expected negative response, received {margin.max().item():g}: "
            "compute it with ofd_margin"
        )
    with autocast_off(student_map):
        student, teacher = pool_to_smaller(full_precision(student_map), full_precision(teacher_map.detach()))
        target = teacher.maximum(margin.detach().to(teacher).view(1, -1, 1, 1))
        counts = (student > target) | (target > 0)
        # Masked before the square, so that what does not count has no gradient.
        return torch.where(counts, student - target, 0.0).square().sum() / student.shape[0]


def ofd_margin(weight: Tensor, bias: Tensor) -> Tensor:
    r"""Return the margin of each channel: the expected response of a batch normalization where it is negative.

    m = E[x | x < 0] = β - |γ| φ(β/γ) / Φ(-β/|γ|),    x ~ N(β, γ²)

    with γ `weight` and β `bias` of the teacher's BN before the ReLU, φ the normal density and Φ its integral. Where a
    negative response is rarer than 0.001, m = -3|γ| instead, as in the authors' code. For γ = 0, where the authors'
    code divides by zero, the limit: min(β, 0).

    Args:
        weight: γ, C numbers.
        bias: β, C numbers.

    Returns:
        m, C numbers of at most 0, in double precision.

    Raises:
        UsageError: on different lengths, NaN or infinity.

    Example:
        >>> ofd_margin(torch.tensor([1.0, 1.0]), torch.tensor([0.0, 5.0]))  # -√(2/π), and -3
        tensor([-0.7979, -3.0000], dtype=torch.float64)
    """
    _require_vector("weight", weight)
    _require_vector("bias", bias)
    if weight.shape != bias.shape:
        raise UsageError(
            "weight and bias must be the numbers of one batch normalization, received shapes "
            f"{tuple(weight.shape)} and {tuple(bias.shape)}"
        )
    require_finite("weight", weight)
    require_finite("bias", bias)
    spread, mean = weight.detach().double().abs(), bias.detach().double()
    ratio = mean / spread.where(spread > 0, 1.0)
    negative = torch.special.ndtr(-ratio)
    density = torch.exp(-ratio.square() / 2) / math.sqrt(2 * math.pi)
    expected = mean - spread * density / negative.clamp_min(RARELY_NEGATIVE)
    margin = torch.where(negative > RARELY_NEGATIVE, expected, -FAR_BELOW * spread)
    return torch.where(spread > 0, margin, mean).clamp_max(0.0)


def _require_vector(name: str, value: Tensor) -> None:
    require_fractions(name, value)
    if value.dim() != 1:
        raise UsageError(f"{name} must hold one number for each channel, received shape {tuple(value.shape)}")
