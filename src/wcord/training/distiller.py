"""Student and objective as one trainable module: one forward gives the loss of a batch."""

from torch import Tensor, nn

from wcord import collectives
from wcord.data.batch import Batch
from wcord.features import Features, Tap
from wcord.losses import LossReport
from wcord.methods.term import Objective, Stage
from wcord.models.network import Network


class Distiller(nn.Module):
    """What is trained: the student, and the objective's heads, which a distributed wrapper must see too.

    The objective's memories and moments change alike in all processes, so the wrapper need not send them at each step
    (DDP sends all buffers); `copy_buffers_from_first` makes them alike before the first.

    Args:
        student: the network to be trained.
        objective: the loss.
        tap: reads the student's features.
        several_labels: whether a sample may have several labels.
    """

    def __init__(self, student: Network, objective: Objective, tap: Tap, *, several_labels: bool = False) -> None:
        super().__init__()
        self.student = student
        self.objective = objective
        self._tap = tap
        self.several_labels = several_labels
        # Where DDP looks for what it leaves alone.
        self._ddp_params_and_buffers_to_ignore = [f"objective.{name}" for name, _ in objective.named_buffers()]

    def copy_buffers_from_first(self) -> None:
        """Take the first process's buffers, to be called once all are where they are trained."""
        collectives.copy_from_first(self.objective.buffers())

    def forward(self, batch: Batch, teacher: Features | None, stage: Stage = "main") -> tuple[LossReport, Tensor]:
        """Return the loss and the number of samples classified rightly; without a teacher the terms see the student.

        In the preparation stage the student runs only if it trains, and nothing is counted.
        """
        preparation = self.objective.preparation
        if stage == "preparation":
            assert teacher is not None
            assert preparation is not None
            student = self._tap(batch.student_input) if preparation.student else None
            return self.objective.prepare(student, teacher, batch), batch.target.new_zeros(())
        student = self._tap(batch.student_input)
        report = self.objective(student, student if teacher is None else teacher, batch)
        return report, self._right(student.logits.detach(), batch.target)

    def _right(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return how many samples are classified rightly; of a mixture the class with the largest share counts.

        With several labels a sample counts by the share of them that are answered rightly.
        """
        if self.several_labels:
            return ((logits > 0) == (target > 0.5)).float().mean(dim=1).sum()
        label = target.argmax(dim=1) if target.is_floating_point() else target
        return (logits.argmax(dim=1) == label).sum()
