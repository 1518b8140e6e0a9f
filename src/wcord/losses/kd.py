"""Knowledge distillation by softened logits (Hinton, Vinyals and Dean, 2015, arXiv 1503.02531)."""

import torch.nn.functional as F
from torch import Tensor

from wcord.checks import require_bool, require_positive
from wcord.losses.logits import require_logits
from wcord.numerics import autocast_off, full_precision

VARIANCE_EPS = 1e-6
"""Added to the variance of standardized logits: keeps value and gradient finite where all logits are equal."""


def kd_loss(
    student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 4.0, standardize: bool = False
) -> Tensor:
    r"""Return the divergence of the student's softened predictions from the teacher's.

    T² / B Σ_i KL( softmax(t_i / T) ‖ softmax(s_i / T) )

    with s `student_logits` and t `teacher_logits` (B×C) and T `temperature`; T² keeps the gradient's size as T grows.
    T = 4 is the CRD benchmark's. With `standardize`, each row of both is first brought to zero mean and unit variance
    (logit standardization; Sun, Ren, Li, Wang and Cao, CVPR 2024, arXiv 2403.01427), with 1e-6 added to the
    variance rather than 1e-7 to its root, so that the gradient is finite where all logits are equal. The variance is
    the mean square; the authors' code divides by C − 1, which makes logits smaller by √((C−1)/C), 0.5 % at C = 100.

    The teacher is detached.

    Args:
        student_logits: s, B×C.
        teacher_logits: t, B×C.
        temperature: T, above 0.
        standardize: standardize each row first.

    Returns:
        A scalar in nats times T², in at least single precision.

    Raises:
        UsageError: if the networks have other numbers of classes, on shapes that do not fit, NaN or infinity.

    Example:
        >>> import torch
        >>> kd_loss(torch.tensor([[0.0, 0.0]]), torch.tensor([[4.0, 0.0]]))
        tensor(1.7751)
    """
    require_positive("temperature", temperature)
    require_bool("standardize", standardize)
    require_logits("kd", student_logits, teacher_logits)
    with autocast_off(student_logits):
        student, teacher = full_precision(student_logits), full_precision(teacher_logits.detach())
        if standardize:
            student, teacher = _standard_rows(student), _standard_rows(teacher)
        log_student = F.log_softmax(student / temperature, dim=1)
        log_teacher = F.log_softmax(teacher / temperature, dim=1).to(log_student.dtype)
        return F.kl_div(log_student, log_teacher, log_target=True, reduction="batchmean") * temperature**2


def binary_kd_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 4.0) -> Tensor:
    r"""Return the divergence of the student's softened answers from the teacher's, label by label.

    T² / (B·C) Σ_i Σ_c KL( Bernoulli(σ(t_ic / T)) ‖ Bernoulli(σ(s_ic / T)) )

    This is `kd_loss` where a sample may have several labels, each an independent question; the mean over labels is that
    of `bce_loss`. The teacher is detached.

    Args:
        student_logits: s, B×C.
        teacher_logits: t, B×C.
        temperature: T, above 0.

    Returns:
        A scalar in nats a label times T², in at least single precision.

    Raises:
        UsageError: if the networks have other numbers of labels, on shapes that do not fit, NaN or infinity.

    Example:
        >>> import torch
        >>> binary_kd_loss(torch.tensor([[0.0, 4.0]]), torch.tensor([[4.0, 4.0]]))
        tensor(0.8876)
    """
    require_positive("temperature", temperature)
    require_logits("kd", student_logits, teacher_logits)
    with autocast_off(student_logits):
        student = full_precision(student_logits) / temperature
        teacher = full_precision(teacher_logits.detach()).to(student) / temperature
        yes, no = F.logsigmoid(teacher), F.logsigmoid(-teacher)
        divergence = yes.exp() * (yes - F.logsigmoid(student)) + no.exp() * (no - F.logsigmoid(-student))
        return divergence.mean() * temperature**2


def _standard_rows(logits: Tensor) -> Tensor:
    centered = logits - logits.mean(dim=1, keepdim=True)
    return centered * (centered.square().mean(dim=1, keepdim=True) + VARIANCE_EPS).rsqrt()
