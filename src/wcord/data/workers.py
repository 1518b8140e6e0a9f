"""Worker processes that read the data: one that dies or gets stuck ends the run in a line, and none outlives it."""

import atexit
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, TypeVar

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from wcord.checks import RunError, UsageError
from wcord.data.split import Split, StreamSplit

Item = TypeVar("Item")

LIMIT_VARIABLE = "WCORD_LOADER_TIMEOUT"
"""Environment variable with the seconds that a batch may take; 0: any time."""
LIMIT = 600.0
SLICE = 1
"""Seconds after which a process that waits for a batch looks at its workers.

The limit counts slices, so that a job which was suspended for an hour, and its workers with it, is not late at once.
"""
GRACE = 2.0
"""Seconds in which the end of a worker is noticed after its messages have broken off."""

_workers: set[BaseProcess] = set()
"""The workers of all loaders that are being read."""
_ending = threading.Event()
"""Set while workers are ended on purpose."""


class WorkerLostError(RunError):
    """A worker process that reads the data has died or is stuck."""


def read_by_workers(loader: DataLoader[Item], name: Callable[[int], str]) -> Iterator[Item]:
    """Yield what the workers of a loader read, in order.

    A thread takes the items from the workers, since a worker that stops while it hands one over would stop whoever
    takes it.

    Args:
        loader: with one worker or more and no batching of its own.
        name: says what number n of the items is, for the message about a worker that is stuck.

    Raises:
        WorkerLostError: a worker was killed, or an item has not come within the time limit.
    """
    limit = _limit()
    before = set(active_children())
    items = iter(loader)
    own = set(active_children()) - before
    _workers.update(own)
    _answer_for_workers()
    taker = _Taker(items, len(loader))
    whole = False
    try:
        for number in range(len(loader)):
            yield _next(taker, own, lambda number=number: name(number), limit)
        whole = True
    except GeneratorExit:  # the reader wants no more, or has heard of a dead worker elsewhere
        whole = not _dead(own, 0)
        raise
    finally:
        _ending.set()
        try:
            if not whole or not taker.stop(GRACE):
                # A worker that died, or is stuck, may hold a lock that PyTorch's way to end the others waits for.
                setattr(items, "_shutdown", True)  # noqa: B010  # an attribute of PyTorch's own
                _end(own)
                taker.stop(GRACE)
            del items  # ends the workers, and waits for them
            _end(own)
        finally:
            _ending.clear()


class _Taker:
    """Takes items from an iterator in a thread of its own, one ahead of who asks for them."""

    def __init__(self, items: Iterator[Any], count: int) -> None:
        self._ready: queue.Queue[tuple[Any, Exception | None]] = queue.Queue(maxsize=1)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._take, args=(items, count), daemon=True)
        self._thread.start()

    def next(self, patience: float) -> Any:
        """Return the next item, or raise what it raised.

        Raises:
            queue.Empty: there is none within so many seconds.
        """
        item, error = self._ready.get(timeout=patience)
        if error is not None:
            raise error
        return item

    def stop(self, patience: float) -> bool:
        """End the thread, and return whether it has ended within so many seconds."""
        self._stopped.set()
        self._thread.join(patience)
        return not self._thread.is_alive()

    def _take(self, items: Iterator[Any], count: int) -> None:
        for _ in range(count):
            try:
                taken = (next(items), None)
            except Exception as error:  # whatever it is, who asks for the item gets it
                taken = (None, error)
            while not self._stopped.is_set():
                with suppress(queue.Full):
                    self._ready.put(taken, timeout=SLICE)
                    break
            if self._stopped.is_set() or taken[1] is not None:
                return


def leave_signals_to_main(_worker: int) -> None:
    """Keep reading when a signal stops all processes: the main one ends its step and saves its state first."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _next(taker: _Taker, own: set[BaseProcess], name: Callable[[], str], limit: float) -> Any:
    waited = 0
    while True:
        try:
            return taker.next(SLICE)
        except queue.Empty:
            if _dead(own, 0):
                raise _lost(own) from None
        except (RuntimeError, OSError, EOFError):
            if _dead(own, GRACE):
                raise _lost(own) from None
            raise
        waited += SLICE
        if limit and waited >= limit:
            raise WorkerLostError(
                f"no worker process has read {name()} within {waited} seconds: check the disk or the network that the "
                f"data lie on, or set {LIMIT_VARIABLE} to more seconds (0: wait for ever)"
            )


def _limit() -> float:
    text = os.environ.get(LIMIT_VARIABLE, "")
    try:
        limit = float(text) if text else LIMIT
    except ValueError:
        limit = -1.0
    if not 0 <= limit < float("inf"):
        raise UsageError(f"the environment variable {LIMIT_VARIABLE} must be a number of seconds, received {text!r}")
    return limit


def _dead(workers: set[BaseProcess], patience: float) -> bool:
    """Tell whether a worker has ended by anything but its own wish; its death may show after its silence."""
    deadline = time.monotonic() + patience
    while True:
        if any(worker.exitcode not in (None, 0) for worker in workers):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)


def _lost(workers: set[BaseProcess]) -> WorkerLostError:
    codes = [worker.exitcode for worker in workers if worker.exitcode not in (None, 0)]
    code = codes[0] if codes else None
    if code == -signal.SIGKILL:
        how, remedy = "was killed (signal 9), most likely for lack of memory", "give fewer --workers"
    elif code == -signal.SIGBUS:
        how, remedy = (
            "was killed (signal 7), most likely for lack of shared memory",
            "enlarge /dev/shm or give --workers 0",
        )
    elif code is not None and code < 0:
        how, remedy = f"was killed (signal {-code})", "give --workers 0 to see what happens"
    else:
        how, remedy = f"ended (exit code {code})", "give --workers 0 to see what happens"
    return WorkerLostError(f"a worker process that reads the data {how}: {remedy}")


def _answer_for_workers() -> None:
    """Let PyTorch's word about a dead worker, which may come in the middle of anything, be a `WorkerLostError`."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGCHLD"):
        return
    theirs = signal.getsignal(signal.SIGCHLD)
    if not callable(theirs) or isinstance(theirs, _Answer):
        return
    signal.signal(signal.SIGCHLD, _Answer(theirs))


class _Answer:
    """Handler of the signal that a child process has ended."""

    def __init__(self, theirs: Callable[[int, FrameType | None], Any]) -> None:
        self.theirs = theirs

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if _ending.is_set():
            return
        try:
            self.theirs(number, frame)
        except RuntimeError:
            raise _lost(_workers) from None


def _end(workers: set[BaseProcess]) -> None:
    """End what is left of workers, which ignore the signal that multiprocessing would send them."""
    for worker in workers:
        with suppress(ValueError):  # it is closed already
            worker.kill()
    for worker in workers:
        with suppress(ValueError):
            worker.join(GRACE)
    _workers.difference_update(workers)


def _end_all() -> None:
    _ending.set()
    _end(set(_workers))


atexit.register(_end_all)


class Decoding(Dataset["Tensor | Exception"]):
    """Decodes batch by batch in a worker; hands an error over as it is, where raising would wrap it."""

    def __init__(
        self,
        split: Split,
        shares: list[Tensor],
        crops: Callable[[int], Tensor] | None,
        first: int,
        views: int,
    ) -> None:
        self.split = split
        self.shares = shares
        self.crops = crops
        self.first = first
        self.views = views

    def __len__(self) -> int:
        return len(self.shares)

    def name(self, number: int) -> str:
        """Return what batch `number` is for a user."""
        first = (
            f", from {self.split.name(int(self.shares[number][0]))} on" if isinstance(self.split, StreamSplit) else ""
        )
        return f"batch {self.first + number} of the epoch{first}"

    def __getitem__(self, number: int) -> "Tensor | Exception":
        rows = self.shares[number]
        try:
            if self.crops is None:
                return self.split.read(rows)
            assert isinstance(self.split, StreamSplit)
            crops = self.crops(self.first + number)
            return self.split.read(rows.repeat(self.views), crops)
        except (UsageError, RunError) as error:
            return error
        except MemoryError as error:
            return MemoryError(str(error))  # NumPy's own cannot be sent to another process


def given(images: "Tensor | Exception") -> Tensor:
    """Return what a worker has decoded, or raise the error that it met."""
    if isinstance(images, Exception):
        raise images
    return images
