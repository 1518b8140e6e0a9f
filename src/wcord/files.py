"""Atomic writes of files, and their digests."""

import hashlib
import os
import re
import secrets
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from wcord.checks import RunError

if sys.platform != "win32":
    import fcntl

_PART = re.compile(r"\.(.+)\.[0-9a-z]+\.part", re.DOTALL)
"""Name of a file that is being written: the final name, hidden, with a token."""


def sha256(path: Path) -> str:
    """Return the digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file so that a reader, also after a kill, finds either the old content or the new.

    Missing folders are created. Partial files that killed processes left are removed.

    Raises:
        RunError: the folder cannot be written or the disk is full.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_parts(target.parent, lambda name: name == target.name)
        with _part(target) as (part, file):
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if sys.platform == "win32":
                file.close()  # Windows renames no open file
            os.replace(part, target)
    except OSError as error:
        raise RunError(
            f"cannot write {str(target)!r} ({error.strerror}): free some space or name another folder"
        ) from error


def written_name(name: str) -> str | None:
    """Return the name of the file that a `.part` file was to become; None for the name of any other file.

    >>> written_name(".config.toml.0a1b2c3d.part"), written_name("config.toml")
    ('config.toml', None)
    """
    match = _PART.fullmatch(name)
    return None if match is None else match[1]


def remove_parts(folder: Path, of: Callable[[str], bool]) -> None:
    """Remove the partial files of killed processes in a folder; those of live processes stay.

    Args:
        folder: it need not exist.
        of: whether partial files of a name are removed.
    """
    with suppress(OSError):  # no such folder, or one that cannot be read
        for path in list(folder.iterdir()):
            name = written_name(path.name)
            if name is not None and of(name) and not is_being_written(path):
                with suppress(OSError):
                    path.unlink()


def is_being_written(part: Path) -> bool:
    """Return whether a live process holds the lock of a `.part` file; True also if it is not a file."""
    try:
        if not stat.S_ISREG(part.lstat().st_mode):
            return True
        if sys.platform == "win32":
            return False  # Windows removes no open file
        with part.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # locked, or unreadable
        return True
    return False


@contextmanager
def _part(target: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Yield a new file next to the target, open and locked; remove it on a failure."""
    part, file = _new_part(target)
    try:
        with file:
            yield part, file
    finally:
        with suppress(OSError):  # after a success there is nothing to remove
            part.unlink()


def _new_part(target: Path) -> tuple[Path, BinaryIO]:
    """Create a file next to the target with a name that no other process uses, and lock it."""
    while True:
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        try:
            file = part.open("xb")
        except FileExistsError:
            continue
        if sys.platform != "win32":
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
        if part.exists():
            return part, file
        file.close()  # another process removed it as a dead one's before it was locked
