"""Turns Ctrl-C, SIGTERM and --max-time into a stop request, which the loop honors once its state is saved."""

import signal
import threading
import time
from types import FrameType, TracebackType

import torch

from wcord import collectives

TIME_IS_UP = 1
"""Stop request of the time limit; smaller than the numbers of the handled signals."""


class Interrupt:
    """Context in which SIGINT and SIGTERM set a flag; a second one raises as usual.

    Outside the main thread signals cannot be caught, and the flag is never set.

    Args:
        deadline: time limit, on the monotonic clock; None: no limit.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, deadline: float | None = None) -> None:
        self.deadline = deadline
        self.received: signal.Signals | None = None
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def request(self, device: torch.device) -> int:
        """Return the number of the received signal, `TIME_IS_UP`, or 0 to continue; equal in all processes.

        Args:
            device: device of the collective operation.
        """
        late = self.deadline is not None and time.monotonic() > self.deadline
        return collectives.largest(self.received or (TIME_IS_UP if late else 0), device)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]  # what signal.signal returned
        self._previous = {}
