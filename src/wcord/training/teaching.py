"""The frozen teacher of a run: what it says to a batch, to several batches at once, or said to them in another run."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor

from wcord.data.batch import Batch
from wcord.features import Features, Tap, capture
from wcord.models.network import Network
from wcord.training.config import TrainingConfig
from wcord.training.teacher_cache import TeacherCache


@dataclass(frozen=True)
class Teacher:
    """Runs the teacher, once for each batch.

    Attributes:
        tap: runs it and reads its features.
        accelerator: says in which precision it runs.
        ahead: batches that it sees in one pass; 1: each by itself, as a part of the training step.
        cache: its outputs from other runs over the same batches, which each batch then takes; or None.
    """

    tap: Tap
    accelerator: Accelerator
    ahead: int = 1
    cache: TeacherCache | None = None

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        """Return its features of what it sees."""
        with self.accelerator.autocast():
            return self.tap(images)

    def before_steps(self, whole: Batch, sizes: Sequence[int]) -> Sequence[Features | None]:
        """Return its features of each batch of a group, where it sees several in one pass; None for each otherwise.

        Args:
            whole: the batches, one after the other.
            sizes: samples of each.
        """
        if self.ahead == 1 or self.cache is not None:
            return [None] * len(sizes)
        return self(whole.teacher_input).split(sizes)

    def remembered(self, epoch: int, number: int, batch: Batch, *, last: bool) -> Features | None:
        """Return its features of a batch through the cache; None where there is no cache.

        Args:
            epoch: which order and augmentation.
            number: of the batch in its epoch.
            batch: on the device.
            last: whether it is the epoch's last.
        """
        if self.cache is None:
            return None
        known = self.cache.features(epoch, number, lambda: self(batch.teacher_input), last=last)
        return known.to(batch.target.device)


@contextmanager
def teaching(
    network: Network,
    maps: Sequence[str],
    config: TrainingConfig,
    accelerator: Accelerator,
    cache: TeacherCache | None,
) -> Iterator[Teacher]:
    """Freeze a teacher on the device of a run, and give what reads its features.

    Args:
        network: the teacher.
        maps: names of the maps to read.
        config: how the student is trained.
        accelerator: the engine.
        cache: its outputs from other runs, or None.
    """
    network.to(accelerator.device).eval().requires_grad_(False)
    if config.channels_last:
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # stub lacks it
    with capture(network, maps=maps) as tap:
        yield Teacher(tap, accelerator, config.teacher_ahead or 1, cache)
