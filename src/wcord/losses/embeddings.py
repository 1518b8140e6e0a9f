"""Checks shared by the losses on embeddings."""

from torch import Tensor

from wcord.checks import UsageError, require_finite, require_matrix, require_same_rows

NAMES = ("student_embedding", "teacher_embedding")


def require_embeddings(
    student_embedding: Tensor, teacher_embedding: Tensor, *, min_rows: int = 1, names: tuple[str, str] = NAMES
) -> None:
    """Raise unless both are finite embeddings, B×D, of the same samples; the widths may differ.

    >>> import torch
    >>> require_embeddings(torch.zeros(2, 3), torch.zeros(1, 5))
    Traceback (most recent call last):
        ...
    wcord.checks.UsageError: student_embedding and teacher_embedding must hold the same samples, received 2 and 1 ...
    """
    for name, embedding in zip(names, (student_embedding, teacher_embedding), strict=True):
        require_matrix(name, embedding, min_rows=min_rows)
        require_finite(name, embedding)
    require_same_rows(names[0], student_embedding, names[1], teacher_embedding)


def require_one_width(loss: str, student: Tensor, teacher: Tensor) -> None:
    """Raise unless both embeddings are as wide; the method of the loss's name has heads for that.

    >>> import torch
    >>> require_one_width("infonce", torch.zeros(2, 3), torch.zeros(2, 5))
    Traceback (most recent call last):
        ...
    wcord.checks.UsageError: infonce compares embeddings of one width, received 3 and 5: bring both to one width ...
    """
    if student.shape[1] != teacher.shape[1]:
        raise UsageError(
            f"{loss} compares embeddings of one width, received {student.shape[1]} and {teacher.shape[1]}: bring both "
            f"to one width with heads that train, as the method {loss!r} does"
        )
