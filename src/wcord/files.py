"""Files are written whole or not at all."""

import os
from pathlib import Path

from wcord.checks import RunError


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file so that a reader, or a kill at any moment, finds the old content or the new one.

    Raises:
        RunError: if the folder cannot be written or the disk is full.
    """
    target = Path(path)
    scratch = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with scratch.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, target)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise RunError(
            f"cannot write {str(target)!r} ({error.strerror}): free some space or name another folder"
        ) from error
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
