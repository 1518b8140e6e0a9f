"""Gather a batch from all processes, for terms that compare its samples or keep statistics of them."""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from wcord import collectives
from wcord.data.batch import Batch
from wcord.features import Features

TermInputs = tuple[Features | None, Features, Batch]
"""The student's features, None if it does not run; the teacher's; and the batch."""


def whole_batch(
    student: Features | None,
    teacher: Features,
    batch: Batch,
    *,
    student_maps: Sequence[str],
    teacher_maps: Sequence[str],
) -> TermInputs:
    """Return features, targets and row numbers of all processes, in the order of their ranks.

    The gradient goes back as `collectives.gather_rows` describes. The inputs, which no term reads, stay local.

    Args:
        student: features of this process's part; None if the student does not run.
        teacher: the teacher's, or the student's if no teacher runs.
        batch: this process's part.
        student_maps: the maps to gather; the others are left out.
        teacher_maps: as `student_maps`.
    """
    counts = collectives.row_counts(len(batch), batch.target.device)

    def gather(rows: Tensor) -> Tensor:
        return collectives.gather_rows(rows, counts)

    def gather_features(local: Features, maps: Sequence[str]) -> Features:
        return Features(
            gather(local.logits), gather(local.embedding), {name: gather(local.maps[name]) for name in maps}
        )

    index = None if batch.index is None else gather(batch.index)
    whole = replace(batch, target=gather(batch.target), index=index)
    student_features = None if student is None else gather_features(student, student_maps)
    if teacher is student:
        assert student_features is not None
        return student_features, student_features, whole
    return student_features, gather_features(teacher, teacher_maps), whole
