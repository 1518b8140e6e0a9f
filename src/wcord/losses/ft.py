"""Factor transfer: two small networks turn the last maps into comparable factors (Kim, Park and Kwak, NeurIPS 2018)."""

from itertools import pairwise
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from wcord.checks import UsageError, require_counts, require_number
from wcord.losses.maps import pool_to_smaller, require_map, require_maps
from wcord.numerics import FullPrecisionModule, autocast_off, full_precision, in_precision_of

NORM_EPS = 1e-6
"""The least length by which a factor is divided: bounds the gradient where a factor is zero."""
LARGEST_POWER = 1000
"""Largest power of responses and of their differences: beyond it only the largest one counts."""
SLOPE = 0.1
"""Slope of the leaky ReLUs."""


def ft_loss(student_factor: Tensor, teacher_factor: Tensor, *, p1: int = 2, p2: float = 1) -> Tensor:
    r"""Return the distance of the student's factor from the teacher's, as unit vectors over positions.

    1 / (B H W) Σ | n(f(s)) - n(f(t)) |^p2,    f(x) = 1/C Σ_c x_c^p1,    n(v) = v / max(‖v‖, 1e-6)

    with s `student_factor` and t `teacher_factor`; f averages over channels, so that the two may have different ones,
    and n makes the H·W positions of a sample one unit vector. Where the sizes differ, the larger factor is
    average-pooled. arXiv 1802.04977. The form is that of the CRD benchmark, whose weight is 200; the authors' code
    makes the whole factor, all channels of it, one unit vector and has the weight 500. Where the benchmark divides by
    at least 1e-12 we take 1e-6, so that the gradient is bounded at a zero factor; and differences count by their size
    also where p2 is odd.

    The teacher is detached.

    Args:
        student_factor: s, the translator's output, B×C×H×W.
        teacher_factor: t, the paraphraser's, B×C'×H'×W'.
        p1: power of the responses, a whole number, for they may be negative.
        p2: power of the differences, at least 1.

    Returns:
        A scalar, in at least single precision.

    Raises:
        UsageError: on factors of different samples, powers out of range, NaN or infinity.

    Example:
        >>> import torch
        >>> one, other = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[0.0, 7.0]]]])
        >>> ft_loss(one, one), ft_loss(one, other)
        (tensor(0.), tensor(1.))
    """
    require_number("p1", p1, low=1, high=LARGEST_POWER, whole=True)
    require_number("p2", p2, low=1, high=LARGEST_POWER)
    require_maps(student_factor, teacher_factor, kind="factor")
    with autocast_off(student_factor):
        student, teacher = pool_to_smaller(full_precision(student_factor), full_precision(teacher_factor.detach()))
        difference = (_unit_positions(student, p1) - _unit_positions(teacher, p1).to(student.dtype)).abs()
        return (difference if p2 == 1 else difference.pow(p2)).mean()


def _unit_positions(factor: Tensor, power: int) -> Tensor:
    return F.normalize(factor.pow(int(power)).mean(dim=1).flatten(1), dim=1, eps=NORM_EPS)


class Paraphraser(FullPrecisionModule):
    """An autoencoder of the teacher's last map, whose code is the factor.

    encoder: 3×3 to C, to kC, to kC; decoder: transposed 3×3 to kC, to C, to C; a leaky ReLU (slope 0.1) after each.
    Without batch normalization, as in the authors' code and in the CRD benchmark. Trained to reconstruct its input,
    independently of any student; the benchmark takes the mean square, the authors' code the mean absolute value.

    Args:
        channels: C of the teacher's map.
        rate: k, the width of the factor as a share of C.

    Raises:
        UsageError: if the factor would have no channel.

    Example:
        >>> import torch
        >>> paraphraser = Paraphraser(8)
        >>> paraphraser(torch.zeros(2, 8, 4, 4)).shape, paraphraser.reconstruction_loss(torch.zeros(2, 8, 4, 4)).shape
        (torch.Size([2, 4, 4, 4]), torch.Size([]))
    """

    def __init__(self, channels: int, *, rate: float = 0.5) -> None:
        super().__init__()
        width = factor_channels(channels, rate)
        self.encoder = _convolutions(nn.Conv2d, (channels, channels, width, width), normalize=False)
        self.decoder = _convolutions(nn.ConvTranspose2d, (width, width, channels, channels), normalize=False)

    def forward(self, teacher_map: Tensor) -> Tensor:
        """Return the factor, B×kC×H×W, of a map B×C×H×W."""
        return _encoded(self.encoder, "teacher_map", teacher_map)

    def reconstruction_loss(self, teacher_map: Tensor) -> Tensor:
        """Return the mean square of decoder(encoder(t)) - t; the teacher is detached."""
        require_map("teacher_map", teacher_map)
        with autocast_off(teacher_map):
            target = in_precision_of(self, teacher_map.detach())
            return F.mse_loss(self.decoder(self(target)), target)


class Translator(FullPrecisionModule):
    """Turns the student's last map into a factor: 3×3 to C, to kC', to kC', each with BN and a leaky ReLU.

    C are the student's channels and C' the teacher's. The CRD benchmark's form; the authors' code has no batch
    normalization here.

    Args:
        channels: C of the student's map.
        teacher_channels: C' of the teacher's.
        rate: k of the paraphraser.

    Raises:
        UsageError: if the factor would have no channel.

    Example:
        >>> import torch
        >>> Translator(3, 8)(torch.zeros(2, 3, 4, 4)).shape
        torch.Size([2, 4, 4, 4])
    """

    def __init__(self, channels: int, teacher_channels: int, *, rate: float = 0.5) -> None:
        super().__init__()
        require_counts(channels=channels, teacher_channels=teacher_channels)
        width = factor_channels(teacher_channels, rate)
        self.encoder = _convolutions(nn.Conv2d, (channels, channels, width, width), normalize=True)

    def forward(self, student_map: Tensor) -> Tensor:
        """Return the factor, B×kC'×H×W, of a map B×C×H×W."""
        return _encoded(self.encoder, "student_map", student_map)


def factor_channels(channels: int, rate: float) -> int:
    """Return the number of a factor's channels, ⌊rate · channels⌋.

    >>> factor_channels(64, 0.5)
    32

    Raises:
        UsageError: if that is none.
    """
    require_counts(channels=channels)
    require_number("rate", rate, above=0, high=LARGEST_POWER)
    width = int(channels * rate)
    if width < 1:
        raise UsageError(
            f"rate {rate} of {channels} channels leaves the factor none: choose a larger rate, such as 0.5"
        )
    return width


def _encoded(encoder: nn.Sequential, name: str, feature_map: Tensor) -> Tensor:
    require_map(name, feature_map)
    first = cast(nn.Conv2d, encoder[0])
    if feature_map.shape[1] != first.in_channels:
        raise UsageError(f"{name} must have {first.in_channels} channels, received {feature_map.shape[1]}")
    with autocast_off(feature_map):
        return encoder(in_precision_of(encoder, feature_map))


def _convolutions(
    kind: type[nn.Conv2d] | type[nn.ConvTranspose2d], widths: tuple[int, ...], *, normalize: bool
) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, width in pairwise(widths):
        layers.append(kind(before, width, 3, padding=1))
        if normalize:
            layers.append(nn.BatchNorm2d(width))
        layers.append(nn.LeakyReLU(SLOPE))
    return nn.Sequential(*layers)
