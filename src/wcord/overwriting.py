"""What may be removed or overwritten: only files that wcord wrote, and none that a command reads.

No other module removes files, or replaces one that a user has named.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

from wcord.checks import UsageError
from wcord.files import is_being_written, remove_parts, write_atomically, written_name
from wcord.paths import require_place

Needed: TypeAlias = Sequence[tuple[str, Path]]
"""Files and folders that a command reads, each with the name of its setting."""
LISTED = 5
"""Names that a message lists at most."""
LINKS = 40
"""Most links that a path may pass through."""


def by_name(path: Path) -> bool:
    """Accept every file of the name as wcord's."""
    return True


def never(folder: Path) -> bool:
    """Accept no folder without a mark as wcord's."""
    return False


@dataclass(frozen=True)
class Output:
    """A file that a command writes to a path from the user.

    Attributes:
        what: its description, such as "the page of wcord report".
        suffixes: allowed suffixes of its name.
        is_ours: whether an existing file is one that the command wrote.
    """

    what: str
    suffixes: tuple[str, ...]
    is_ours: Callable[[Path], bool]


@dataclass(frozen=True)
class Kind:
    """A kind of folder that wcord makes.

    Attributes:
        what: its name, such as "run".
        names: its contents, in the order of removal: pattern of a relative path → a test whether a file is wcord's, or
            the kind of a folder.
        stays: names of contents that are not removed.
        older: whether a folder without a mark is from a version that wrote none.
    """

    what: str
    names: "Mapping[str, Callable[[Path], bool] | Kind]"
    stays: tuple[str, ...] = ()
    older: Callable[[Path], bool] = never

    @property
    def mark(self) -> str:
        """Name of the file that identifies the folder's kind."""
        return f".wcord-{self.what}"

    def find(self, place: tuple[str, ...]) -> "tuple[int, Callable[[Path], bool] | Kind] | None":
        """Return the rank and the meaning of a relative path; None if it is not wcord's."""
        name = written_name(place[-1])
        for rank, (pattern, meaning) in enumerate(self.names.items()):
            if name is not None and _matches((*place[:-1], name), pattern) and not isinstance(meaning, Kind):
                return rank, by_name  # a partial file has no content to test
            if _matches(place, pattern):
                return rank, meaning
        return None

    def has_below(self, place: tuple[str, ...]) -> bool:
        """Return whether a relative path may be a folder of files in `names`."""
        parts = (pattern.split("/") for pattern in self.names)
        return any(len(part) > len(place) and _matches(place, "/".join(part[: len(place)])) for part in parts)


@dataclass
class _Survey:
    """The contents of a folder.

    Attributes:
        files: files that wcord wrote, in the order of removal.
        folders: folders that wcord created.
        others: names of everything else.
    """

    files: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


def mark(folder: Path, kind: Kind) -> None:
    """Mark a folder as wcord's; create it if it is missing."""
    if not _is_marked(folder, kind):
        text = f"wcord {kind.what}\n\nwcord made this folder, and may replace the files of a {kind.what} in it.\n"
        write_atomically(folder / kind.mark, text.encode())


def is_free(folder: Path, kind: Kind) -> bool:
    """Return whether a folder is missing, or holds only a mark, a lock and the remains of killed writes."""
    if not folder.is_dir():
        return True
    return all(_stays(child.name, kind) or _is_part(child, kind) for child in folder.iterdir())


def require_removable(folder: Path, kind: Kind, *, needed: Needed = (), flag: str = "--out") -> None:
    """Raise unless all contents of a folder may be removed.

    Args:
        folder: an existing folder.
        kind: the expected kind.
        needed: files that the command reads.
        flag: the setting that names the folder.

    Raises:
        UsageError: it is a link, is not of this kind, or holds something else or something that is needed.
    """
    _removable(folder, kind, needed=needed, flag=flag)


def clear(folder: Path, kind: Kind, *, needed: Needed = (), flag: str = "--out") -> None:
    """Remove wcord's files in a folder, except its mark; if anything forbids it, remove nothing.

    Raises:
        UsageError: as `require_removable`.
    """
    survey = _removable(folder, kind, needed=needed, flag=flag)
    mark(folder, kind)  # after a kill, the rest can still be cleared
    _remove(survey)


def remove(folder: Path, kind: Kind, *, flag: str = "--out") -> None:
    """Remove a folder that wcord created, if it exists.

    Raises:
        UsageError: as `require_removable`.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if not is_free(folder, kind):
        clear(folder, kind, flag=flag)
    for name in (*kind.stays, kind.mark):
        discard(folder / name)
    remove_parts(folder, lambda name: _stays(name, kind) or kind.find((name,)) is not None)
    with suppress(OSError):  # it has new contents
        folder.rmdir()


def discard(path: Path) -> None:
    """Remove one of wcord's files, if it exists."""
    with suppress(OSError):
        path.unlink()


def remove_left_over(folder: Path, kind: Kind) -> None:
    """Remove the remains of killed writes in a folder and its subfolders."""
    places = dict.fromkeys(pattern.rpartition("/")[0] for pattern in kind.names)
    for place in places:
        if "*" not in place and not (folder / place).is_symlink():
            below = tuple(filter(None, place.split("/")))
            remove_parts(folder / place, lambda name, below=below: _known(kind, (*below, name)))


def require_writable(path: Path, output: Output, *, flag: str = "--out") -> None:
    """Raise unless a file may be written: it is missing, empty, or the same command wrote it.

    Raises:
        UsageError: it is a different file, a link or a device, or has a wrong suffix.
    """
    if path.suffix.lower() not in output.suffixes:
        raise UsageError(
            f"{flag} {str(path)!r} is not a name for {output.what}: it must end in {' or '.join(output.suffixes)}"
        )
    if path.is_symlink():
        raise UsageError(f"{flag} {str(path)!r} is a link, which is not replaced: name the file itself, or remove it")
    if path.is_dir():
        raise UsageError(f"{flag} {str(path)!r} is a folder: name a file, such as {path / f'new{output.suffixes[0]}'}")
    if path.exists() and not path.is_file():
        raise UsageError(f"{flag} {str(path)!r} is not a regular file: name another")
    require_place(path, flag)
    if path.exists() and path.stat().st_size and not output.is_ours(path):
        raise UsageError(f"{flag} {str(path)!r} exists and is not {output.what}: name another file, or remove this one")


def write_output(path: Path, content: bytes, output: Output, *, flag: str = "--out") -> None:
    """Write a file that a user has named.

    Raises:
        UsageError: as `require_writable`.
        RunError: it cannot be written.
    """
    require_writable(path, output, flag=flag)
    write_atomically(path, content)


def _removable(folder: Path, kind: Kind, *, needed: Needed, flag: str) -> _Survey:
    """Return the contents of a folder, or raise unless all may be removed."""
    shown = f"{flag} {str(folder)!r}"
    if folder.is_symlink():
        raise UsageError(f"{shown} is a link, and the target of a link is not replaced: name the folder itself")
    for name, path in needed:
        if _is_inside(path, folder):
            raise UsageError(f"{shown} holds {name} {str(path)!r}, which is needed: name another folder")
    survey = _survey(folder, kind)
    if not _is_wcords(folder, kind):
        contents = [f"{path.name}/" if path.is_dir() else path.name for path in folder.iterdir()]
        raise UsageError(
            f"{shown} holds things other than a {kind.what} ({_listed(contents)}) and is not replaced: name "
            "another folder"
        )
    if survey.others:
        raise UsageError(
            f"{shown} holds things other than a {kind.what} ({_listed(survey.others)}) and is not replaced: move them "
            "away, or name another folder"
        )
    return survey


def _survey(folder: Path, kind: Kind) -> _Survey:
    ranked: list[tuple[int, list[Path]]] = []
    survey, open_folders = _Survey(), [folder]
    while open_folders:
        for path in sorted(open_folders.pop().iterdir()):
            place = path.relative_to(folder).parts
            if len(place) == 1 and _stays(path.name, kind) and not path.is_symlink():
                continue
            match = kind.find(place)
            if path.is_symlink():
                survey.others.append(path.relative_to(folder).as_posix())
            elif path.is_dir() and match is not None and isinstance(match[1], Kind):
                inner = _survey(path, match[1])
                survey.others += [f"{path.name}/{name}" for name in inner.others]
                if not _is_wcords(path, match[1]) and not is_free(path, match[1]):
                    survey.others.append(f"{path.name}/")
                ranked.append((match[0], [*inner.files, path / match[1].mark]))
                survey.folders += [path, *inner.folders]
            elif path.is_dir() and kind.has_below(place):
                open_folders.append(path)
                survey.folders.append(path)
            elif path.is_file() and match is not None and not isinstance(match[1], Kind) and match[1](path):
                ranked.append((match[0], [path]))
            else:
                survey.others.append(path.relative_to(folder).as_posix() + ("/" if path.is_dir() else ""))
    survey.files = [path for _, paths in sorted(ranked, key=lambda entry: entry[0]) for path in paths]
    return survey


def _remove(survey: _Survey) -> None:
    for path in survey.files:
        if written_name(path.name) is None or not is_being_written(path):
            path.unlink(missing_ok=True)
    for folder in sorted(survey.folders, key=lambda path: len(path.parts), reverse=True):
        with suppress(OSError):  # it has new contents
            folder.rmdir()


def _is_wcords(folder: Path, kind: Kind) -> bool:
    return _is_marked(folder, kind) or kind.older(folder)


def _is_marked(folder: Path, kind: Kind) -> bool:
    path = folder / kind.mark
    try:
        return not path.is_symlink() and path.read_bytes().startswith(f"wcord {kind.what}\n".encode())
    except OSError:
        return False


def _stays(name: str, kind: Kind) -> bool:
    return (written_name(name) or name) in (kind.mark, *kind.stays)


def _known(kind: Kind, place: tuple[str, ...]) -> bool:
    return (len(place) == 1 and _stays(place[0], kind)) or kind.find(place) is not None


def _is_part(path: Path, kind: Kind) -> bool:
    return written_name(path.name) is not None and kind.find((path.name,)) is not None and not path.is_dir()


def _matches(place: tuple[str, ...], pattern: str) -> bool:
    parts = pattern.split("/")
    return len(parts) == len(place) and all(map(fnmatchcase, place, parts))


def _listed(names: Sequence[str]) -> str:
    """Return names for a message.

    >>> _listed(["b", "a", "a"]), _listed("gfedcba")
    ('a, b', 'a, b, c, d, e and 2 more')
    """
    each = sorted(set(names))
    more = f" and {len(each) - LISTED} more" if len(each) > LISTED else ""
    return ", ".join(each[:LISTED]) + more


def _is_inside(path: Path, folder: Path) -> bool:
    """Return whether a path leads to or through the contents of a folder, by any name or link."""
    home = folder.resolve()
    places = list(_places(path))
    return any(home in place.parents for place in places) or (bool(places) and places[-1] == home)


def _places(path: Path) -> Iterator[Path]:
    """Yield all places that a path passes through, also behind links, each without links."""
    start = Path(os.path.abspath(path.anchor or "."))  # the current folder's path has no links
    todo, at, links = [part for part in path.parts if part != path.anchor], start, 0
    while todo:
        part = todo.pop(0)
        if part == "..":
            at = at.parent
            yield at
            continue
        at = at / part
        yield at
        if at.is_symlink():
            links += 1
            if links > LINKS:
                return
            target = Path(os.readlink(at))
            at = Path(target.anchor) if target.is_absolute() else at.parent
            todo[:0] = [part for part in target.parts if part != target.anchor]
