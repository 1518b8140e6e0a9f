"""Correlation congruence (Peng, Jin, Liu, Zhou, Wu, Liu, Li and Zhang, ICCV 2019, arXiv 1904.01802)."""

from torch import Tensor

from wcord.checks import UsageError
from wcord.losses.embeddings import require_embeddings
from wcord.numerics import autocast_off, full_precision


def cc_loss(student_embedding: Tensor, teacher_embedding: Tensor) -> Tensor:
    r"""Return the mean product of the differences of neighbors in the batch.

    1/(B−1) Σ_{i<B} |d_i| · |d_{i+1}|,  d = s − t

    with s `student_embedding` and t `teacher_embedding` (B×D), |·| element by element and · the inner product. Each
    network's embedding has been brought to a common width by a linear layer (128 in the method). The loss depends on
    the order of the batch, and is 0 where every second sample agrees.

    This is the form of the public CRD benchmark's code, which had it from the paper's first author and weighs it 0.02.
    The paper's is another function: the squared Frobenius distance, over B², of the two B×B correlation matrices of the
    batch, the correlation being a Gaussian RBF kernel cut after some terms of its Taylor series. We follow the released
    code, which produced the published numbers.

    The teacher is *not* detached: the linear layer on its side trains. Detach the teacher's features before that layer.

    Args:
        student_embedding: s.
        teacher_embedding: t, of the same width.

    Returns:
        A scalar in at least single precision.

    Raises:
        UsageError: if the widths differ, if these are not the same two or more samples, on NaN or infinity.

    Example:
        >>> import torch
        >>> cc_loss(torch.tensor([[1.0, 2.0], [3.0, -1.0], [0.0, 1.0]]), torch.zeros(3, 2))
        tensor(3.)
    """
    require_embeddings(student_embedding, teacher_embedding, min_rows=2)
    if student_embedding.shape[1] != teacher_embedding.shape[1]:
        raise UsageError(
            f"cc subtracts the embeddings, received widths {student_embedding.shape[1]} and "
            f"{teacher_embedding.shape[1]}: bring both to one width with linear layers, as the method 'cc' does"
        )
    with autocast_off(student_embedding):
        difference = (full_precision(student_embedding) - full_precision(teacher_embedding)).abs()
        return (difference[:-1] * difference[1:]).sum(dim=1).mean()
