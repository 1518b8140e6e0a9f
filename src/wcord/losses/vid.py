"""Variational information distillation (Ahn, Hu, Damianou, Lawrence and Dai, CVPR 2019, arXiv 1904.05835)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wcord.checks import UsageError, require_counts, require_positive, require_widths
from wcord.losses.maps import pool_to_smaller, require_maps
from wcord.numerics import FullPrecisionModule, autocast_off, in_precision_of


class VIDLoss(FullPrecisionModule):
    r"""Maximise a bound on the information between the maps: predict the teacher's map, with a variance per channel.

    1/(B·C·H·W) Σ_ichw ½ ( (t_ichw − μ_ichw)² / v_c + log v_c ),  v_c = log(1 + exp α_c) + ε

    with t `teacher_map`, μ = r(s) the regression of `student_map`, r three 1×1 convolutions without bias with ReLU
    between, whose hidden widths are the teacher's, and α the parameter `raw_variance` (one per teacher channel, set so
    that v starts at `initial_variance`). Of maps of other sizes the larger is average-pooled to the smaller.

    The loss falls below 0 when v falls below 1. The paper sums over the elements; this is the form of the
    public CRD benchmark's code, the mean, with weight 1. Values and gradients are the code's; the softplus is written
    so that it cannot overflow.

    The teacher is detached. The regressor and α train with the student.

    Args:
        student_channels: channels of the student's map.
        teacher_channels: C, channels of the teacher's map.
        initial_variance: v at the start, above ε.
        eps: ε, the least variance.

    Raises:
        UsageError: on maps that do not fit the channels or are not of the same samples, NaN or infinity.

    Example:
        >>> criterion = VIDLoss(8, 16)
        >>> criterion(torch.zeros(2, 8, 4, 4), torch.zeros(2, 16, 2, 2))  # ½ log 5
        tensor(0.8047, grad_fn=<MeanBackward0>)
    """

    def __init__(
        self, student_channels: int, teacher_channels: int, *, initial_variance: float = 5.0, eps: float = 1e-5
    ) -> None:
        super().__init__()
        require_counts(student_channels=student_channels, teacher_channels=teacher_channels)
        require_positive("eps", eps)
        require_positive("initial_variance", initial_variance)
        if initial_variance <= eps:
            raise UsageError(f"initial_variance must be above eps, received {initial_variance} and {eps}")
        self.channels = (student_channels, teacher_channels)
        self.eps = eps
        self.regressor = nn.Sequential(
            nn.Conv2d(student_channels, teacher_channels, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(teacher_channels, teacher_channels, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(teacher_channels, teacher_channels, 1, bias=False),
        )
        self.raw_variance = nn.Parameter(torch.full((teacher_channels,), _inverse_softplus(initial_variance - eps)))

    def variance(self) -> Tensor:
        """Return v, the variance of each teacher channel around its prediction."""
        return F.softplus(self.raw_variance) + self.eps

    def forward(self, student_map: Tensor, teacher_map: Tensor) -> Tensor:
        """Return the loss of a batch.

        Args:
            student_map: features of the student, B×student_channels×H×W.
            teacher_map: features of the teacher, B×teacher_channels×H×W, of any height and width.
        """
        require_maps(student_map, teacher_map)
        require_widths("VIDLoss", self.channels, (student_map.shape[1], teacher_map.shape[1]))
        with autocast_off(student_map):
            student, teacher = pool_to_smaller(
                in_precision_of(self, student_map), in_precision_of(self, teacher_map.detach())
            )
            variance = self.variance().view(1, -1, 1, 1)
            squared = (teacher - self.regressor(student)).square()
            return (0.5 * (squared / variance + variance.log())).mean()


def _inverse_softplus(value: float) -> float:
    """Return x with log(1 + exp x) = value, also where exp x would overflow."""
    return value + math.log(-math.expm1(-value))
