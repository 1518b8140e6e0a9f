"""Worker processes that decode images: one that dies or hangs ends the run with one line, and none outlives it."""

import atexit
import os
import queue
import re
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
"""Environment variable: seconds that a batch may take; 0: no limit."""
LIMIT = 600.0
SLICE = 1
"""Seconds between two checks of the workers while a batch is awaited.

The limit counts slices, so that a job which was suspended for an hour does not time out at once.
"""
GRACE = 2.0
"""Seconds until the end of a worker is noticed after its messages stop."""

_workers: set[BaseProcess] = set()
"""The workers of all active loaders."""
_ending = threading.Event()
"""Set while workers are being ended."""


class WorkerLostError(RunError):
    """A worker process that reads the data has died or is stuck."""


def read_by_workers(loader: DataLoader[Item], name: Callable[[int], str]) -> Iterator[Item]:
    """Yield what the workers of a loader read, in order.

    A thread takes the items from the workers, since a worker that stops during a transfer would block the receiver.

    Args:
        loader: with at least one worker, and without batching.
        name: returns the name of item n, for a message.

    Raises:
        WorkerLostError: a worker was killed, or an item has not come within the time limit.
    """
    limit = _limit()
    before = set(active_children())
    items = iter(loader)
    workers = set(active_children()) - before
    _workers.update(workers)
    _handle_lost_workers()
    taker = _Taker(items, len(loader))
    whole = False
    try:
        for number in range(len(loader)):
            yield _next(taker, workers, lambda number=number: name(number), limit)
        whole = True
    except GeneratorExit:  # the caller stops, perhaps for a dead worker
        whole = not _dead(workers, 0)
        raise
    finally:
        _ending.set()
        try:
            if not whole or not taker.stop(GRACE):
                # A dead or stuck worker may hold a lock that PyTorch would wait for.
                setattr(items, "_shutdown", True)  # noqa: B010  # PyTorch's attribute
                _end(workers)
                taker.stop(GRACE)
            del items  # ends the workers, and waits for them
            _end(workers)
        finally:
            _ending.clear()


class _Taker:
    """Takes items from an iterator in a separate thread, one ahead of the caller."""

    def __init__(self, items: Iterator[Any], count: int) -> None:
        self._ready: queue.Queue[tuple[Any, Exception | None]] = queue.Queue(maxsize=1)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._take, args=(items, count), daemon=True)
        self._thread.start()

    def next(self, patience: float) -> Any:
        """Return the next item, or raise what it raised.

        Raises:
            queue.Empty: there is none within this many seconds.
        """
        item, error = self._ready.get(timeout=patience)
        if error is not None:
            raise error
        return item

    def stop(self, patience: float) -> bool:
        """End the thread, and return whether it has ended within this many seconds."""
        self._stopped.set()
        self._thread.join(patience)
        return not self._thread.is_alive()

    def _take(self, items: Iterator[Any], count: int) -> None:
        for _ in range(count):
            try:
                taken = (next(items), None)
            except Exception as error:  # raised where the item is requested
                taken = (None, error)
            while not self._stopped.is_set():
                with suppress(queue.Full):
                    self._ready.put(taken, timeout=SLICE)
                    break
            if self._stopped.is_set() or taken[1] is not None:
                return


def leave_signals_to_main(_worker: int) -> None:
    """Ignore signals to all processes: the main process ends its step and saves its state first."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _next(taker: _Taker, workers: set[BaseProcess], name: Callable[[], str], limit: float) -> Any:
    waited = 0
    while True:
        try:
            return taker.next(SLICE)
        except queue.Empty:
            if _dead(workers, 0):
                raise _lost(workers) from None
        except (RuntimeError, OSError, EOFError):
            if _dead(workers, GRACE):
                raise _lost(workers) from None
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
    """Return whether a worker has ended abnormally, which may show only some time after its last message."""
    deadline = time.monotonic() + patience
    while True:
        if any(worker.exitcode not in (None, 0) for worker in workers):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)


def _lost(workers: set[BaseProcess], report: str = "") -> WorkerLostError:
    """Return the error for a worker that has ended.

    Args:
        workers: those that may have ended.
        report: PyTorch's text about it, for a worker whose exit code another thread is taking.
    """
    codes = [worker.exitcode for worker in workers if worker.exitcode not in (None, 0)]
    code = codes[0] if codes else _reported_code(report)
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


def _reported_code(report: str) -> int | None:
    """Return the exit code that PyTorch's text states, negative for a signal; None if it states none."""
    exit_code = re.search(r"exit code (\d+)", report)
    if exit_code is not None:
        return int(exit_code[1])
    return next((-number for number in signal.Signals if f"signal: {signal.strsignal(number)}." in report), None)


def _handle_lost_workers() -> None:
    """Turn PyTorch's error about a dead worker, which a signal may raise anywhere, into a `WorkerLostError`."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGCHLD"):
        return
    handler = signal.getsignal(signal.SIGCHLD)
    if not callable(handler) or isinstance(handler, _LostWorkerHandler):
        return
    signal.signal(signal.SIGCHLD, _LostWorkerHandler(handler))


class _LostWorkerHandler:
    """Handler of the signal that a child process has ended."""

    def __init__(self, handler: Callable[[int, FrameType | None], Any]) -> None:
        self.handler = handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if _ending.is_set():
            return
        try:
            self.handler(number, frame)
        except RuntimeError as error:
            raise _lost(_workers, str(error)) from None


def _end(workers: set[BaseProcess]) -> None:
    """End the remaining workers, which ignore the signal that multiprocessing would send them."""
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
    """Decodes batch by batch in a worker; returns an error, since PyTorch would wrap a raised one."""

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
        """Return the name of batch `number` in a message."""
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
            return MemoryError(str(error))  # NumPy's error cannot be sent to another process


def images_or_raise(images: "Tensor | Exception") -> Tensor:
    """Return the images that a worker has decoded, or raise its error."""
    if isinstance(images, Exception):
        raise images
    return images
