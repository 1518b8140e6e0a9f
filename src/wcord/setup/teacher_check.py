"""A check of the teacher on its data, before a distillation starts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from wcord.checks import UsageError
from wcord.data.augment import to_unit
from wcord.data.batch import Batch
from wcord.data.dataset import DataSet
from wcord.data.split import Split
from wcord.evaluation.accuracy import accuracy, predict
from wcord.evaluation.chance import Standing, even_rows, standing
from wcord.evaluation.order import other_order
from wcord.evaluation.symptoms import TEACHER_CAUSES, against_chance, below_training
from wcord.models.network import Network

TEACHER_SAMPLES = 1000
"""Most samples on which a teacher is checked."""


@dataclass(frozen=True)
class Look:
    """The result of a teacher's check.

    Attributes:
        standing: how it compares with chance.
        notes: what a reader of the result must know.
    """

    standing: Standing
    notes: tuple[str, ...]


def check_teacher(
    teacher: Network,
    data: DataSet,
    *,
    batch_size: int,
    device: str,
    allow_weak: bool,
    named: bool = False,
    extra: Mapping[str, Any] | None = None,
) -> Look:
    """Return how good a teacher is on a part of the evaluation data.

    That part has, if possible, as many samples of rare classes as of common ones; the accuracy is reweighted to that on
    the whole. `Standing.weak` says what is near chance.

    Args:
        teacher: the network, with the classes of the data.
        data: what it sees.
        batch_size: samples in a batch.
        device: where to compute.
        allow_weak: return notes instead of raising.
        named: whether it names its classes itself, so that their order is known.
        extra: the extra entries of its card, if it has one.

    Raises:
        UsageError: the teacher is near chance (the message lists usual causes), or does not name its classes, which are
            clearly in another order.
    """
    rows = even_rows(data.test.targets.cpu(), TEACHER_SAMPLES)
    network = teacher.to(device)
    predictions = predict(network, _batches(data.test, rows, batch_size), device=device, side="teacher")
    measured = standing(predictions, data.test.targets.cpu().bincount(minlength=predictions.num_classes))
    order = other_order(predictions, data.classes)
    wrong = ""
    if order is not None and (measured.weak or not named):
        wrong = f"the teacher {order.text}: {order.remedy}"
    elif measured.weak:
        wrong = f"the teacher is near chance: {against_chance(measured, data.classes)}. Usual causes: {TEACHER_CAUSES}"
    if wrong and not allow_weak:
        raise UsageError(f"{wrong}; --allow-weak-teacher continues regardless")
    notes = [wrong] if wrong else [] if order is None else [f"the teacher {order.text}"]
    if not wrong and extra is not None and isinstance(reached := extra.get("top1_last"), int | float):
        notes += below_training(measured, "the teacher", reached)
    return Look(measured, tuple(notes))


def look_at_several(teacher: Network, data: DataSet, *, batch_size: int, device: str) -> tuple[float, int]:
    """Return the teacher's mean average precision on a part of data with several labels, and the size of that part."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randperm(len(data.test), generator=generator)[:TEACHER_SAMPLES].sort().values
    predictions = predict(teacher.to(device), _batches(data.test, rows, batch_size), device=device, side="teacher")
    return accuracy(predictions)["map"], len(predictions)


def _batches(split: Split, rows: Tensor, batch_size: int) -> Iterator[Batch]:
    for part in rows.split(batch_size):
        part = part.to(split.targets.device)
        images = to_unit(split.read(part))
        yield Batch(images, images, split.targets[part], part)
