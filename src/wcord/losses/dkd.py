"""Decoupled knowledge distillation (Zhao, Cui, Song, Qiu and Liang, CVPR 2022, arXiv 2203.08679)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.checks import require_number, require_positive
from wcord.losses.logits import is_class, require_classes, require_logits
from wcord.numerics import autocast_off, full_precision


def dkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    target: Tensor,
    *,
    alpha: float = 1.0,
    beta: float = 8.0,
    temperature: float = 4.0,
) -> Tensor:
    r"""Return softened distillation in two parts: the target class (TCKD) and the other classes (NCKD).

    T² / B Σ_i ( α KL(b_i^t ‖ b_i^s) + β KL(q_i^t ‖ q_i^s) )
    b = (p_y, 1 − p_y),  q_c = p_c / (1 − p_y) for c ≠ y,  p = softmax(x / T)

    with x `student_logits` or `teacher_logits` (B×C), y `target` (B), T `temperature`, α `alpha` the weight of the part
    of the target class (TCKD) and β `beta` that of the other classes (NCKD). `kd_loss` is the same with α = 1 and in
    place of β the teacher's 1 − p_y of each sample. α = 1 and T = 4 are the authors' for CIFAR-100; their β depends on
    the pair: 8 in five of their configurations, 6 for wrn_40_2 → wrn_16_2 or wrn_40_1 and vgg13 → vgg8 or MobileNetV2,
    2 for resnet56 → resnet20 and resnet110 → resnet32.

    Values are those of the authors' code (mdistiller), which leaves the target class out by taking 1000 from its logit,
    and takes log(1 − p_y) of a probability. Here both are differences of log-sums, so that the value and the gradient
    stay finite with two classes (NCKD is then 0), with one-hot teachers, and with logits beyond 1000.

    The teacher is detached.

    Args:
        student_logits: B×C.
        teacher_logits: B×C.
        target: classes, B.
        alpha: α.
        beta: β.
        temperature: T, above 0.

    Returns:
        A scalar in nats times T², in at least single precision.

    Raises:
        UsageError: if the networks have other numbers of classes, on shapes or classes that do not fit, on NaN or
            infinity.
        TypeError: if the target does not hold whole numbers.

    Example:
        >>> student, teacher = torch.zeros(1, 3), torch.tensor([[4.0, 0.0, 0.0]])
        >>> dkd_loss(student, teacher, torch.tensor([0]))  # the other classes agree
        tensor(1.9726)
    """
    require_logits("dkd", student_logits, teacher_logits)
    require_classes(target, student_logits)
    require_positive("temperature", temperature)
    require_number("alpha", alpha, low=0)
    require_number("beta", beta, low=0)
    with autocast_off(student_logits):
        student, teacher = full_precision(student_logits), full_precision(teacher_logits.detach())
        others = ~is_class(target, student.shape[1])
        log_b_s, log_q_s = _decouple(student / temperature, target.long(), others)
        log_b_t, log_q_t = (part.to(student.dtype) for part in _decouple(teacher / temperature, target.long(), others))
        tckd = F.kl_div(log_b_s, log_b_t, log_target=True, reduction="sum")
        nckd = (torch.where(others, log_q_t.exp(), 0) * (log_q_t - log_q_s)).sum()
        return temperature**2 / len(target) * (alpha * tckd + beta * nckd)


def _decouple(logits: Tensor, target: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Return log (p_y, 1 − p_y), B×2, and log q, B×C with 0 at the target class."""
    own = logits.gather(1, target[:, None])
    rest = logits.masked_fill(~others, -torch.inf).logsumexp(dim=1, keepdim=True)
    log_binary = torch.cat([own, rest], dim=1) - torch.logaddexp(own, rest)
    return log_binary, torch.where(others, logits - rest, 0)
