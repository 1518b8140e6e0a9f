"""The learning rate as a pure function of the step: nothing to save, nothing to restore."""

import math

from wcord import checks
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


def check_schedule(config: TrainingConfig) -> None:
    """Raise where the training configuration holds numbers that cannot be meant.

    Raises:
        UsageError: naming the setting.
    """
    checks.require_positive("epochs", config.epochs)
    checks.require_positive("batch_size", config.batch_size)
    checks.require_positive("gradient_accumulation_steps", config.gradient_accumulation_steps)
    checks.require_positive("eval_every", config.eval_every)
    if config.preparation_epochs is not None and config.preparation_epochs < 0:
        raise checks.UsageError(f"preparation_epochs must be 0 or more, received {config.preparation_epochs}")
    for fraction in config.milestones:
        checks.require_fraction("milestones", fraction)
    checks.require_positive("body_rate", config.body_rate)
    for name, value in (("lr", config.lr), ("clip_norm", config.clip_norm), ("max_time", config.max_time)):
        if value is not None:
            checks.require_positive(name, value)
    for name in ("momentum", "weight_decay", "mixup", "cutmix"):
        value = getattr(config, name)
        if not 0 <= value < math.inf:
            raise checks.UsageError(f"{name} must be 0 or more, received {value}")
    if config.ema is not None:
        checks.require_fraction("ema", config.ema)
    checks.require_fraction("label_smoothing", config.label_smoothing)
    checks.require_fraction("mixup_prob", config.mixup_prob)
