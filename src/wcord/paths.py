"""Checks of paths: files to read, folders, and places to write to."""

import os
from pathlib import Path

from wcord.checks import UsageError, WrongTypeError, shown

LONGEST_NAME = 255
"""Most bytes in the name of a file, on most file systems."""


def require_file(path: str | Path, what: str) -> Path:
    """Return `path` if it is a file, else raise; the message says what it is instead."""
    file = require_path(path, what)
    if file.is_dir():
        raise UsageError(f"{what} {str(path)!r} is a folder: name a file in it")
    _require_exists(file, what)
    if not file.is_file():
        raise UsageError(f"{what} {str(path)!r} is a pipe or device: name a file")
    return file


def require_folder(path: str | Path, what: str) -> Path:
    """Return `path` if it is a folder, else raise; the message says what it is instead."""
    folder = require_path(path, what)
    _require_exists(folder, what)
    if folder.is_file():
        raise UsageError(f"{what} {str(path)!r} is a file: name its folder")
    if not folder.is_dir():
        raise UsageError(f"{what} {str(path)!r} is a pipe or device: name a folder")
    return folder


def require_place(path: str | Path, what: str, *, folder: bool = False) -> Path:
    """Return `path` if a file, or a folder, can be written there; nothing is created.

    Args:
        path: path of the future file or folder.
        what: its description, for the message.
        folder: whether `path` is to be a folder instead of a file.

    Raises:
        UsageError: the path passes through a file, is of the other kind, or cannot be written.
    """
    place = require_path(path, what)
    existing = next(each for each in (place.absolute(), *place.absolute().parents) if os.path.lexists(each))
    if existing == place.absolute() and not folder:
        if existing.is_dir():
            raise UsageError(f"{what} {str(path)!r} is a folder: name a file in it")
        existing = existing.parent
    if not existing.is_dir():
        raise UsageError(
            f"{what} {str(path)!r} cannot be written: {str(existing)!r} is not a folder, name another place"
        )
    if not os.access(existing, os.W_OK) or _is_of_the_system(existing):
        raise UsageError(
            f"{what} {str(path)!r} cannot be written: {str(existing)!r} takes no files, name another place"
        )
    return place


def _is_of_the_system(existing: Path) -> bool:
    """Return whether a folder is in /proc or /sys, where no file can be created."""
    return existing.resolve().parts[1:2] in (("proc",), ("sys",))


def require_short_names(name: str, path: str | Path) -> None:
    """Raise if a part of a path is longer than file systems allow."""
    longest = max((len(os.fsencode(part)) for part in Path(path).parts), default=0)
    if longest > LONGEST_NAME:
        raise UsageError(
            f"{name} holds a name of {longest} bytes, received {shown(str(path))}: use at most {LONGEST_NAME}"
        )


def require_path(path: object, what: str) -> Path:
    """Return `path` as a `Path`, or raise if it is not text, is empty, or holds what no file system takes."""
    if not isinstance(path, str | Path):
        raise WrongTypeError(f"{what} must be a path, received {shown(path)}")
    if "\0" in str(path):
        raise UsageError(f"{what} {shown(str(path))} holds a null character: check the path")
    if not str(path).strip():
        raise UsageError(f"{what} must not be empty: name a path")
    require_short_names(what, path)
    return Path(path)


def _require_exists(path: Path, what: str) -> None:
    if not path.exists():
        raise UsageError(f"{what} {str(path)!r} does not exist: check the path")
