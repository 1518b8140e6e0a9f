"""One training step as a function of its batch: the same code runs eagerly and is captured as a CUDA graph."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from wcord.data.batch import Batch
from wcord.features import Features
from wcord.host import no_reads
from wcord.methods.term import Stage
from wcord.models.network import Network
from wcord.training.average import MovingAverage
from wcord.training.meter import measured
from wcord.training.teaching import Teacher
from wcord.training.update import Update


@dataclass(frozen=True)
class Step:
    """Teacher, student, terms, backward, clipping, optimizer, moving average and memories, in one call.

    Attributes:
        trainable: student and objective as one module, wrapped for several processes.
        student: the student inside it.
        update: the optimizer.
        average: the student's moving average, or None.
        teacher: None if no term uses it.
        stage: which stage of the objective trains.
        accelerator: the engine.
    """

    trainable: nn.Module
    student: Network
    update: Update
    average: MovingAverage | None
    teacher: Teacher | None
    stage: Stage
    accelerator: Accelerator

    def __call__(
        self, batch: Batch, teacher_features: Features | None = None, *, share: float = 1.0, closes: bool = True
    ) -> Tensor:
        """Train on a batch, and return its values for the meter.

        Where the teacher trains too, both losses come from the same two forward passes, taken before either update.

        Args:
            batch: on the device.
            teacher_features: the teacher's features if they are already known; else the teacher runs here.
            share: weight of the batch's mean in the optimizer step.
            closes: whether the weights move; otherwise the gradients accumulate.
        """
        learning = self.teacher.update if self.teacher is not None and self.stage == "main" else None
        if teacher_features is None and self.teacher is not None:
            teacher_features = self.teacher(batch.teacher_input, graph=learning is not None)
        # Processes exchange gradients only when the weights move.
        with nullcontext() if closes else self.accelerator.no_sync(self.trainable):
            report, correct = self.trainable(batch, teacher_features, self.stage)
            if learning is not None:
                assert report.teacher is not None
                learning.backward(report.teacher if share == 1 else report.teacher * share)
            self.update.backward(report.total if share == 1 else report.total * share)
        if closes and learning is not None:
            learning.step()
        if closes and self.update.step() and self.average is not None:
            self.average.update(self.student)
        return measured(report, correct, batch.upright_rows)


def without_waiting(device: torch.device) -> AbstractContextManager[None]:
    """Return the context of a step in which the host never waits for an accelerator; on a CPU it has no effect.

    Captured and eager steps are then the same. Row numbers need no check: a loader's numbers fit the memories.
    """
    return nullcontext() if device.type == "cpu" else no_reads()
