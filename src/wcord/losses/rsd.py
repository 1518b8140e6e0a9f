"""Redundancy suppression distillation (Zhang, Liu, Ran and Ma, ICCV 2025, arXiv 2507.21844)."""

import torch
from torch import Tensor

from wcord.checks import require_number
from wcord.losses.dist import centered_unit_rows
from wcord.losses.embeddings import require_embeddings, require_one_width
from wcord.numerics import autocast_off, full_precision


def rsd_loss(student: Tensor, teacher: Tensor, *, kappa: float) -> Tensor:
    r"""Return how far the correlations between the networks' dimensions are from one to one.

    Σ_d (P_dd − 1)² + κ Σ_d Σ_{e≠d} P_de²,  P_de = the correlation of s_·d with t_·e over the batch

    with s `student` and t `teacher` (B×D) and κ `kappa`. The first sum makes each dimension of the student vary with
    the same dimension of the teacher; the second makes it vary with no other, which suppresses what dimensions share.
    The student's embedding is the output of a head that brings it to the teacher's width and is dropped after the
    training; the head belongs to the method. Neither scale nor mean of a dimension matters. Both are sums, as in the
    authors' code, so the loss of networks that have nothing in common is about D (1 + κ (D − 1) / B).

    Where we differ from the code: it adds 1e-5 to the standard deviation of a dimension; here 1e-10 is added to the
    sum of squares. In both a constant dimension is correlated with none, here with a finite gradient as well.

    The teacher is detached.

    Args:
        student: s, projected, B×D with B ≥ 2.
        teacher: t, B×D.
        kappa: κ, not negative; 0.01 in the authors' code.

    Returns:
        A scalar in at least single precision.

    Raises:
        UsageError: if the widths differ, if these are not the same two or more samples, on NaN or infinity.

    Example:
        >>> student = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
        >>> rsd_loss(student, 5 * student + 2, kappa=0.01)
        tensor(0.)
        >>> rsd_loss(student, student.flip(1), kappa=0.01)  # (0 − 1)² twice, and 1² twice off the diagonal
        tensor(2.0200)
    """
    require_embeddings(student, teacher, min_rows=2, names=("student", "teacher"))
    require_one_width("rsd", student, teacher)
    require_number("kappa", kappa, low=0)
    with autocast_off(student):
        student = full_precision(student)
        teacher = full_precision(teacher.detach()).to(student.dtype)
        correlation = centered_unit_rows(student.T) @ centered_unit_rows(teacher.T).T
        same = correlation.diagonal()
        other = correlation - torch.diag(same)
        return (same - 1).square().sum() + kappa * other.square().sum()
