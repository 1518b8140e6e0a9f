"""Contrast in both directions: student against teacher's memory and teacher against student's, with one draw."""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from wcord.checks import (
    UsageError,
    require_choice,
    require_counts,
    require_fraction,
    require_matrix,
    require_positive,
    require_same_shape,
    require_tensor,
    require_whole_numbers,
)
from wcord.contrast.draws import draw_other_class, draw_rows
from wcord.contrast.estimate import Negatives, log_mean_exp_score, loss_against
from wcord.contrast.memory import Bank, Queue
from wcord.numerics import Settles

Estimator = Literal["sampled", "expected", "shared"]
NegativeChoice = Literal["uniform", "other_class"]

NUM_NEGATIVES = 16384
"""Negatives per anchor, from CRD's public code."""
TEMPERATURE = 0.07
"""Temperature of the scores, from CRD's public code."""


class CrossedNCE(nn.Module):
    """Sum the contrastive losses of both sides' embeddings against a memory of the opposite side.

    With a number of samples each side has a `Bank`, and the positive is the *stored* opposite row, from before this
    batch (CRD). Without one each side has a `Queue`, and the positive is the *current* opposite embedding. `forward`
    reads and `write` writes; the caller decides when. An empty memory (a queue's first step) offers nothing to contrast
    with: the loss is then a zero that is attached to the graph.

    The loss of a direction is `nce_loss`, with a `NormalizingConstant` for each direction.

    Args:
        embedding_dim: D.
        num_samples: N, size of the banks; None for queues.
        queue_size: size of the queues, if there are no banks.
        momentum: weight of the old row in a bank.
        renormalize: keep a bank's rows at unit length.
        num_negatives: M, negatives per anchor.
        temperature: τ.
        estimator: `sampled` (one draw per anchor), `expected` (every row, weighted) or `shared` (one draw per batch).
        negatives: `uniform` over the valid rows, or `other_class`, over those of other classes than the anchor's.

    Raises:
        UsageError: on an unknown choice, or on `other_class` without labels.

    Example:
        >>> import torch
        >>> contrast = CrossedNCE(4, num_samples=9, queue_size=9, momentum=0.5, renormalize=True, num_negatives=3,
        ...                       temperature=0.1, estimator="expected", negatives="uniform")
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
        estimator: Estimator,
        negatives: NegativeChoice,
    ) -> None:
        super().__init__()
        require_counts(embedding_dim=embedding_dim, queue_size=queue_size, num_negatives=num_negatives)
        require_positive("temperature", temperature)
        require_fraction("momentum", momentum)
        require_choice("estimator", estimator, get_args(Estimator))
        require_choice("negatives", negatives, get_args(NegativeChoice))
        self.num_negatives = num_negatives
        self.temperature = temperature
        self.estimator = estimator
        self.negatives = negatives

        def memory() -> Bank | Queue:
            if num_samples is None:
                return Queue(queue_size, embedding_dim)
            return Bank(num_samples, embedding_dim, momentum=momentum, renormalize=renormalize)

        self.student_memory, self.teacher_memory = memory(), memory()
        self.student_nce, self.teacher_nce = NormalizingConstant(), NormalizingConstant()

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
            negative_index: the draw, B×K; drawn here, once for both directions, when None.
        """
        self._check(student, teacher, labels)
        student_row, teacher_row = self._positives(student, teacher, index)
        labels = self._needed(labels)
        if self.teacher_memory.num_valid == 0:
            return (student.sum() + teacher.sum()) * 0.0
        draw = self.draw(len(student), labels=labels) if negative_index is None else negative_index
        against_student = self._pack(student, self.teacher_memory, draw, labels, check=negative_index is not None)
        against_teacher = self._pack(teacher, self.student_memory, draw, labels, check=negative_index is not None)
        of_student = self._direction(self.student_nce, student, teacher_row, against_student)
        of_teacher = self._direction(self.teacher_nce, teacher, student_row, against_teacher)
        return of_student + of_teacher

    @torch.no_grad()
    def draw(
        self, batch: int, *, labels: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor | None:
        """Return the row numbers of a batch's negatives as the estimator needs them: B×K, K, or None for all rows.

        Rows are drawn without replacement while there are enough of them, with replacement beyond; see `draw_rows`.
        """
        labels = self._needed(labels)
        memory = self.teacher_memory
        if self.estimator == "expected" or memory.num_valid == 0:
            return None
        if self.estimator == "sampled" and labels is not None:
            return draw_other_class(memory.labels, labels, self.num_negatives, generator=generator)
        anchors = batch if self.estimator == "sampled" else 1
        device = memory.storage.device
        drawn = draw_rows(memory.num_valid, self.num_negatives, batch=anchors, device=device, generator=generator)
        return drawn if self.estimator == "sampled" else drawn[0]

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

        The values of the index are checked once, and not at all if they were `checked` before, as `forward` does.
        """
        for memory, rows in ((self.student_memory, student), (self.teacher_memory, teacher)):
            if isinstance(memory, Bank):
                memory.write(rows, _required(index), labels, checked=checked)
                checked = True
            else:
                memory.write(rows, labels)

    def _check(self, student: Tensor, teacher: Tensor, labels: Tensor | None) -> None:
        require_matrix("student", student)
        require_matrix("teacher", teacher)
        require_same_shape("student", student, "teacher", teacher)
        width = self.teacher_memory.storage.shape[1]
        if student.shape[1] != width:
            raise UsageError(f"student must be as wide as the memory, {width}, received {student.shape[1]}")
        if labels is not None:
            require_whole_numbers("labels", labels, len(student))

    def _positives(self, student: Tensor, teacher: Tensor, index: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the student's and the teacher's embedding of each sample: stored rows of banks, else the batch's."""
        if not (isinstance(self.student_memory, Bank) and isinstance(self.teacher_memory, Bank)):
            return student, teacher
        index = _required(index)
        require_tensor("index", index)
        if index.shape != student.shape[:1]:
            raise UsageError(
                f"index must hold one row number per sample, received shape {tuple(index.shape)} for a batch of "
                f"{student.shape[0]}"
            )
        return self.student_memory.read(index), self.teacher_memory.read(index, checked=True)

    def _needed(self, labels: Tensor | None) -> Tensor | None:
        if self.negatives == "uniform":
            return None
        if labels is None:
            raise UsageError("negatives='other_class' needs the class of every sample: pass labels, or use 'uniform'")
        return labels

    def _pack(
        self, anchor: Tensor, memory: Bank | Queue, draw: Tensor | None, labels: Tensor | None, *, check: bool
    ) -> Negatives:
        # A matrix of row numbers holds all negatives; a shared draw, or all rows, stand for M of them.
        total = draw.shape[1] if draw is not None and draw.dim() == 2 else self.num_negatives
        packed = Negatives(memory.rows, draw, total, labels, None if labels is None else memory.labels)
        if check:
            if isinstance(memory, Bank) and draw is not None:
                memory.check(draw)
            packed.require_fit(anchor)
        return packed

    def _direction(
        self, constant: "NormalizingConstant", anchor: Tensor, positive: Tensor, negatives: Negatives
    ) -> Tensor:
        def of_batch() -> Tensor:
            return log_mean_exp_score(anchor, positive, negatives, temperature=self.temperature)

        log_mean_exp = constant(of_batch)
        return loss_against(negatives, anchor, positive, temperature=self.temperature, log_mean_exp=log_mean_exp)


class NormalizingConstant(Settles):
    """Log(Z/N) of one direction: set by the first training-mode step, positives included, and fixed from then on (CRD).

    Both buffers are persistent, and only `load_state_dict` may change them from outside: whether the constant is set is
    cached, since reading it would wait for a GPU. In eval mode the constant never changes; if it is not set yet, it is
    computed from the batch and not stored.
    """

    log_mean_exp: Tensor
    is_set: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("log_mean_exp", torch.tensor(0.0))
        self.register_buffer("is_set", torch.tensor(False))
        self._was_set = False
        self.register_load_state_dict_post_hook(_forget)

    @property
    def settled(self) -> bool:
        """Whether the constant is set."""
        self._was_set = self._was_set or bool(self.is_set)
        return self._was_set

    @torch.no_grad()
    def forward(self, of_batch: Callable[[], Tensor]) -> Tensor:
        """Return the constant; `of_batch` computes that of the batch, and is called if the constant is not set."""
        if self.settled:
            return self.log_mean_exp
        current = of_batch()
        if not self.training:
            return current
        self.log_mean_exp.copy_(current)
        self.is_set.fill_(True)
        self._was_set = True
        return self.log_mean_exp


def _forget(constant: NormalizingConstant, _: object) -> None:
    """Let the next step read whether the loaded state has a constant."""
    constant._was_set = False


def _required(index: Tensor | None) -> Tensor:
    if index is None:
        raise UsageError(
            "num_samples was given, so every batch needs its row numbers in the training set, received none: "
            "pass index, or leave num_samples out to use a queue"
        )
    return index
