"""How many batches are built, and shown to the teacher, in one pass: fewer and fuller launches on a GPU."""

from dataclasses import replace
from math import prod

import torch

from wcord.checks import UsageError
from wcord.data.augment import ROTATIONS
from wcord.data.dataset import DataSet
from wcord.data.split import StreamSplit, base_and_view
from wcord.methods.build import adapts_teacher, needs_rotations
from wcord.methods.options import parse_options
from wcord.training.config import Config, DistillConfig, TrainConfig

BATCHES = 16
"""Most batches of one pass on a GPU."""
LARGEST_PASS = 1 << 26
"""Most bytes of both networks' inputs in one pass."""


def with_teacher_ahead(config: Config, data: DataSet, device: torch.device) -> Config:
    """Return the settings of a run with the number of batches that its teacher sees in one pass.

    It is set when the run starts and recorded with its settings, because it changes bits of the teacher's outputs: a
    run that is resumed on another machine keeps it. It is at most the number of batches in an epoch.

    Args:
        config: the configuration of the run.
        data: the data.
        device: where the networks are.

    Raises:
        UsageError: both --teacher-cache and --teacher-ahead are set, or the teacher trains and cannot be ahead.
    """
    training = config.training
    ahead = training.teacher_ahead
    trains = isinstance(config, DistillConfig) and adapts_teacher(config.method)
    if trains and ahead is not None and ahead > 1:
        raise UsageError(
            f"{trains} trains parts of the teacher, which cannot be {ahead} batches ahead: leave out --teacher-ahead"
        )
    if training.teacher_cache is not None and ahead is not None and ahead > 1:
        raise UsageError("--teacher-cache holds what --teacher-ahead would compute: leave out one of them")
    if isinstance(config, TrainConfig) or training.teacher_cache is not None or trains:
        ahead = 1
    elif ahead is None:
        ahead = _small_batches(config, data, device)
    ahead = min(ahead, -(-len(data.train) // training.batch_size))
    return replace(config, training=replace(training, teacher_ahead=ahead))


def made_together(config: TrainConfig | DistillConfig, data: DataSet, device: torch.device) -> int:
    """Return how many batches are cut and augmented in one pass: as many as the teacher takes, if several."""
    ahead = config.training.teacher_ahead or 1
    return ahead if ahead > 1 else _small_batches(config, data, device)


def in_rotations(config: TrainConfig | DistillConfig) -> bool:
    """Return whether the method of a run needs batches of turned views."""
    return isinstance(config, DistillConfig) and needs_rotations(config.method, parse_options(config.set))


def _small_batches(config: TrainConfig | DistillConfig, data: DataSet, device: torch.device) -> int:
    streamed = isinstance(base_and_view(data.train)[0], StreamSplit)
    if device.type != "cuda" or streamed:  # decoding takes longer than all launches
        return 1
    numbers = prod(data.train.shape) + prod(data.of_teacher.train.shape)
    copies = ROTATIONS if in_rotations(config) else config.data.views
    batch_bytes = 4 * numbers * config.training.batch_size * copies
    return max(1, min(BATCHES, LARGEST_PASS // batch_bytes))
