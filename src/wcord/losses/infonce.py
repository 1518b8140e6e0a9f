"""InfoNCE inside the batch (van den Oord, Li and Vinyals, 2018, arXiv 1807.03748), between student and teacher."""

from torch import Tensor

from wcord.checks import require_positive
from wcord.losses.embeddings import require_embeddings, require_one_width
from wcord.numerics import autocast_off, in_common_precision, unit_rows

ROW_EPS = 1e-8
"""Added to the squared length of a row. The temperature magnifies what the guard changes, hence less than elsewhere."""


def infonce_loss(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    r"""Return how badly each student picks the teacher of its own sample among those of the batch.

    −1/B Σ_i log softmax_j( n(s_i) · n(t_j) / τ )_i,  n(x) = x / sqrt(|x|² + 1e-8)

    with s `student` and t `teacher` (B×D), projected to a common width by linear layers that belong to the method, and
    τ `temperature`. The other samples of the batch are the negatives, those of the same class among them; there is no
    memory. It has one direction, from the student to the teacher's samples: the form that most toolkits ship, and the
    plain baseline of what `crd`, `gckt` and `wcord` add to it. At chance it is log B.

    The teacher is *not* detached: the linear layer on its side trains. Detach the teacher's features before that layer.

    Args:
        student: s, B×D with B ≥ 2.
        teacher: t, B×D, of the same samples.
        temperature: τ, above 0.

    Returns:
        A scalar in at least single precision.

    Raises:
        UsageError: if the widths differ, if these are not the same two or more samples, on NaN or infinity.

    Example:
        >>> import torch
        >>> infonce_loss(torch.ones(2, 2), torch.eye(2), temperature=0.07).round(decimals=4)  # chance: log 2
        tensor(0.6931)
        >>> infonce_loss(torch.eye(3), 7 * torch.eye(3), temperature=0.07).round(decimals=4)
        tensor(0.)
    """
    require_embeddings(student, teacher, min_rows=2, names=("student", "teacher"))
    require_one_width("infonce", student, teacher)
    require_positive("temperature", temperature)
    with autocast_off(student):
        student, teacher = (unit_rows(x, eps=ROW_EPS) for x in in_common_precision(student, teacher))
        return -(student @ teacher.T / temperature).log_softmax(dim=1).diagonal().mean()
