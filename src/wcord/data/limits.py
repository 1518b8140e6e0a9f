"""Limits on a single file of the data: the pixels of a picture, and regular files only."""

import os
import stat
from pathlib import Path

from wcord.checks import UsageError

PIXELS = 89_478_485
"""Largest number of pixels of a picture: Pillow's own limit for a warning, 268 MB in color."""
VARIABLE = "WCORD_MAX_PIXELS"
"""Environment variable that sets the limit. It belongs to the machine, and is in no record."""


def most_pixels() -> int:
    """Return how many pixels a picture may have on this machine.

    Raises:
        UsageError: the environment variable holds something else than a whole number of at least 1.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return PIXELS
    if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text)):
        raise UsageError(f"{VARIABLE} must be a whole number of pixels, such as 200000000, received {text[:40]!r}")
    return int(text)


def require_pixels(height: int, width: int, doing: str = "it has") -> None:
    """Raise if a picture has, or would be given, more pixels than the limit.

    Raises:
        UsageError: saying how to raise the limit.
    """
    if height * width > most_pixels():
        raise UsageError(
            f"{doing} {width}×{height} pixels, more than the {most_pixels():,} allowed: make it smaller, or "
            f"raise the limit by the environment variable {VARIABLE}"
        )


def require_memory(size: int, what: str) -> None:
    """Raise if an object would take more bytes of memory than the machine has.

    Raises:
        UsageError: naming what it is.
    """
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # a system without this information
        return
    if size > memory > 0:
        raise UsageError(
            f"{what} would take {size / 2**30:,.1f} GiB of memory, of which this machine has {memory / 2**30:,.1f}"
        )


def read_whole(path: str | Path) -> bytes:
    """Return the content of a regular file; a device, pipe or socket, which may never end, is not read.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no file.
    """
    # Without this flag, opening a pipe waits for a writer.
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is a device, pipe or folder, not a file")
        return file.read()
