"""Checks shared by the losses on embeddings."""

from torch import Tensor

from wcord.checks import require_finite, require_matrix, require_same_rows


def require_embeddings(student_embedding: Tensor, teacher_embedding: Tensor, *, min_rows: int = 1) -> None:
    """Raise unless both are finite embeddings, B×D, of the same samples; the widths may differ.

    >>> import torch
    >>> require_embeddings(torch.zeros(2, 3), torch.zeros(1, 5))
    Traceback (most recent call last):
        ...
    wcord.checks.UsageError: student_embedding and teacher_embedding must hold the same samples, received 2 and 1 ...
    """
    for name, embedding in (("student_embedding", student_embedding), ("teacher_embedding", teacher_embedding)):
        require_matrix(name, embedding, min_rows=min_rows)
        require_finite(name, embedding)
    require_same_rows("student_embedding", student_embedding, "teacher_embedding", teacher_embedding)
