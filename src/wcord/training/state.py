"""The state of a run: what a checkpoint holds of its position, networks, optimizers and random generators."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wcord.checks import RunError, UsageError
from wcord.methods.objective import Objective
from wcord.models.network import Network
from wcord.training.average import MovingAverage
from wcord.training.checkpoint import random_state, restore_random_state
from wcord.training.engine import seed_everything
from wcord.training.meter import EpochMeter
from wcord.training.position import Position
from wcord.training.teacher_update import TeacherUpdate
from wcord.training.update import Update


@dataclass(frozen=True)
class RunState:
    """The parts of a run that have a state.

    Attributes:
        at: where the run stands.
        student: the network that is trained.
        objective: the method, with its heads and memories.
        update: the optimizer.
        average: the student's moving average, or None.
        meter: the measured values of the epoch.
        teacher_update: the additions to the teacher with their optimizer, or None.
    """

    at: Position
    student: Network
    objective: Objective
    update: Update
    average: MovingAverage | None
    meter: EpochMeter
    teacher_update: TeacherUpdate | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs; all processes must call it, since the meter covers them all."""
        return {
            "stage": self.at.stage,
            "epoch": self.at.epoch,
            "batch": self.at.batch,
            "batches": self.at.batches,
            "student": self.student.backbone.state_dict(),
            "objective": self.objective.state_dict(),
            **self.update.state_dict(),
            **({} if self.teacher_update is None else self.teacher_update.state_dict()),
            "average": None if self.average is None else self.average.state_dict(),
            "meter": self.meter.state_dict(),
            "random": random_state(),
        }

    def restore(self, state: Mapping[str, Any], *, rank: int, processes: int, seed: int) -> None:
        """Continue from a checkpoint.

        Args:
            state: the checkpoint's; in earlier versions it lacks some entries.
            rank: number of this process; the first alone continues with the checkpoint's random numbers.
            processes: number of processes that train together.
            seed: the run's.

        Raises:
            UsageError: the run would have another number of batches an epoch.
            RunError: the state does not fit the networks or the method.
        """
        if state.get("batches", self.at.batches) != self.at.batches:
            raise UsageError(
                f"the run has {state['batches']} batches an epoch, in {processes} process(es) it would have "
                f"{self.at.batches}: resume it in as many processes as it was started with"
            )
        try:
            self._load(state)
            if rank == 0:
                self.meter.load_state_dict(state["meter"])
                restore_random_state(state["random"])
            else:
                seed_everything(seed + rank + 1_000_003 * state["step"])
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            reason = str(error).splitlines()[-1].strip() if str(error) else type(error).__name__
            raise RunError(
                f"the checkpoint does not fit the network or {', '.join(self.objective.weights)} as this code builds "
                f"them ({reason}): resume with the code that the run began with, or start a new run in another folder"
            ) from None

    def _load(self, state: Mapping[str, Any]) -> None:
        self.student.backbone.load_state_dict(state["student"])
        self.objective.load_state_dict(state["objective"])
        self.update.load_state_dict(state)
        if self.teacher_update is not None:
            self.teacher_update.load_state_dict(state)
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.at.epoch, self.at.batch = state["epoch"], state["batch"]
