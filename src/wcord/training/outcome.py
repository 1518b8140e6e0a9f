"""How a training call ended: finished, or stopped and resumable."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Outcome:
    """How a call of `Trainer.fit` ended.

    Attributes:
        status: finished, or stopped by its time limit or a signal, and resumable.
        reason: why it stopped.
        signal: number of the signal that stopped it, or None.
        seconds: training time, over all calls.
    """

    status: Literal["finished", "stopped"]
    reason: str
    signal: int | None
    seconds: float
