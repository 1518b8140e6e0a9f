"""What a run saves so that its report needs neither data nor networks."""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from wcord.checks import UsageError, require_same_rows
from wcord.data.sources.arrays import read_npz
from wcord.evaluation.accuracy import Predictions
from wcord.evaluation.information import map_to_teacher
from wcord.files import write_atomically
from wcord.numerics import evenly_spaced, row_blocks
from wcord.paths import require_file
from wcord.seal import damage_of_archive, seal_archive
from wcord.transport import cosine_cost, sinkhorn

LOGIT_ENTRIES = 20_000_000
"""Most logits saved per network: 40 MB as float16. Of larger test sets, evenly spaced rows are saved."""
EMBEDDING_ROWS = 1000
PLAN_CLASSES, PLAN_ROWS = 8, 64
PLAN_EPSILON, PLAN_ITERATIONS = 0.05, 200
GALLERY = 24
THUMBNAIL = 96


@dataclass(frozen=True)
class Analysis:
    """Arrays of one run on its test set (N samples, C classes); the teacher's are None where they do not apply.

    Attributes:
        targets: true classes, N.
        student_top1: classes predicted by the student, N.
        teacher_top1: classes predicted by the teacher, N; None without a teacher or if its classes differ.
        logit_rows: rows of the test set whose logits are saved, L.
        student_logits: L×C, float16.
        teacher_logits: L×C, float16, or None as for `teacher_top1`.
        embedding_rows: rows whose embeddings are saved, E ≤ 1000.
        student_embeddings: E×D, float16.
        teacher_embeddings: E×D', float16, or None without a teacher.
        plan: transport plan of one batch, B×B with B ≤ 64 and sum 1: student's samples by teacher's.
        plan_rows: the samples of that batch, sorted by class, B.
        gallery_rows: samples that the student gets wrong and the teacher, if comparable, right, G ≤ 24.
        gallery: their thumbnails, G×H×W×(1 or 3), uint8.
    """

    targets: NDArray[Any]
    student_top1: NDArray[Any]
    logit_rows: NDArray[Any]
    student_logits: NDArray[Any]
    embedding_rows: NDArray[Any]
    student_embeddings: NDArray[Any]
    gallery_rows: NDArray[Any]
    gallery: NDArray[Any]
    teacher_top1: NDArray[Any] | None = None
    teacher_logits: NDArray[Any] | None = None
    teacher_embeddings: NDArray[Any] | None = None
    plan: NDArray[Any] | None = None
    plan_rows: NDArray[Any] | None = None

    def save(self, path: str | Path) -> None:
        """Write the arrays to a compressed .npz; the file is complete or absent at any moment."""
        present = {field.name: getattr(self, field.name) for field in fields(self)}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{name: array for name, array in present.items() if array is not None})
        write_atomically(path, seal_archive(buffer))

    @classmethod
    def load(cls, path: str | Path) -> "Analysis":
        """Read what `save` wrote.

        Raises:
            UsageError: if the file is missing, damaged or of another kind.
        """
        file = require_file(path, "analysis")
        try:
            damage = damage_of_archive(file)
            if damage is not None:
                raise ValueError(damage)
            return cls(**read_npz(file))
        except Exception as error:  # a file of another kind may raise anything
            raise UsageError(
                f"analysis {str(file)!r} cannot be read ({error}): evaluate the run again, or delete the file for "
                "a report without it"
            ) from error


def analyze(
    student: Predictions,
    teacher: Predictions | None,
    images: Callable[[Tensor], Tensor] | None,
    *,
    same_labels: bool = True,
) -> Analysis:
    """Reduce the predictions of a run to what its report shows.

    Args:
        student: predictions of the student on the test set.
        teacher: predictions of the teacher on the same samples in the same order, or None.
        images: returns the images of given rows, B×C×H×W, uint8 or floating-point in [0, 1]; None if the
            samples are not images.
        same_labels: whether equal numbers of classes mean the same classes.

    Raises:
        UsageError: if the two have different numbers of samples.
    """
    if teacher is not None:
        require_same_rows("the student's predictions", student.logits, "the teacher's predictions", teacher.logits)
    same_labels = same_labels and teacher is not None and teacher.num_classes == student.num_classes
    comparable = teacher if same_labels else None
    logit_rows = evenly_spaced(len(student), max(1, LOGIT_ENTRIES // student.num_classes))
    embedding_rows = evenly_spaced(len(student), EMBEDDING_ROWS)
    missed = torch.zeros(0, dtype=torch.long) if images is None else _mistakes(student, comparable)
    plan_rows = None if teacher is None else _batch_of_few_classes(student.targets)
    plan = None if teacher is None or plan_rows is None else _plan(student, teacher, plan_rows)
    return Analysis(
        targets=student.targets.numpy().astype(np.int32),
        student_top1=student.top1.numpy().astype(np.int32),
        teacher_top1=None if comparable is None else comparable.top1.numpy().astype(np.int32),
        logit_rows=logit_rows.numpy(),
        student_logits=_half(student.logits[logit_rows]),
        teacher_logits=None if comparable is None else _half(comparable.logits[logit_rows]),
        embedding_rows=embedding_rows.numpy(),
        student_embeddings=_half(student.embeddings[embedding_rows]),
        teacher_embeddings=None if teacher is None else _half(teacher.embeddings[embedding_rows]),
        plan=None if plan is None else plan.numpy().astype(np.float32),
        plan_rows=None if plan_rows is None else plan_rows.numpy(),
        gallery_rows=missed.numpy(),
        gallery=_thumbnails(images(missed)) if images is not None and len(missed) else np.zeros((0, 1, 1, 1), np.uint8),
    )


def _half(x: Tensor) -> NDArray[Any]:
    return x.clamp(-65504.0, 65504.0).half().numpy()  # float16 would turn larger numbers into infinity


def _mistakes(student: Predictions, teacher: Predictions | None) -> Tensor:
    """Return the samples that the student misses by most: teacher's minus student's probability of the truth."""
    truth = student.targets
    gap = 1.0 - _share_of_truth(student.logits, truth)
    missed = student.top1 != truth
    if teacher is not None:
        missed &= teacher.top1 == truth
        gap += _share_of_truth(teacher.logits, truth) - 1.0
    candidates = missed.nonzero().flatten()
    return candidates[gap[candidates].argsort(descending=True, stable=True)[:GALLERY]]


def _share_of_truth(logits: Tensor, truth: Tensor) -> Tensor:
    """Return the probability of each sample's true class."""
    pairs = row_blocks(logits, truth)
    return torch.cat([block.softmax(dim=1).gather(1, classes[:, None])[:, 0] for block, classes in pairs])


def _batch_of_few_classes(targets: Tensor) -> Tensor:
    """Return up to 64 samples of up to 8 evenly spaced classes, sorted by class, for visible blocks."""
    present = targets.unique(sorted=True)
    chosen = present[evenly_spaced(len(present), PLAN_CLASSES)]
    per_class = PLAN_ROWS // len(chosen)
    return torch.cat([(targets == label).nonzero().flatten()[:per_class] for label in chosen])


def _plan(student: Predictions, teacher: Predictions, rows: Tensor) -> Tensor | None:
    """Return the entropic plan between the student's embeddings, mapped to the teacher's space, and the teacher's.

    `map_to_teacher` is fitted on the *other* test samples only. The cost is the cosine cost of the centered embeddings,
    at the initial temperature of the local contrastive term.
    """
    others = torch.ones(len(student), dtype=torch.bool)
    others[rows] = False
    if int(others.sum()) < 2 or len(rows) < 2:
        return None
    fitted = torch.where(others)[0]
    mapped, expected = map_to_teacher(student.embeddings, teacher.embeddings, fitted=fitted, measured=rows)
    cost = cosine_cost(mapped, expected)
    return sinkhorn(cost, epsilon=PLAN_EPSILON, iterations=PLAN_ITERATIONS).plan


def _thumbnails(images: Tensor) -> NDArray[Any]:
    """Return images as uint8 B×H×W×(1 or 3), no side longer than 96 pixels."""
    shown = images.float() / 255.0 if images.dtype == torch.uint8 else images.float()
    if shown.shape[1] not in (1, 3):
        shown = shown.mean(dim=1, keepdim=True)
    shrink = THUMBNAIL / max(shown.shape[2:])
    if shrink < 1:
        size = [math.ceil(side * shrink) for side in shown.shape[2:]]
        shown = F.interpolate(shown, size=size, mode="bilinear", antialias=True)
    return (shown.clamp(0, 1) * 255.0).round().byte().permute(0, 2, 3, 1).numpy()
