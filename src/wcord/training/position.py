"""Where a run stands: stage, epoch and batch, and the optimizer steps that these amount to."""

from dataclasses import dataclass

from wcord.methods.term import Stage


@dataclass
class Position:
    """Counts batches, of which `accumulation` make an optimizer step; the last step of an epoch may have fewer.

    >>> at = Position(batches=5, accumulation=2, epochs=3)
    >>> at.epoch_steps, at.total_steps, at.batches_of_step
    (3, 9, range(0, 2))
    >>> at.batch = 4
    >>> at.steps_done, at.batches_of_step, at.closes_step
    (2, range(4, 5), True)

    Attributes:
        batches: batches of an epoch.
        accumulation: batches whose gradients are summed for one step.
        epochs: length of the main stage.
        prepared_epochs: length of the preparation stage, 0 for none.
        stage: the current stage.
        epoch: finished epochs of the stage.
        batch: finished batches of the current epoch.
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
        """Length of the current stage."""
        return self.epochs if self.stage == "main" else self.prepared_epochs

    @property
    def epoch_of_stage(self) -> tuple[int, int]:
        """The number of the current epoch, from 0, and of the stage's epochs."""
        return self.epoch, self.stage_epochs

    @property
    def stage_name(self) -> str:
        """The stage's name for an epoch."""
        return "epoch" if self.stage == "main" else "preparation"

    @property
    def order(self) -> int:
        """Number that sets the epoch's order and augmentation; the main stage has the same numbers for all methods."""
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
        """Steps of the current stage so far."""
        within = self.epoch_steps if self.batch == self.batches else self.batch // self.accumulation
        return self.epoch * self.epoch_steps + within

    @property
    def stage_batches(self) -> int:
        """Batches of the current stage so far: how often normalization layers have been updated."""
        return self.epoch * self.batches + self.batch

    @property
    def steps_done(self) -> int:
        """Steps so far, over both stages."""
        before = self.prepared_epochs * self.epoch_steps if self.stage == "main" else 0
        return before + self.stage_steps

    @property
    def batches_of_step(self) -> range:
        """Numbers of the batches that make the current step."""
        first = self.batch - self.batch % self.accumulation
        return range(first, min(first + self.accumulation, self.batches))

    @property
    def closes_step(self) -> bool:
        """Whether the next batch is the last of its step."""
        return self.batch + 1 == self.batches_of_step.stop

    @property
    def between_steps(self) -> bool:
        """Whether no accumulated gradients are waiting."""
        return self.batch == self.batches or self.batch % self.accumulation == 0
