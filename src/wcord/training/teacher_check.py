"""A look at whether a teacher knows its data, before a distillation starts."""

import math

from wcord.checks import UsageError
from wcord.data.loader import Loader
from wcord.data.split import DataSet
from wcord.evaluation.accuracy import Predictions, accuracy, predict
from wcord.models.network import Network

TEACHER_SAMPLES = 1000
"""Samples on which a teacher is looked at before a distillation starts."""


def check_teacher(
    teacher: Network, data: DataSet, *, batch_size: int, device: str, allow_weak: bool
) -> tuple[float, int]:
    """Return the teacher's top-1 accuracy on a part of the evaluation data, and the size of that part.

    Near chance means below the larger of 2/C (for C > 2 classes) and 1/C plus three standard errors, but not above the
    middle between chance and 1.

    Raises:
        UsageError: for a teacher near chance, with the usual causes.
    """
    predictions = _look(teacher, data, batch_size, device)
    top1 = accuracy(predictions)["top1"]
    chance = 1 / len(data.classes)
    noise = 3 * math.sqrt(chance * (1 - chance) / len(predictions.targets))
    limit = max(2 * chance, chance + noise) if len(data.classes) > 2 else chance + noise
    limit = 100 * min(limit, (1 + chance) / 2)  # on a few samples chance may reach far; half-way up is good enough
    if top1 < limit and not allow_weak:
        raise UsageError(
            f"the teacher reaches {top1:.2f} % on {len(predictions.targets)} samples of this data, near chance "
            f"({100 * chance:.2f} %). Usual causes: another normalisation (--teacher-mean, --teacher-std), another "
            "order of the classes, another input size (--teacher-size), or no --teacher-weights; "
            "--allow-weak-teacher goes on regardless"
        )
    return top1, len(predictions.targets)


def look_at_several(teacher: Network, data: DataSet, *, batch_size: int, device: str) -> tuple[float, int]:
    """Return the teacher's mean average precision on a part of the data with several labels, and that part's size."""
    predictions = _look(teacher, data, batch_size, device)
    return accuracy(predictions)["map"], len(predictions)


def _look(teacher: Network, data: DataSet, batch_size: int, device: str) -> Predictions:
    """Return what the teacher says of at most `TEACHER_SAMPLES` samples, up to a whole batch."""
    loader = Loader(data.test, batch_size=batch_size, shuffle=True, device=device)
    batches = (
        batch for batch, _ in zip(loader.batches(), range(math.ceil(TEACHER_SAMPLES / batch_size)), strict=False)
    )
    return predict(teacher.to(device), batches, device=device, side="teacher")
