"""Bring together what all processes see of a batch, for terms that compare its samples or keep statistics of it."""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from wcord import collectives
from wcord.data.batch import Batch
from wcord.features import Features

Seen = tuple[Features | None, Features, Batch]
"""What a term sees: the student's features, if it runs, the teacher's, and the batch."""


def whole_batch(
    student: Features | None,
    teacher: Features,
    batch: Batch,
    *,
    student_maps: Sequence[str],
    teacher_maps: Sequence[str],
) -> Seen:
    """Return features, targets and row numbers of all processes, in the order of their ranks.

    The gradient goes back as `collectives.gather_rows` says. The inputs, which no term reads, stay this process's.

    Args:
        student: features of this process's part; None where the student does not run.
        teacher: the teacher's, or the student's where no teacher runs.
        batch: this process's part.
        student_maps: the maps to bring together; the others are left out.
        teacher_maps: as `student_maps`.
    """
    counts = collectives.row_counts(len(batch), batch.target.device)

    def rows(own: Tensor) -> Tensor:
        return collectives.gather_rows(own, counts)

    def features(own: Features, maps: Sequence[str]) -> Features:
        return Features(rows(own.logits), rows(own.embedding), {name: rows(own.maps[name]) for name in maps})

    index = None if batch.index is None else rows(batch.index)
    together = replace(batch, target=rows(batch.target), index=index)
    seen = None if student is None else features(student, student_maps)
    if teacher is student:
        assert seen is not None
        return seen, seen, together
    return seen, features(teacher, teacher_maps), together
