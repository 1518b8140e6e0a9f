"""Turned views of a sample beside their originals: similarities, and the selection of rows by rank."""

import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.checks import UsageError, require_finite, require_fraction, require_fractions, require_matrix
from wcord.data.augment import ROTATIONS
from wcord.numerics import autocast_off, in_common_precision, unit_rows

TURNED = ROTATIONS - 1
"""Turned views of a sample beside the upright one: by 90°, 180° and 270°."""


def turned_similarity(originals: Tensor, turned: Tensor) -> Tensor:
    r"""Return the cosines of each turned view of a batch with all of its originals.

    A[(j, k), i] = cos( v_kj, u_i ),  k = 1, 2, 3

    with u `originals` and v `turned`. The rows are ordered by sample, then by turn: row 3j + k − 1 is sample j turned
    by k · 90°, and its true column is j. SSKD (Xu, Liu, Li and Loy, ECCV 2020, arXiv 2006.07114, Eq. 1) and MLKD (Ding
    et al., 2020) compare these matrices of student and teacher. Lengths are guarded by `numerics.unit_rows`, so that a
    zero row has the cosine 0 with all others. Gradients reach both arguments.

    Args:
        originals: u, the embeddings of B upright samples, B×D.
        turned: v, those of their turned views, 3×B×D.

    Returns:
        A, 3B×B, in at least single precision.

    Raises:
        UsageError: on shapes that do not fit each other, on NaN or infinity.

    Example:
        >>> import torch
        >>> upright = torch.eye(2)
        >>> turned_similarity(upright, torch.stack([upright, upright, -upright])).round()
        tensor([[ 1.,  0.],
                [ 1.,  0.],
                [-1.,  0.],
                [ 0.,  1.],
                [ 0.,  1.],
                [ 0., -1.]])
    """
    require_matrix("originals", originals)
    require_fractions("turned", turned)
    if tuple(turned.shape) != (TURNED, *originals.shape):
        raise UsageError(
            f"turned must hold {TURNED} views of the {originals.shape[0]} originals of width {originals.shape[1]}, "
            f"received shape {tuple(turned.shape)}"
        )
    require_finite("originals", originals)
    require_finite("turned", turned)
    with autocast_off(originals):
        upright, views = in_common_precision(originals, turned)
        return unit_rows(by_sample(views.flatten(0, 1))) @ unit_rows(upright).t()


def by_sample(rows: Tensor) -> Tensor:
    """Return rows of turned views, turn after turn, in the order of the samples: row 3j + k − 1 is sample j, turn k.

    >>> by_sample(torch.tensor([10, 20, 11, 21, 12, 22])).tolist()
    [10, 11, 12, 20, 21, 22]
    """
    return rows.unflatten(0, (TURNED, rows.shape[0] // TURNED)).transpose(0, 1).flatten(0, 1)


def keep_by_rank(scores: Tensor, true: Tensor, *, share: float) -> Tensor:
    r"""Return which rows to keep: all whose true column scores highest, and a share of the others by their rank.

    The rank of a row is the number of its scores that are larger than that of its true column. Rows of rank 0 are kept,
    and of the n others the ⌊share · n⌋ of lowest rank; of equal ranks, the first rows.

    This is the selection of SSKD (arXiv 2006.07114, Section 3.3). The authors' code cuts equal ranks as an unstable
    sort happens to. It is a mask, since the number of rows must not be read on the host.

    Args:
        scores: R×C.
        true: the true column of each row, R.
        share: of the rows of rank 1 and above, in [0, 1].

    Returns:
        R, Boolean.

    Raises:
        UsageError: if the share is outside [0, 1].

    Example:
        >>> import torch
        >>> scores = torch.tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [3.0, 1.0, 2.0]])
        >>> keep_by_rank(scores, torch.tensor([1, 2, 0]), share=0.5)  # ranks 2, 1 and 0
        tensor([False,  True,  True])
    """
    require_fraction("share", share)
    rank = (scores > scores.gather(1, true[:, None])).sum(dim=1)
    wrong = (rank > 0).sum()
    precise = torch.float32 if scores.device.type == "mps" else torch.float64  # a floor has to be exact
    count = len(rank) - wrong + (wrong.to(precise) * share).floor().long()
    order = rank.argsort(stable=True)
    place = torch.empty_like(order).scatter(0, order, torch.arange(len(rank), device=order.device))
    return place < count


def kept_divergence(student: Tensor, teacher: Tensor, true: Tensor, *, temperature: float, share: float) -> Tensor:
    r"""Return the divergence of the student's rows from the teacher's, over the rows that the teacher ranks well.

    T² / |R| Σ_{r∈R} KL( softmax(t_r / T) ‖ softmax(s_r / T) ),  R = keep_by_rank(t, true)

    with s `student`, t `teacher` and T `temperature`; 0, attached to the graph, if no row is kept. The teacher is
    detached.

    Args:
        student: s, R×C.
        teacher: t, R×C.
        true: the true column of each row, R.
        temperature: T, above 0.
        share: of the rows of rank 1 and above, see `keep_by_rank`.

    Returns:
        A scalar in nats times T², in at least single precision.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[4.0, 0.0], [0.0, 4.0]])
        >>> kept_divergence(torch.zeros(2, 2), teacher, torch.tensor([0, 0]), temperature=4.0, share=0.0)
        tensor(1.7751)
    """
    with autocast_off(student):
        scores, target = in_common_precision(student, teacher.detach())
        log_student = F.log_softmax(scores / temperature, dim=1)
        log_teacher = F.log_softmax(target / temperature, dim=1)
        rows = F.kl_div(log_student, log_teacher, log_target=True, reduction="none").sum(dim=1)
        kept = keep_by_rank(target, true, share=share).to(rows)
        return temperature**2 * (rows * kept).sum() / kept.sum().clamp_min(1)
