"""The claim of a run: a lock that the system releases when its holder dies, so that no claim outlives its process."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from wcord.checks import UsageError
from wcord.paths import LONGEST_NAME

PATIENCE = 0.3
"""Seconds for which a process tries; `is_claimed` holds the lock for much less."""
INSIDE = ".lock"
"""Name of the lock in the run's folder, if it cannot be next to the folder."""


@contextmanager
def claim(folder: Path) -> Iterator[bool]:
    """Hold a run for this process during the context; yield False if another process holds it.

    The lock is next to the run's folder and stays there after the run: removing it would let two processes hold two
    files of one name. If the parent cannot be written, it is in the folder itself.
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
    """Return whether a process holds the run now."""
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
    """Return the holder of a claimed run, as `process 71 on host`."""
    name = ""
    with suppress(OSError):
        name = _path(folder).read_text(encoding="utf-8", errors="replace")
    return name or "another process"


def _sign(folder: Path, text: str) -> None:
    with suppress(OSError):  # some systems forbid writes to a locked file; the claim holds without it
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
    """Return whether a file is a lock: it is empty, or names the process that holds it."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(8) in (b"", b"process ")
    except OSError:  # some systems forbid reads of a locked file
        return True


def _path(folder: Path) -> Path:
    """Return the path of the lock, the same for all names of one folder."""
    run = folder.resolve()
    sibling = run.with_name(f".{run.name}.lock")
    parent_folder = next(parent for parent in sibling.parents if parent.exists())
    fits = len(os.fsencode(sibling.name)) <= LONGEST_NAME and os.access(parent_folder, os.W_OK)
    return sibling if fits else run / INSIDE
