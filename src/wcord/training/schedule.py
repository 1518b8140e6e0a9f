"""The learning rate as a pure function of the step: nothing to save, nothing to restore."""

import math

from wcord.methods.term import TeacherTraining
from wcord.training.config import TrainingConfig


def learning_rate_at(step: int, *, steps_per_epoch: int, base: float, config: TrainingConfig) -> float:
    """Return the learning rate of one step, counted from 0.

    Step schedule: base · 0.1^(milestones passed); cosine: base · (1 + cos(π t/T))/2; both after a linear warm-up.
    With 240 epochs and the default milestones the first reduced epochs are number 151, 181 and 211, as in the
    CRD benchmark.

    >>> config = TrainingConfig(epochs=240)
    >>> [learning_rate_at(e * 10, steps_per_epoch=10, base=0.05, config=config) for e in (0, 149, 150)]
    [0.05, 0.05, 0.005000000000000001]
    """
    total = config.epochs * steps_per_epoch
    warmup = config.warmup_epochs * steps_per_epoch
    if step < warmup:
        return base * (step + 1) / math.ceil(warmup)
    match config.schedule:
        case "constant":
            return base
        case "cosine":
            return base * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1))) / 2
        case "step":
            epoch = step // steps_per_epoch
            passed = sum(epoch >= round(fraction * config.epochs) for fraction in config.milestones)
            return base * 0.1**passed


def teacher_rate_at(step: int, *, steps: int, training: TeacherTraining) -> float:
    """Return the learning rate of the additions to a teacher at one of `steps` steps, counted from 0.

    >>> [teacher_rate_at(step, steps=4, training=TeacherTraining(lr=0.2)) for step in (0, 2)]
    [0.2, 0.1]
    """
    if training.schedule == "constant":
        return training.lr
    return training.lr * (1 + math.cos(math.pi * step / max(steps, 1))) / 2
