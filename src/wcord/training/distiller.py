"""Student and objective as one trainable module: one forward gives the loss of a batch."""

from dataclasses import replace

from torch import Tensor, nn

from wcord import collectives
from wcord.data.batch import Batch
from wcord.features import Features, Tap
from wcord.losses import LossReport
from wcord.methods.objective import Objective
from wcord.methods.term import Stage
from wcord.models.network import Network


class Distiller(nn.Module):
    """The trainable module: the student and the objective's heads, both inside a distributed wrapper.

    The objective's buffers (memories, moments) change alike in all processes, so DDP, which sends all buffers at each
    step, ignores them; `copy_buffers_from_first` makes them equal before the first step.

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
        # DDP reads this attribute.
        self._ddp_params_and_buffers_to_ignore = [f"objective.{name}" for name, _ in objective.named_buffers()]

    def copy_buffers_from_first(self) -> None:
        """Copy the first process's buffers; call it once all buffers are on their devices."""
        collectives.copy_from_first(self.objective.buffers())

    def forward(self, batch: Batch, teacher: Features | None, stage: Stage = "main") -> tuple[LossReport, Tensor]:
        """Return the loss and the number of correct upright samples; without a teacher the student takes its place.

        If the method trains additions to the teacher, the report has their loss too, from the same features.
        In the preparation stage the student runs only if it trains, and the number is 0.
        """
        preparation = self.objective.preparation
        if stage == "preparation":
            assert teacher is not None
            assert preparation is not None
            student = self._tap(batch.student_input) if preparation.student else None
            return self.objective.prepare(student, teacher, batch), batch.target.new_zeros(())
        student = self._tap(batch.student_input)
        report = self.objective(student, student if teacher is None else teacher, batch)
        if teacher is not None and self.objective.teaches:
            report = replace(report, teacher=self.objective.teach(student, teacher, batch))
        upright = batch.upright()
        return report, self._correct(student.logits.detach()[: len(upright)], upright.target)

    def _correct(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the number of correct samples; the label of a mixture is the class with the largest share.

        With several labels a sample counts by its share of correct labels.
        """
        if self.several_labels:
            return ((logits > 0) == (target > 0.5)).float().mean(dim=1).sum()
        label = target.argmax(dim=1) if target.is_floating_point() else target
        return (logits.argmax(dim=1) == label).sum()
