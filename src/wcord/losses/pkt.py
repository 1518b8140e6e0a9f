"""Probabilistic knowledge transfer (Passalis and Tefas, ECCV 2018, arXiv 1803.10837)."""

import torch
from torch import Tensor

from wcord.losses.embeddings import require_embeddings
from wcord.numerics import autocast_off, full_precision

EPS = 1e-7
"""Added to lengths, and to both probabilities before their ratio, as in the authors' code."""
MIN_LENGTH = 1e-3
"""Least length that an embedding is divided by: bounds the gradient at a zero row by 1000."""


def pkt_loss(student_embedding: Tensor, teacher_embedding: Tensor) -> Tensor:
    r"""Return the divergence of the student's neighbor probabilities from the teacher's.

    1/B² Σ_ij p_ij log( (p_ij + ε) / (q_ij + ε) ),  q_ij = c_ij / Σ_k c_ik,  c_ij = (1 + cos(s_i, s_j)) / 2

    with s `student_embedding` and p the same of t `teacher_embedding` (B×D, own widths), ε = 1e-7. A sample is among
    its own neighbors.

    The paper sums the divergences of the rows; the authors' code, which the public CRD benchmark has taken over with
    weight 30000, takes the mean over all B² pairs and adds ε, as here (also to the lengths in the cosine). Where we
    differ: a length counts as 1e-3 at least, where the code has no finite gradient at zero; c is held above 0; q − p is
    added to each pair, which sums to nothing, since all rows sum to 1, but lets rounding errors cancel: in single
    precision the value has a tenth of the error, which matters since it is small and weighs much.

    The teacher is detached.

    Args:
        student_embedding: s.
        teacher_embedding: t.

    Returns:
        A scalar in nats, in at least single precision.

    Raises:
        UsageError: if these are not the same two or more samples, on NaN or infinity.

    Example:
        >>> import torch
        >>> pkt_loss(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.ones(2, 3))
        tensor(0.0294)
    """
    require_embeddings(student_embedding, teacher_embedding, min_rows=2)
    with autocast_off(student_embedding):
        q = _neighbors(full_precision(student_embedding))
        p = _neighbors(full_precision(teacher_embedding.detach())).to(q.dtype)
        return (p * ((p + EPS) / (q + EPS)).log() + q - p).mean()


def _neighbors(embedding: Tensor) -> Tensor:
    length = torch.linalg.vector_norm(embedding, dim=1, keepdim=True) + EPS
    unit = embedding / length.clamp_min(MIN_LENGTH)
    closeness = ((unit @ unit.t() + 1) / 2).clamp_min(0)
    return closeness / closeness.sum(dim=1, keepdim=True)
