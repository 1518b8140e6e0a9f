"""Walks a folder: the files of one kind below it, and a count of what is skipped."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from wcord.checks import UsageError
from wcord.data.formats import WITHOUT_DECODER, is_picture_by_content, picture_endings
from wcord.data.names import ending_of

_LITTER = frozenset(
    {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "lost+found", "$recycle.bin", "#recycle"}
    | {"system volume information", "__pycache__"}
)  # fmt: skip
"""Files and folders of operating systems, in lower case, in addition to names that begin with a dot or an @."""
SHOWN = 5
"""Endings and folders that a note lists."""


@dataclass(frozen=True)
class FileKind:
    """A kind of files.

    Attributes:
        noun: name of one such file.
        endings: of such files.
        examples: some of them, for a message.
        by_content: whether a file with another ending, or none, is of the kind.
    """

    noun: str
    endings: frozenset[str]
    examples: str
    by_content: Callable[[Path], bool] = lambda path: False

    def matches(self, path: Path) -> bool:
        """Return whether a file is of this kind."""
        return ending_of(path.name) in self.endings or self.by_content(path)


def pictures() -> FileKind:
    """Return the kind of files that Pillow decodes here."""
    return FileKind("image", picture_endings(), ".jpg, .png, .webp", is_picture_by_content)


@dataclass
class Skipped:
    """Counts of what is skipped in folders.

    Attributes:
        endings: ending → number of files of other kinds.
        beside: files of the kind beside the class folders, not in one.
        links: broken links.
        hidden: hidden files of the kind.
        folders: names of hidden folders.
    """

    endings: Counter[str] = field(default_factory=Counter)
    beside: int = 0
    links: int = 0
    hidden: int = 0
    folders: set[str] = field(default_factory=set)

    def add(self, other: "Skipped") -> None:
        """Add other counts."""
        self.endings += other.endings
        self.beside += other.beside
        self.links += other.links
        self.hidden += other.hidden
        self.folders |= other.folders

    def note(self, kind: FileKind) -> tuple[str, ...]:
        """Return one note on everything that is skipped, or none."""
        parts = [f"{_count(self.endings.total(), 'file')} ({self.by_ending})"] if self.endings else []
        for count, noun in ((self.hidden, f"hidden {kind.noun}"), (self.links, "broken link")):
            parts += [_count(count, noun)] if count else []
        parts += [f"{_count(self.beside, kind.noun)} beside the class folders, not in one"] if self.beside else []
        if self.folders:
            parts.append(f"{_count(len(self.folders), 'hidden folder')} ({_first(sorted(self.folders))})")
        return (f"skipped: {', '.join(parts)}{self._missing(kind)}",) if parts else ()

    @property
    def by_ending(self) -> str:
        """The files of other kinds, the most frequent endings first: `.txt 48, .csv 2`."""
        counts = sorted(self.endings.items(), key=lambda item: (-item[1], item[0]))
        return _first([f"{ending or 'no ending'} {count}" for ending, count in counts])

    def _missing(self, kind: FileKind) -> str:
        """Return a remark on pictures without a decoder."""
        lost = sorted(WITHOUT_DECODER & self.endings.keys())
        return f"; there is no decoder for {', '.join(lost)}" if lost and kind.noun == "image" else ""


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is skipped for its name: hidden, of the system, or an editor's copy."""
    return name[:1] in (".", "@") or name.endswith("~") or name.casefold() in _LITTER


def folders_in(root: Path, skipped: Skipped | None = None) -> list[Path]:
    """Return the folders in a folder, in order of name, links to folders among them; without hidden ones."""
    inside = [Path(entry.path) for entry in _entries(root) if entry.is_dir()]
    if skipped is not None:
        skipped.folders |= {path.name for path in inside if is_hidden(path.name)}
    return [path for path in inside if not is_hidden(path.name)]


def files_in(root: Path, kind: FileKind, skipped: Skipped) -> list[Path]:
    """Return the files of a kind that lie directly in a folder, in order of name."""
    return _of_kind(root, [entry.name for entry in _entries(root) if not entry.is_dir()], kind, skipped)


def files_below(folder: Path, kind: FileKind, skipped: Skipped) -> list[Path]:
    """Return the files of a kind at any depth below a folder, sorted.

    Links to folders are followed; each folder is read once, and parents of the folder, real or linked, never. Hidden
    files and folders are skipped.

    Args:
        folder: where to look.
        kind: of the files.
        skipped: counts of what is skipped; they are increased.

    Raises:
        UsageError: a folder cannot be read.
    """
    above = (*folder.resolve().parents, *folder.absolute().parents)
    read = {_identity(parent) for parent in above}
    files: list[Path] = []
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        identity = _identity(Path(place))
        if identity in read:
            folders.clear()
            continue
        read.add(identity)
        skipped.folders |= {name for name in folders if is_hidden(name)}
        # Real folders first: a folder is read by its own path rather than by a link.
        shown = [name for name in folders if not is_hidden(name)]
        folders[:] = sorted(shown, key=lambda name: (os.path.islink(os.path.join(place, name)), name))
        files += _of_kind(Path(place), names, kind, skipped)
    return sorted(files)


def same_files(paths: Sequence[Path]) -> list[tuple[int, int]]:
    """Return the positions of paths to the file of an earlier path, each with the earlier position.

    Raises:
        UsageError: a file is inaccessible.
    """
    first: dict[tuple[int, int], int] = {}
    repeated: list[tuple[int, int]] = []
    for place, path in enumerate(paths):
        try:
            identity = _identity(path)
        except OSError as error:
            _refuse(error)
        earlier = first.setdefault(identity, place)
        if earlier != place and identity[1]:  # some file systems number no files
            repeated.append((place, earlier))
    return repeated


def _of_kind(place: Path, names: Iterable[str], kind: FileKind, skipped: Skipped) -> list[Path]:
    files = []
    for path in (place / name for name in names):
        if is_hidden(path.name):
            skipped.hidden += ending_of(path.name) in kind.endings and not path.name.startswith("._")
        elif not path.is_file():  # a broken link; pipes and sockets are not data
            skipped.links += path.is_symlink()
        elif kind.matches(path):
            files.append(path)
        else:
            skipped.endings[ending_of(path.name)] += 1
    return files


def _entries(root: Path) -> list["os.DirEntry[str]"]:
    try:
        return sorted(os.scandir(root), key=lambda entry: entry.name)
    except OSError as error:
        return _refuse(error)


def _refuse(error: OSError) -> NoReturn:
    raise UsageError(f"folder {str(error.filename)!r} cannot be read ({error.strerror}): check its permissions")


def _identity(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _first(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
