"""What a batch is: the inputs of both networks, the targets and the row numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from wcord.checks import UsageError
from wcord.data.augment import ROTATIONS, rotated


@dataclass(frozen=True)
class Batch:
    """One mini-batch, as every term of a loss sees it.

    Attributes:
        student_input: the student's input, images as float32 in [0, 1], B×C×H×W.
        teacher_input: the teacher's input; the same tensor where both see the same.
        target: class numbers, B; or the shares of the classes in each sample, B×C, where samples are mixed; or its
            labels, B×C of 0 and 1 (float), where it may have several.
        index: row numbers in the training set, B, or None where there are none.
        rotations: 1; or 4 where each sample comes upright and turned by 90°, 180° and 270°: all samples upright, then
            all turned by 90°, and so on. Target and row number of a sample repeat.
    """

    student_input: Tensor
    teacher_input: Tensor
    target: Tensor
    index: Tensor | None = None
    rotations: int = 1

    def __len__(self) -> int:
        return self.target.shape[0]

    @property
    def upright_rows(self) -> int:
        """The rows that are not turned, which come first: all of them, or a quarter of a rotated batch."""
        return len(self) // self.rotations

    def upright(self) -> "Batch":
        """Return the rows that are not turned, as slices of the same memory; the batch itself if no row is turned."""
        if self.rotations == 1:
            return self
        rows = self.upright_rows
        student_input = self.student_input[:rows]
        shared = self.teacher_input is self.student_input
        return Batch(
            student_input,
            student_input if shared else self.teacher_input[:rows],
            self.target[:rows],
            None if self.index is None else self.index[:rows],
        )

    def rotated(self) -> "Batch":
        """Return the batch with each sample in four turned views, as methods with `Objective.rotations` need it.

        >>> image = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
        >>> batch = Batch(image, image, torch.tensor([7])).rotated()
        >>> batch.target.tolist(), batch.student_input[1].tolist(), len(batch.upright())
        ([7, 7, 7, 7], [[[2.0, 4.0], [1.0, 3.0]]], 1)

        Raises:
            UsageError: the inputs are not square pictures, or are rotated already.
        """
        if self.rotations != 1:
            raise UsageError("the batch holds rotated views already: leave out rotated()")
        student_input = rotated(self.student_input)
        shared = self.teacher_input is self.student_input
        return Batch(
            student_input,
            student_input if shared else rotated(self.teacher_input),
            torch.cat([self.target] * ROTATIONS),
            None if self.index is None else torch.cat([self.index] * ROTATIONS),
            rotations=ROTATIONS,
        )

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch on `device`; an input that both networks share stays shared."""
        student_input = self.student_input.to(device, non_blocking=True)
        shared = self.teacher_input is self.student_input
        return replace(
            self,
            student_input=student_input,
            teacher_input=student_input if shared else self.teacher_input.to(device, non_blocking=True),
            target=self.target.to(device, non_blocking=True),
            index=None if self.index is None else self.index.to(device, non_blocking=True),
        )

    def split(self, sizes: Sequence[int]) -> "list[Batch]":
        """Return its samples in batches of these sizes, which share its memory.

        >>> pair = torch.zeros(2, 1)
        >>> [len(part) for part in Batch(pair, pair, torch.tensor([0, 1])).split([1, 1])]
        [1, 1]
        """
        if len(sizes) == 1:
            return [self]
        sizes = list(sizes)
        student = self.student_input.split(sizes)
        shared = self.teacher_input is self.student_input
        teacher = student if shared else self.teacher_input.split(sizes)
        index = [None] * len(sizes) if self.index is None else self.index.split(sizes)
        parts = zip(student, teacher, self.target.split(sizes), index, strict=True)
        return [Batch(*part, rotations=self.rotations) for part in parts]
