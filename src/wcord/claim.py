"""Who works on a run: a lock that the system takes back when its holder dies, so that no claim outlives its worker."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from wcord.checks import LONGEST_NAME, UsageError

PATIENCE = 0.3
"""Seconds that a process tries for; a look at whether a run is claimed holds the lock for much less."""
INSIDE = ".lock"
"""Name of the lock in the run's folder, where none can lie beside it."""


@contextmanager
def claim(folder: Path) -> Iterator[bool]:
    """Hold a run for this process while the context lasts; gives False where another process holds it.

    The lock lies beside the run's folder and stays there when the run is done: to remove it would let two processes
    hold two files of one name. Only where its parent cannot be written does it lie in the folder itself.
    """
    lock = _lock(folder)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        yield False
        return
    try:
        _sign(folder, f"process {os.getpid()} on {socket.gethostname()}")
        yield True
    finally:
        _sign(folder, "")
        lock.release()


def is_claimed(folder: Path) -> bool:
    """Return whether a process holds the run at this moment."""
    if not _path(folder).exists():
        return False
    lock = _lock(folder)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def holder(folder: Path) -> str:
    """Return who holds a claimed run, as `process 71 on host`."""
    told = ""
    with suppress(OSError):
        told = _path(folder).read_text(encoding="utf-8", errors="replace")
    return told or "another process"


def _sign(folder: Path, text: str) -> None:
    with suppress(OSError):  # some systems let nobody write into a locked file; the claim holds without it
        _path(folder).write_text(text, encoding="utf-8")


def _lock(folder: Path) -> FileLock:
    path = _path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or (path.exists() and not _is_ours(path)):
        raise UsageError(
            f"{str(path)!r} is needed for a lock, but is another program's file: move it away, or name another folder"
        )
    return FileLock(path, poll_interval=PATIENCE / 10)


def _is_ours(path: Path) -> bool:
    """Tell whether a file is a lock: it is empty, or says which process holds it."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(8) in (b"", b"process ")
    except OSError:  # some systems let nobody read a locked file
        return True


def _path(folder: Path) -> Path:
    """Return where the lock lies; one folder has one, whatever it is called by."""
    run = folder.resolve()
    beside = run.with_name(f".{run.name}.lock")
    ground = next(parent for parent in beside.parents if parent.exists())
    fits = len(os.fsencode(beside.name)) <= LONGEST_NAME and os.access(ground, os.W_OK)
    return beside if fits else run / INSIDE
