"""Multi-level knowledge distillation by alignment, correlation and supervision (Ding, Yang, Hu, Krovi and Luo).

arXiv 2012.00573, 2020; as DLKD in IEEE TNNLS 35(2), 2024. Other methods have the name MLKD, too.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.checks import UsageError, require_finite, require_matrix, require_positive, require_same_shape
from wcord.checks import require_whole_numbers as require_labels
from wcord.data.augment import ROTATIONS
from wcord.host import may_read
from wcord.numerics import autocast_off, in_common_precision, unit_rows


def align_loss(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Return the mean squared distance of two networks' embeddings of the same rows on the unit sphere.

    1/N Σ_i | n(p_i) − n(t_i) |² = 2 − 2/N Σ_i cos(p_i, t_i)

    with p `student`, the student's embedding brought to the teacher's width by a head, t `teacher`, and n a row at unit
    length. It is the individual part of MLKD (arXiv 2012.00573), over all N = 4B rows of a rotated batch. Where we
    differ: `numerics.unit_rows` keeps a zero row finite, at distance 1.

    The teacher is detached.

    Args:
        student: p, N×D.
        teacher: t, N×D.

    Returns:
        A scalar in [0, 4], in at least single precision.

    Raises:
        UsageError: if the shapes differ, on NaN or infinity.

    Example:
        >>> import torch
        >>> align_loss(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 3.0]])).round(decimals=4)
        tensor(2.)
    """
    _require_pair("student", student, "teacher", teacher)
    with autocast_off(student):
        p, t = in_common_precision(student, teacher.detach())
        return (unit_rows(p) - unit_rows(t)).square().sum(dim=1).mean()


def correlation_loss(student_similarity: Tensor, teacher_similarity: Tensor, *, temperature: float = 0.5) -> Tensor:
    r"""Return the divergence of the student's softened similarities from the teacher's.

    1/R Σ_r KL( softmax(T_r / τ) ‖ softmax(S_r / τ) )

    with S `student_similarity`, T `teacher_similarity`, the cosines of turned views with the originals as
    `turned_similarity` returns them, and τ `temperature`. It is the relational part of MLKD (arXiv 2012.00573): other
    than SSKD's it keeps all rows and has no factor τ², as the authors' code.

    The teacher is detached.

    Args:
        student_similarity: S, R×B, with R = 3B in MLKD.
        teacher_similarity: T, R×B.
        temperature: τ, above 0.

    Returns:
        A scalar in nats, in at least single precision.

    Raises:
        UsageError: if the shapes differ, on NaN or infinity.

    Example:
        >>> import torch
        >>> correlation_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
        tensor(0.3278)
    """
    require_positive("temperature", temperature)
    _require_pair("student_similarity", student_similarity, "teacher_similarity", teacher_similarity)
    with autocast_off(student_similarity):
        scores, target = in_common_precision(student_similarity, teacher_similarity.detach())
        log_student = F.log_softmax(scores / temperature, dim=1)
        log_teacher = F.log_softmax(target / temperature, dim=1)
        return F.kl_div(log_student, log_teacher, log_target=True, reduction="batchmean")


def cross_network_supcon(student: Tensor, teacher: Tensor, labels: Tensor, *, temperature: float = 0.07) -> Tensor:
    r"""Return the supervised contrast of both networks' embeddings together.

    1/2N Σ_a −1/|P(a)| Σ_{p∈P(a)} ( s_ap − log Σ_{n≠a} exp s_an ),  s = e eᵀ / τ,  e = [ n(u); n(v) ]

    with u `student`, v `teacher`, n a row at unit length, τ `temperature`, and P(a) all other rows of a's class, in
    either network: at least its own row in the other network. It is the categorical part of MLKD (arXiv 2012.00573), on
    all N = 4B rows of a rotated batch; the contrast itself is that of Khosla et al. (NeurIPS 2020). Where we differ:
    the authors add 1e-7 to the sum inside the logarithm, after subtracting the largest exponent.

    The teacher is *not* detached: the linear layer on its side trains. Detach the teacher's features before that layer.

    Args:
        student: u, N×D.
        teacher: v, N×D.
        labels: the class of each row, N; or of each sample of a rotated batch, N/4, which then repeat view by view.
        temperature: τ, above 0.

    Returns:
        A scalar in nats, in at least single precision.

    Raises:
        UsageError: if the shapes differ, if labels do not fit the rows, on NaN or infinity.

    Example:
        >>> import torch
        >>> cross_network_supcon(torch.eye(2), torch.eye(2), torch.tensor([0, 1]), temperature=1.0)
        tensor(0.5514)
    """
    require_positive("temperature", temperature)
    _require_pair("student", student, "teacher", teacher)
    labels = _labels_of_rows(labels, len(student))
    with autocast_off(student):
        rows = torch.cat([unit_rows(each) for each in in_common_precision(student, teacher)])
        scores = rows @ rows.t() / temperature
        itself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
        of_class = torch.cat([labels, labels])
        positive = (of_class[:, None] == of_class) & ~itself
        among = scores.masked_fill(itself, float("-inf")).logsumexp(dim=1)
        mean = (scores * positive).sum(dim=1) / positive.sum(dim=1)
        return (among - mean).mean()


def _require_pair(first: str, a: Tensor, second: str, b: Tensor) -> None:
    for name, matrix in ((first, a), (second, b)):
        require_matrix(name, matrix, min_rows=1)
        require_finite(name, matrix)
    require_same_shape(first, a, second, b)


def _labels_of_rows(labels: Tensor, rows: int) -> Tensor:
    require_labels("labels", labels)
    if len(labels) not in (rows, rows / ROTATIONS):
        raise UsageError(
            f"labels must hold the class of each of {rows} rows, or of each sample of a rotated batch, received "
            f"{len(labels)}"
        )
    if may_read(labels) and int(labels.min()) < 0:
        raise UsageError(f"labels must be classes from 0 on, received {int(labels.min())}: leave out rows without one")
    return labels if len(labels) == rows else labels.repeat(ROTATIONS)
