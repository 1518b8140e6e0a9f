"""Transformed teacher matching, plain and weighted (Zheng and Yang, ICLR 2024, arXiv 2402.11148)."""

import torch.nn.functional as F
from torch import Tensor

from wcord.checks import require_positive
from wcord.losses.logits import require_logits
from wcord.numerics import autocast_off, full_precision


def ttm_loss(student_logits: Tensor, teacher_logits: Tensor, *, exponent: float = 0.1) -> Tensor:
    r"""Return the divergence of the student's plain predictions from the teacher's power-transformed ones.

    1/B Σ_i KL(p̃_i ‖ softmax(s_i)),  p̃ = p^γ / Σ_c p_c^γ,  p = softmax(t)

    with s `student_logits`, t `teacher_logits` (B×C) and γ `exponent`. p̃ is softmax(γ t): temperature T = 1/γ on the
    teacher alone. Against `kd_loss` at that temperature the gradient has one more term, a Rényi entropy of the student,
    which keeps its predictions from becoming sharp. There is no factor T².

    γ and the weight are tuned per pair (the paper lists T and β in its appendix); 0.1 and a weight of 45 are those of
    the example in the authors' code, vgg13 → vgg8 on CIFAR-100.

    The teacher is detached.

    Args:
        student_logits: s, B×C.
        teacher_logits: t, B×C.
        exponent: γ, above 0, smoothing below 1.

    Returns:
        A scalar in nats, in at least single precision.

    Raises:
        UsageError: if the networks have other numbers of classes, on shapes that do not fit, NaN or infinity.

    Example:
        >>> import torch
        >>> ttm_loss(torch.tensor([[0.4, 0.0]]), torch.tensor([[4.0, 0.0]]))  # 4 · 0.1 is what the student says
        tensor(0.)
    """
    divergence, _ = _match("ttm", student_logits, teacher_logits, exponent)
    return divergence.mean()


def wttm_loss(student_logits: Tensor, teacher_logits: Tensor, *, exponent: float = 0.2) -> Tensor:
    r"""Return `ttm_loss` with each sample weighed by how smooth the teacher's prediction is.

    1/B Σ_i U_i KL(p̃_i ‖ softmax(s_i)),  U = Σ_c p_c^γ,  p̃ = p^γ / U,  p = softmax(t)

    with s `student_logits`, t `teacher_logits` (B×C) and γ `exponent`. U lies between 1 for a one-hot prediction and
    C^(1−γ) for a uniform one (for γ < 1), so the samples count most on which the teacher hesitates. It carries no
    gradient.

    0.2 and a weight of 4 are those of the example in the authors' code, vgg13 → vgg8 on CIFAR-100 beside CRD; the paper
    lists values per pair in its appendix.

    The teacher is detached.

    Args:
        student_logits: s, B×C.
        teacher_logits: t, B×C.
        exponent: γ, above 0.

    Returns:
        A scalar, in at least single precision.

    Raises:
        UsageError: if the networks have other numbers of classes, on shapes that do not fit, NaN or infinity.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[4.0, 0.0]])
        >>> (wttm_loss(student, teacher) / ttm_loss(student, teacher, exponent=0.2)).round(decimals=4)  # U
        tensor(1.4441)
    """
    divergence, power_sum = _match("wttm", student_logits, teacher_logits, exponent)
    return (power_sum * divergence).mean()


def _match(name: str, student_logits: Tensor, teacher_logits: Tensor, exponent: float) -> tuple[Tensor, Tensor]:
    """Return KL(p̃ ‖ softmax(s)) and U, both B."""
    require_logits(name, student_logits, teacher_logits)
    require_positive("exponent", exponent)
    with autocast_off(student_logits):
        log_student = F.log_softmax(full_precision(student_logits), dim=1)
        log_powers = exponent * F.log_softmax(full_precision(teacher_logits.detach()), dim=1).to(log_student.dtype)
        log_sum = log_powers.logsumexp(dim=1, keepdim=True)
        divergence = F.kl_div(log_student, log_powers - log_sum, log_target=True, reduction="none").sum(dim=1)
        return divergence, log_sum.squeeze(1).exp()
