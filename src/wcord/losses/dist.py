"""DIST: relations between predictions instead of their values (Huang et al., NeurIPS 2022, arXiv 2205.10536)."""

import torch
from torch import Tensor

from wcord.checks import require_number, require_positive
from wcord.losses.logits import require_logits
from wcord.numerics import autocast_off, full_precision

CONSTANT_EPS = 1e-10
"""Added to the sum of squares of a centered row: bounds the gradient at a constant row, where rounding is no
relation."""


def dist_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    beta: float = 1.0,
    gamma: float = 1.0,
    temperature: float = 1.0,
) -> Tensor:
    r"""Return how far the predictions are from being linearly related, along classes and along samples.

    T² ( β/B Σ_i (1 − ρ(p_i^s, p_i^t)) + γ/C Σ_c (1 − ρ(p_·c^s, p_·c^t)) ),  p = softmax(x / T)

    with x `student_logits` or `teacher_logits` (B×C), T `temperature`, ρ Pearson's correlation; β `beta` weighs the
    relation between classes (rows of p), γ `gamma` that within a class between samples (columns). Huang, You, Wang,
    Qian and Xu, "Knowledge Distillation from A Stronger Teacher"; β, γ and T as in the authors' code, which weighs the
    loss 2 beside cross-entropy, and has T = 4 for CIFAR-100.

    There 1e-8 is added to the product of the norms, here 1e-10 to each sum of squares: a constant row or column counts
    as unrelated (1 − ρ = 1) in both, but rounding in it is no relation, and its gradient stays a hundred times smaller.

    The teacher is detached.

    Args:
        student_logits: B×C with B ≥ 2.
        teacher_logits: B×C.
        beta: β.
        gamma: γ.
        temperature: T, above 0.

    Returns:
        A scalar between 0 and 2 T² (β + γ), in at least single precision.

    Raises:
        UsageError: on a batch of one, if the networks have other numbers of classes, on NaN or infinity.

    Example:
        >>> student = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> dist_loss(student, 2 * student)  # as far from one half, in the same direction
        tensor(0.)
        >>> dist_loss(student, -student)
        tensor(4.)
    """
    require_logits("dist", student_logits, teacher_logits, min_rows=2)
    require_positive("temperature", temperature)
    require_number("beta", beta, low=0)
    require_number("gamma", gamma, low=0)
    with autocast_off(student_logits):
        student = (full_precision(student_logits) / temperature).softmax(dim=1)
        teacher = (full_precision(teacher_logits.detach()) / temperature).softmax(dim=1).to(student.dtype)
        inter = 1 - _correlation(student, teacher).mean()
        intra = 1 - _correlation(student.T, teacher.T).mean()
        return temperature**2 * (beta * inter + gamma * intra)


def _correlation(x: Tensor, y: Tensor) -> Tensor:
    """Return Pearson's correlation of each row of x with the same row of y."""
    x, y = (centered_unit_rows(rows) for rows in (x, y))
    return (x * y).sum(dim=1)


def centered_unit_rows(rows: Tensor) -> Tensor:
    """Return each row less its mean, at unit length; inner products are then Pearson's correlations.

    >>> centered_unit_rows(torch.tensor([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]))
    tensor([[-0.7071,  0.0000,  0.7071],
            [ 0.0000,  0.0000,  0.0000]])
    """
    centered = rows - rows.mean(dim=1, keepdim=True)
    return centered * torch.rsqrt(centered.square().sum(dim=1, keepdim=True) + CONSTANT_EPS)
