"""What files are called: their endings, the names that pairs are found by, and whether two lists of names agree."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePath

from wcord.checks import UsageError

SHOWN = 3
"""Names that a message lists."""
NO_COMMON_NAMES = (
    "the files of student and teacher have no name in common and are paired by row, in the order of their names"
)
_ENDING = re.compile(r"\.(?=[0-9]*[a-z])[a-z0-9]{1,10}$")


def ending_of(name: str) -> str:
    """Return the ending of a file's name in lower case, or "" where it has none: a number or a phrase is no ending.

    >>> ending_of("a.JPG"), ending_of("img_0.5"), ending_of("portrait of Mr. Smith"), ending_of(".hidden")
    ('.jpg', '', '', '')
    """
    found = _ENDING.search(name.lower())
    return found.group() if found is not None and found.start() else ""


def composed(name: str) -> str:
    """Return a name in Unicode's composed form (NFC): macOS and some zip files write é as two characters."""
    return unicodedata.normalize("NFC", name)


def key_of(path: Path, folder: Path) -> str:
    """Return the name that a file's partner is found by: its path below a folder, without its ending."""
    name = composed(path.relative_to(folder).as_posix())
    return name[: len(name) - len(ending_of(path.name))]


def stem_of(key: str) -> str:
    """Return the last part of a path, which is a file's name."""
    return PurePath(key).name


def listed(names: Sequence[str], *, shown: int = SHOWN) -> str:
    """Return the first names, as a message shows them.

    >>> listed(["a", "b", "c", "d"])
    "'a', 'b', 'c', …"
    """
    return ", ".join(repr(name) for name in names[:shown]) + (", …" if len(names) > shown else "")


def compare_rows(split: str, own: Sequence[str], theirs: Sequence[str], remedy: str) -> tuple[str, ...]:
    """Return a note where files that are paired by row have no name in common, so that nothing tells their order.

    >>> compare_rows("train", ["a/1", "a/2"], ["b/1", "b/2"], "")
    ()

    Raises:
        UsageError: they have names in common, folders aside, but not in the same rows.
    """
    own, theirs = [stem_of(name) for name in own], [stem_of(name) for name in theirs]
    if not own or not theirs:
        return ()
    if set(own).isdisjoint(theirs):
        return (NO_COMMON_NAMES,)
    for row, (name, other) in enumerate(zip(own, theirs, strict=False)):
        if name != other:
            raise UsageError(
                f"pairing by row contradicts the names of the {split} files: row {row} is {name!r} for the student and "
                f"{other!r} for the teacher; {remedy}"
            )
    return ()
