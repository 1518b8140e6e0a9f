"""Who works on a run: a lock that the system takes back when its holder dies, so that no claim outlives its worker."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

PATIENCE = 0.3
"""Seconds that a worker tries for; a look at whether a run is claimed holds the lock for much less."""


@contextmanager
def claim(folder: Path) -> Iterator[bool]:
    """Hold a run for this process while the context lasts; gives False where another process holds it.

    The lock lies beside the run's folder and stays there, empty, when the run is done: to remove it would let two
    processes hold two files of one name.
    """
    lock = _lock(folder)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def is_claimed(folder: Path) -> bool:
    """Return whether a process holds the run at this moment."""
    path = _path(folder)
    if not path.exists():
        return False
    lock = _lock(folder)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def _lock(folder: Path) -> FileLock:
    path = _path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, poll_interval=PATIENCE / 10)


def _path(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")
