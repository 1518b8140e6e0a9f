"""Self-supervision as an auxiliary task of distillation (Xu, Liu, Li and Loy, ECCV 2020, arXiv 2006.07114)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.checks import UsageError, require_finite, require_fraction, require_matrix, require_positive, require_tensor
from wcord.data.augment import ROTATIONS
from wcord.losses.kd import kd_loss
from wcord.losses.logits import require_classes, require_logits
from wcord.losses.turned import TURNED, by_sample, kept_divergence
from wcord.numerics import autocast_off, full_precision


def sskd_head_loss(similarity: Tensor) -> Tensor:
    r"""Return how well turned views find their own originals by similarity.

    −1/(3B) Σ_{j,k} log softmax(A_(j,k))_j

    with A `similarity`, see `turned_similarity`: the cross-entropy of each row with its sample's column, at temperature
    1. It trains the teacher's head before the main stage. Cosines lie in [−1, 1], so that it cannot go far below
    ln B: at B = 64 it ends near 3.4, from 4.16, while the share of views that find their original rises.

    Args:
        similarity: A, 3B×B.

    Returns:
        A scalar in nats, in at least single precision.

    Raises:
        UsageError: if there are not three rows for each column, on NaN or infinity.

    Example:
        >>> import torch
        >>> sskd_head_loss(torch.zeros(6, 2))
        tensor(0.6931)
    """
    _require_similarity("similarity", similarity)
    with autocast_off(similarity):
        return F.cross_entropy(full_precision(similarity), true_columns(similarity))


def sskd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    student_similarity: Tensor,
    teacher_similarity: Tensor,
    target: Tensor,
    *,
    temperature: float = 4.0,
    turned_temperature: float = 4.0,
    similarity_temperature: float = 0.5,
    keep_turned: float = 1.0,
    keep_similarity: float = 0.75,
) -> dict[str, Tensor]:
    r"""Return the three parts of SSKD beside cross-entropy, each without its weight.

    kd = T² / B Σ_j KL( σ(t_j / T) ‖ σ(s_j / T) ), over upright rows j

    turned = T'² / |R| Σ_{r∈R} KL( σ(t_r / T') ‖ σ(s_r / T') ), over turned rows r

    similarity = T''² / |Q| Σ_{q∈Q} KL( σ(A^T_q / T'') ‖ σ(A^S_q / T'') ), over rows of similarities

    with s and t the logits, σ the softmax of a row, and A as `turned_similarity` returns it. R and Q are the rows that
    the teacher ranks well by the label, and by the row's own original, see `turned.keep_by_rank`. Cross-entropy on
    upright rows comes beside them; the weights are 0.1, 0.9, 2.7 and 10 in the authors' code, which we follow (the text
    of the paper has 2.7 at the similarities and 10 at the turned logits).

    Where we differ: equal ranks are cut by the order of the samples, where the authors' sort is not stable; and if no
    row is kept a part is 0, where the authors' mean is NaN.

    The teacher is detached.

    Args:
        student_logits: s, 4B×K, view-major: B upright rows, then the B samples turned by 90°, by 180° and by 270°.
        teacher_logits: t, in the same order.
        student_similarity: A^S, 3B×B.
        teacher_similarity: A^T, 3B×B.
        target: class numbers of the samples, B, or of all rows, 4B.
        temperature: T, above 0.
        turned_temperature: T', above 0.
        similarity_temperature: T'', above 0.
        keep_turned: share of the wrong turned rows that is kept, in [0, 1].
        keep_similarity: share of the wrong rows of similarities that is kept, in [0, 1].

    Returns:
        `kd`, `turned` and `similarity`: scalars in nats times the squared temperature, in at least single precision.

    Raises:
        UsageError: on shapes that do not fit each other, options out of bounds, NaN or infinity.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(8, 2), torch.tensor([[4.0, 0.0]]).expand(8, 2)
        >>> parts = sskd_loss(student, teacher, torch.zeros(6, 2), torch.zeros(6, 2), torch.tensor([0, 1]))
        >>> {name: round(part.item(), 4) for name, part in parts.items()}
        {'kd': 1.7751, 'turned': 1.7751, 'similarity': 0.0}
    """
    require_logits("sskd", student_logits, teacher_logits)
    for name, similarity in (("student_similarity", student_similarity), ("teacher_similarity", teacher_similarity)):
        _require_similarity(name, similarity)
    samples = student_similarity.shape[1]
    if teacher_similarity.shape != student_similarity.shape or student_logits.shape[0] != ROTATIONS * samples:
        raise UsageError(
            f"sskd compares the four views of the same samples, received {student_logits.shape[0]} rows of logits and "
            f"similarities with {samples} and {teacher_similarity.shape[1]} originals: give 4B, B and B"
        )
    require_tensor("target", target)
    if target.shape[:1] == student_logits.shape[:1]:
        target = target[:samples]
    upright = student_logits[:samples], teacher_logits[:samples]
    turned = student_logits[samples:], teacher_logits[samples:]
    return {
        "kd": kd_loss(*upright, temperature=temperature),
        "turned": sskd_turned_loss(*turned, target, turned_temperature=turned_temperature, keep_turned=keep_turned),
        "similarity": sskd_similarity_loss(
            student_similarity,
            teacher_similarity,
            similarity_temperature=similarity_temperature,
            keep_similarity=keep_similarity,
        ),
    }


def sskd_turned_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    target: Tensor,
    *,
    turned_temperature: float = 4.0,
    keep_turned: float = 1.0,
) -> Tensor:
    """Return the part `turned` of `sskd_loss`, of the turned rows alone.

    Args:
        student_logits: 3B×K, all samples turned by 90°, then by 180°, then by 270°.
        teacher_logits: in the same order.
        target: class numbers of the samples, B.
        turned_temperature: T', above 0.
        keep_turned: share of the wrong rows that is kept, in [0, 1].

    >>> teacher = torch.tensor([[4.0, 0.0]]).expand(6, 2)
    >>> sskd_turned_loss(torch.zeros(6, 2), teacher, torch.tensor([0, 1]), keep_turned=0.0)
    tensor(1.7751)
    """
    require_positive("turned_temperature", turned_temperature)
    require_fraction("keep_turned", keep_turned)
    require_logits("sskd", student_logits, teacher_logits)
    require_classes(target, student_logits[: len(student_logits) // TURNED])
    return kept_divergence(
        by_sample(student_logits),
        by_sample(teacher_logits),
        target.repeat_interleave(TURNED),
        temperature=turned_temperature,
        share=keep_turned,
    )


def sskd_similarity_loss(
    student_similarity: Tensor,
    teacher_similarity: Tensor,
    *,
    similarity_temperature: float = 0.5,
    keep_similarity: float = 0.75,
) -> Tensor:
    """Return the part `similarity` of `sskd_loss`.

    Args:
        student_similarity: A^S, 3B×B.
        teacher_similarity: A^T, 3B×B.
        similarity_temperature: T'', above 0.
        keep_similarity: share of the rows of rank 1 and above that is kept, in [0, 1].

    >>> sskd_similarity_loss(torch.zeros(3, 1), torch.ones(3, 1))  # a single sample has no others
    tensor(0.)
    """
    require_positive("similarity_temperature", similarity_temperature)
    require_fraction("keep_similarity", keep_similarity)
    _require_similarity("student_similarity", student_similarity)
    _require_similarity("teacher_similarity", teacher_similarity)
    return kept_divergence(
        student_similarity,
        teacher_similarity,
        true_columns(teacher_similarity),
        temperature=similarity_temperature,
        share=keep_similarity,
    )


def true_columns(similarity: Tensor) -> Tensor:
    """Return the column of each row's own original, 3B.

    >>> true_columns(torch.zeros(6, 2))
    tensor([0, 0, 0, 1, 1, 1])
    """
    return torch.arange(similarity.shape[0], device=similarity.device) // TURNED


def _require_similarity(name: str, similarity: Tensor) -> None:
    require_matrix(name, similarity)
    rows, columns = similarity.shape
    if rows != TURNED * columns:
        raise UsageError(
            f"{name} must hold a row for each of three turned views of its originals, 3B×B, received {rows}×{columns}"
        )
    require_finite(name, similarity)
