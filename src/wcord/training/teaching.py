"""The teacher of a run: its features of one batch, of several at once, or from the cache of another run."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor

from wcord.data.batch import Batch
from wcord.features import Features, Tap, capture
from wcord.methods.term import Stage, TeacherTraining
from wcord.models.network import Network
from wcord.training.config import TrainingConfig
from wcord.training.teacher_cache import TeacherCache
from wcord.training.teacher_update import TeacherUpdate


@dataclass(frozen=True)
class Teacher:
    """Runs the teacher, once for each batch.

    Attributes:
        tap: runs it and reads its features.
        accelerator: sets the precision.
        ahead: batches in one pass; 1: each by itself, as part of the training step.
        cache: its outputs from other runs over the same batches, or None.
        update: moves its additions; None if nothing trains in it.
    """

    tap: Tap
    accelerator: Accelerator
    ahead: int = 1
    cache: TeacherCache | None = None
    update: TeacherUpdate | None = None

    def enter(self, stage: Stage) -> None:
        """Begin a stage: its additions train in the main one."""
        if self.update is not None and stage == "main":
            self.update.enter_training()

    def __call__(self, images: Tensor, *, graph: bool = False) -> Features:
        """Return its features of a batch of inputs; with their graph only where its additions train."""
        with torch.set_grad_enabled(graph), self.accelerator.autocast():
            return self.tap(images)

    def before_steps(self, whole: Batch, sizes: Sequence[int]) -> Sequence[Features | None]:
        """Return its features of each batch of a group if one pass takes several; otherwise None for each.

        Args:
            whole: the batches, one after the other.
            sizes: samples of each.
        """
        if self.ahead == 1 or self.cache is not None:
            return [None] * len(sizes)
        return self(whole.teacher_input).split(sizes)

    def cached(self, epoch: int, number: int, batch: Batch, *, last: bool) -> Features | None:
        """Return its features of a batch through the cache; None without a cache.

        Args:
            epoch: number that sets order and augmentation.
            number: position of the batch in its epoch.
            batch: the batch, on the device.
            last: whether it is the epoch's last.
        """
        if self.cache is None:
            return None
        features = self.cache.features(epoch, number, lambda: self(batch.teacher_input), last=last)
        return features.to(batch.target.device)


@contextmanager
def teaching(
    network: Network,
    maps: Sequence[str],
    config: TrainingConfig,
    accelerator: Accelerator,
    cache: TeacherCache | None,
    training: TeacherTraining | None = None,
    epoch_steps: int = 1,
) -> Iterator[Teacher]:
    """Freeze a teacher, but for its additions if these train, on the device of a run, and yield its `Teacher`.

    Args:
        network: the teacher.
        maps: names of the maps to read.
        config: how the student is trained.
        accelerator: the engine.
        cache: its outputs from other runs, or None.
        training: how its additions train; each batch then has its own pass, and there is no cache.
        epoch_steps: optimizer steps of an epoch, for the schedule of the additions.
    """
    network.to(accelerator.device).eval()
    if training is None:
        network.requires_grad_(False)
    if config.channels_last:
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # stub lacks it
    with capture(network, maps=maps) as tap:
        if training is None:
            yield Teacher(tap, accelerator, config.teacher_ahead or 1, cache)
        else:
            steps = config.epochs * epoch_steps
            update = TeacherUpdate(network, training, steps=steps, clip_norm=config.clip_norm)
            yield Teacher(tap, accelerator, update=update)
