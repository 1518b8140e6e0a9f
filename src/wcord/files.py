"""Files are written whole or not at all, and known by their digest."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from wcord.checks import RunError


def sha256(path: Path) -> str:
    """Return the digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file so that a reader, or a kill at any moment, finds the old content or the new one.

    Folders on the way are made.

    Raises:
        RunError: if the folder cannot be written or the disk is full.
    """
    target = Path(path)
    scratch = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, target)
    except OSError as error:
        raise RunError(
            f"cannot write {str(target)!r} ({error.strerror}): free some space or name another folder"
        ) from error
    finally:
        # After a success there is nothing to remove; where the folder itself is wrong, nothing can be.
        with suppress(OSError):
            scratch.unlink()
