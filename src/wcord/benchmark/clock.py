"""How much of the time that a worker was given is left."""

import time

SHARE, LONGEST = 0.1, 15.0
"""What is held back of the time, at most so many seconds: for building a run, its last checkpoint and the tables."""


class Clock:
    """Counts down from a limit, less a reserve, so that a worker is back before it.

    Args:
        minutes: the limit; None: there is none.
    """

    def __init__(self, minutes: float | None) -> None:
        self.minutes = minutes
        self._end: float | None = None
        if minutes is not None:
            self._end = time.monotonic() + 60 * minutes - min(LONGEST, SHARE * 60 * minutes)

    @property
    def left(self) -> float | None:
        """Minutes that are left; None where there is no limit."""
        return None if self._end is None else (self._end - time.monotonic()) / 60

    @property
    def over(self) -> bool:
        """Whether nothing is left."""
        return self.left is not None and self.left <= 0

    def sleep(self, seconds: float) -> None:
        """Wait, but not beyond the end."""
        time.sleep(seconds if self.left is None else max(0.0, min(seconds, 60 * self.left)))
