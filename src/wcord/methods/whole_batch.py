"""The inputs of a term: its part of a batch or all processes' parts, with all rotations or the upright rows alone."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from wcord import collectives
from wcord.data.batch import Batch
from wcord.features import Features

TermInputs = tuple[Features | None, Features, Batch]
"""The student's features, None if it does not run; the teacher's; and the batch."""


def upright(student: Features | None, teacher: Features, batch: Batch) -> TermInputs:
    """Return the rows that are not turned, as slices."""
    if batch.rotations == 1:
        return student, teacher, batch
    rows = batch.upright_rows
    student_features = None if student is None else student.first(rows)
    if teacher is student:
        assert student_features is not None
        return student_features, student_features, batch.upright()
    return student_features, teacher.first(rows), batch.upright()


def whole_batch(
    student: Features | None,
    teacher: Features,
    batch: Batch,
    *,
    student_maps: Sequence[str],
    teacher_maps: Sequence[str],
) -> TermInputs:
    """Return features, targets and row numbers of all processes, in the order of their ranks within each rotation.

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
        return view_major(collectives.gather_rows(rows, counts), counts, batch.rotations)

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


def view_major(rows: Tensor, counts: Sequence[int], views: int) -> Tensor:
    """Return rows that come process by process, and view by view in each, view by view over all processes.

    >>> view_major(torch.tensor([0, 1, 10, 11, 2, 12]), [4, 2], 2).tolist()
    [0, 1, 2, 10, 11, 12]

    Args:
        rows: of all processes, in the order of their ranks.
        counts: rows of each process, all its views together.
        views: of each sample.
    """
    if views == 1 or len(counts) == 1:
        return rows
    parts = [part.unflatten(0, (views, len(part) // views)) for part in rows.split(list(counts))]
    return torch.cat(parts, dim=1).flatten(0, 1)
