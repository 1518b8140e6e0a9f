"""Contrast in both directions: student against teacher's memory and teacher against student's, with one draw."""

from torch import Tensor, nn

from wcord.checks import (
    UsageError,
    require_bool,
    require_counts,
    require_fraction,
    require_matrix,
    require_same_shape,
    require_tensor,
    require_whole_numbers,
)
from wcord.contrast.estimate import Objective
from wcord.contrast.memory import Bank, Queue
from wcord.contrast.nce import NCE, Constant, Estimator, NegativeChoice


class CrossedNCE(nn.Module):
    """Sum the contrastive losses of both sides' embeddings against a memory of the opposite side.

    With a number of samples each side has a `Bank`, and the positive is the *stored* opposite row, from before this
    batch (CRD). Without one each side has a `Queue`, and the positive is the *current* opposite embedding. `forward`
    reads, `write` writes; in which order and when is for the criterion to say.

    Args:
        embedding_dim: D.
        num_samples: N, size of the banks; None for queues.
        queue_size: size of the queues, where there is no N.
        momentum: weight of the old row in a bank.
        renormalize: keep a bank's rows at unit length.
        num_negatives: M, negatives per anchor.
        temperature: τ.
        objective: `nce` or `dual`.
        estimator: `sampled`, `expected` or `shared`.
        constant: `first`, `refresh` or `analytic`.
        negatives: `uniform` or `other_class`.

    Example:
        >>> import torch
        >>> contrast = CrossedNCE(4, num_samples=9, queue_size=9, momentum=0.5, renormalize=True, num_negatives=3,
        ...                       temperature=0.1, objective="nce", estimator="expected", constant="first",
        ...                       negatives="uniform")
        >>> student, teacher, index = torch.rand(2, 4), torch.rand(2, 4), torch.tensor([0, 5])
        >>> bool(contrast(student, teacher, index) > 0)
        True
        >>> contrast.write(student, teacher, index)
    """

    def __init__(
        self,
        embedding_dim: int,
        *,
        num_samples: int | None,
        queue_size: int,
        momentum: float,
        renormalize: bool,
        num_negatives: int,
        temperature: float,
        objective: Objective,
        estimator: Estimator,
        constant: Constant,
        negatives: NegativeChoice,
    ) -> None:
        super().__init__()
        require_counts(embedding_dim=embedding_dim, queue_size=queue_size)
        require_fraction("momentum", momentum)
        require_bool("renormalize", renormalize)

        def memory() -> Bank | Queue:
            if num_samples is None:
                return Queue(queue_size, embedding_dim)
            return Bank(num_samples, embedding_dim, momentum=momentum, renormalize=renormalize)

        def direction() -> NCE:
            return NCE(
                embedding_dim,
                num_negatives=num_negatives,
                temperature=temperature,
                objective=objective,
                estimator=estimator,
                constant=constant,
                negatives=negatives,
            )

        self.student_memory, self.teacher_memory = memory(), memory()
        self.student_nce, self.teacher_nce = direction(), direction()

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        index: Tensor | None = None,
        *,
        labels: Tensor | None = None,
        negative_index: Tensor | None = None,
    ) -> Tensor:
        """Return the sum of both directions.

        Args:
            student: embeddings of the student, B×D.
            teacher: embeddings of the teacher, B×D.
            index: row numbers in the training set, B; needed by banks, not used by queues.
            labels: classes, B, for `other_class`.
            negative_index: the draw, B×K; made here, once for both directions, when None.
        """
        require_matrix("student", student)
        require_matrix("teacher", teacher)
        require_same_shape("student", student, "teacher", teacher)
        if labels is not None:
            require_whole_numbers("labels", labels, len(student))
        student_row, teacher_row = self._stored(student, teacher, index)
        if negative_index is None:
            negative_index = self.student_nce.draw(self.teacher_memory, student.shape[0], labels=labels)
        elif isinstance(self.teacher_memory, Bank):
            self.teacher_memory.check(negative_index)
        of_student = self.student_nce(student, teacher_row, self.teacher_memory, index=negative_index, labels=labels)
        of_teacher = self.teacher_nce(teacher, student_row, self.student_memory, index=negative_index, labels=labels)
        return of_student + of_teacher

    def write(
        self,
        student: Tensor,
        teacher: Tensor,
        index: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        checked: bool = False,
    ) -> None:
        """Write both sides' embeddings into their memories.

        The index is looked at once, and not at all if it was `checked` before, as `forward` does.
        """
        for memory, rows in ((self.student_memory, student), (self.teacher_memory, teacher)):
            if isinstance(memory, Bank):
                memory.write(rows, _required(index), labels, checked=checked)
                checked = True
            else:
                memory.write(rows, labels)

    def _stored(self, student: Tensor, teacher: Tensor, index: Tensor | None) -> tuple[Tensor, Tensor]:
        if isinstance(self.student_memory, Bank) and isinstance(self.teacher_memory, Bank):
            index = _required(index)
            require_tensor("index", index)
            if index.shape != student.shape[:1]:
                raise UsageError(
                    f"index must hold one row number per sample, received shape {tuple(index.shape)} for a batch of "
                    f"{student.shape[0]}"
                )
            return self.student_memory.read(index), self.teacher_memory.read(index, checked=True)
        return student, teacher


def _required(index: Tensor | None) -> Tensor:
    if index is None:
        raise UsageError(
            "num_samples was given, so every batch needs its row numbers in the training set, received none: "
            "pass index, or leave num_samples out to use a queue"
        )
    return index
