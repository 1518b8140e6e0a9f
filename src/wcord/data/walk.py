"""Walks a folder: the files of one kind below it, and what is passed over."""

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
"""What systems leave in folders, in lower case, besides what begins with a dot or an @."""
SHOWN = 5
"""Endings and folders that a note lists."""


@dataclass(frozen=True)
class Kind:
    """A kind of files.

    Attributes:
        noun: what one of them is called.
        endings: of the files that count.
        examples: some of them, for a message.
        by_content: tells whether a file of another ending, or of none, counts.
    """

    noun: str
    endings: frozenset[str]
    examples: str
    by_content: Callable[[Path], bool] = lambda path: False

    def counts(self, path: Path) -> bool:
        """Tell whether a file is of this kind."""
        return ending_of(path.name) in self.endings or self.by_content(path)


def pictures() -> Kind:
    """Return the kind of files that Pillow decodes here."""
    return Kind("image", picture_endings(), ".jpg, .png, .webp", is_picture_by_content)


@dataclass
class PassedOver:
    """What was found in folders and is not read.

    Attributes:
        endings: ending → number of files of other kinds.
        beside: files of the kind that lie beside the class folders, not in one.
        links: links that lead nowhere.
        hidden: hidden files of the kind.
        folders: names of hidden folders.
    """

    endings: Counter[str] = field(default_factory=Counter)
    beside: int = 0
    links: int = 0
    hidden: int = 0
    folders: set[str] = field(default_factory=set)

    def add(self, other: "PassedOver") -> None:
        """Count what was passed over elsewhere, too."""
        self.endings += other.endings
        self.beside += other.beside
        self.links += other.links
        self.hidden += other.hidden
        self.folders |= other.folders

    def note(self, kind: Kind) -> tuple[str, ...]:
        """Return one note on all of it, or none."""
        parts = [f"{_count(self.endings.total(), 'file')} ({self.by_ending})"] if self.endings else []
        for count, noun in ((self.hidden, f"hidden {kind.noun}"), (self.links, "broken link")):
            parts += [_count(count, noun)] if count else []
        parts += [f"{_count(self.beside, kind.noun)} beside the class folders, not in one"] if self.beside else []
        if self.folders:
            parts.append(f"{_count(len(self.folders), 'hidden folder')} ({_first(sorted(self.folders))})")
        told = [f"passed over: {', '.join(parts)}"] if parts else []
        return tuple(f"{line}{self._missing(kind)}" for line in told)

    @property
    def by_ending(self) -> str:
        """The files of other kinds, the most frequent endings first: `.txt 48, .csv 2`."""
        counts = sorted(self.endings.items(), key=lambda item: (-item[1], item[0]))
        return _first([f"{ending or 'no ending'} {count}" for ending, count in counts])

    def _missing(self, kind: Kind) -> str:
        """Name the pictures that would be read if there were a decoder."""
        lost = sorted(WITHOUT_DECODER & self.endings.keys())
        return f"; there is no decoder for {', '.join(lost)}" if lost and kind.noun == "image" else ""


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder is left out for its name: hidden, a system's own, or an editor's copy."""
    return name[:1] in (".", "@") or name.endswith("~") or name.casefold() in _LITTER


def folders_in(root: Path, passed: PassedOver | None = None) -> list[Path]:
    """Return the folders in a folder, in order of name, links to folders among them; hidden ones are left out."""
    inside = [Path(entry.path) for entry in _entries(root) if entry.is_dir()]
    if passed is not None:
        passed.folders |= {path.name for path in inside if is_hidden(path.name)}
    return [path for path in inside if not is_hidden(path.name)]


def files_in(root: Path, kind: Kind, passed: PassedOver) -> list[Path]:
    """Return the files of a kind that lie directly in a folder, in order of name."""
    return _of_kind(root, [entry.name for entry in _entries(root) if not entry.is_dir()], kind, passed)


def files_below(folder: Path, kind: Kind, passed: PassedOver) -> list[Path]:
    """Return the files of a kind at any depth below a folder, sorted.

    Links to folders are followed; each folder is read once, and none that holds the folder itself, neither where it
    lies nor where it is linked. Whatever has a hidden part below the folder is left out.

    Args:
        folder: where to look.
        kind: what counts.
        passed: counts what does not.

    Raises:
        UsageError: a folder cannot be read.
    """
    above = (*folder.resolve().parents, *folder.absolute().parents)
    read = {_identity(parent) for parent in above}
    found: list[Path] = []
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        identity = _identity(Path(place))
        if identity in read:
            folders.clear()
            continue
        read.add(identity)
        passed.folders |= {name for name in folders if is_hidden(name)}
        # Real folders first: of a folder and a link to it the folder's own path is taken.
        shown = [name for name in folders if not is_hidden(name)]
        folders[:] = sorted(shown, key=lambda name: (os.path.islink(os.path.join(place, name)), name))
        found += _of_kind(Path(place), names, kind, passed)
    return sorted(found)


def same_files(paths: Sequence[Path]) -> list[tuple[int, int]]:
    """Return the positions of paths that lead to the file of an earlier path, each with the earlier one's position.

    Raises:
        UsageError: a file cannot be looked at.
    """
    first: dict[tuple[int, int], int] = {}
    again: list[tuple[int, int]] = []
    for place, path in enumerate(paths):
        try:
            identity = _identity(path)
        except OSError as error:
            _refuse(error)
        earlier = first.setdefault(identity, place)
        if earlier != place and identity[1]:  # some file systems number no files
            again.append((place, earlier))
    return again


def _of_kind(place: Path, names: Iterable[str], kind: Kind, passed: PassedOver) -> list[Path]:
    found = []
    for path in (place / name for name in names):
        if is_hidden(path.name):
            passed.hidden += ending_of(path.name) in kind.endings and not path.name.startswith("._")
        elif not path.is_file():  # a link that leads nowhere; pipes and sockets are none of anybody's data
            passed.links += path.is_symlink()
        elif kind.counts(path):
            found.append(path)
        else:
            passed.endings[ending_of(path.name)] += 1
    return found


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
