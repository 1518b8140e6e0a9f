"""Where a run stands: stage, epoch and batch, and the optimiser steps that these amount to."""

from dataclasses import dataclass

from wcord.methods.term import Stage


@dataclass
class Position:
    """Counts batches, of which `accumulation` make a step of the optimiser; the last step of an epoch may have fewer.

    >>> at = Position(batches=5, accumulation=2, epochs=3)
    >>> at.epoch_steps, at.total_steps, at.batches_of_step
    (3, 9, range(0, 2))
    >>> at.batch = 4
    >>> at.steps_done, at.batches_of_step, at.closes_step
    (2, range(4, 5), True)

    Attributes:
        batches: of an epoch.
        accumulation: batches whose gradients are added up for one step.
        epochs: length of the main stage.
        prepared_epochs: length of the preparation stage, 0 where there is none.
        stage: the present stage.
        epoch: epochs of it that are done.
        batch: batches of the present epoch that are done.
    """

    batches: int
    accumulation: int
    epochs: int
    prepared_epochs: int = 0
    stage: Stage = "main"
    epoch: int = 0
    batch: int = 0

    @property
    def stage_epochs(self) -> int:
        """Length of the present stage."""
        return self.epochs if self.stage == "main" else self.prepared_epochs

    @property
    def stage_name(self) -> str:
        """What an epoch of the stage is called."""
        return "epoch" if self.stage == "main" else "preparation"

    @property
    def order(self) -> int:
        """Number of the epoch whose order and augmentation are used; the main stage's are the same for all methods."""
        return self.epoch if self.stage == "main" else self.epochs + self.epoch

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch."""
        return -(-self.batches // self.accumulation)

    @property
    def total_steps(self) -> int:
        """Steps of the whole run, over both stages."""
        return (self.prepared_epochs + self.epochs) * self.epoch_steps

    @property
    def stage_steps(self) -> int:
        """Steps of the present stage so far."""
        within = self.epoch_steps if self.batch == self.batches else self.batch // self.accumulation
        return self.epoch * self.epoch_steps + within

    @property
    def stage_batches(self) -> int:
        """Batches of the present stage so far: how often normalization layers have seen one."""
        return self.epoch * self.batches + self.batch

    @property
    def steps_done(self) -> int:
        """Steps so far, over both stages."""
        before = self.prepared_epochs * self.epoch_steps if self.stage == "main" else 0
        return before + self.stage_steps

    @property
    def batches_of_step(self) -> range:
        """Numbers of the batches that make the present step."""
        first = self.batch - self.batch % self.accumulation
        return range(first, min(first + self.accumulation, self.batches))

    @property
    def closes_step(self) -> bool:
        """Whether the next batch is the last of its step."""
        return self.batch + 1 == self.batches_of_step.stop

    @property
    def between_steps(self) -> bool:
        """Whether no gradients wait for those of more batches."""
        return self.batch == self.batches or self.batch % self.accumulation == 0
