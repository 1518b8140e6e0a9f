"""What files are called: their endings, the names that pairs are found by, and whether two lists of names agree."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

from wcord.checks import UsageError

SHOWN = 3
"""Names that a message lists."""
NO_COMMON_NAMES = (
    "the files of student and teacher have no name in common and are paired by row, in the order of their names"
)
_NUMBER = re.compile(r"[0-9]+")
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
        UsageError: they have names in common, folders aside, but not in the same rows; or their numbers, where names
            differ in these alone (rgb9, rgb10 beside dep09, dep10), say that the rows are in other orders.
    """
    own, theirs = [stem_of(name) for name in own], [stem_of(name) for name in theirs]
    if not own or not theirs:
        return ()
    same_names = not set(own).isdisjoint(theirs)
    marks = (own, theirs) if same_names else _places_by_number(own, theirs)
    for row, (mark, other) in enumerate(zip(*marks, strict=False)):
        if mark != other:
            raise UsageError(
                f"pairing by row contradicts the {'' if same_names else 'numbers in the '}names of the {split} files: "
                f"row {row} is {own[row]!r} for the student and {theirs[row]!r} for the teacher; {remedy}"
            )
    return () if same_names else (NO_COMMON_NAMES,)


def _places_by_number(own: Sequence[str], theirs: Sequence[str]) -> tuple[list[Any], list[Any]]:
    """Return what has to be equal row by row if numbers in names say the order; nothing where they do not say it.

    Those are the numbers themselves where both sides have the same, else their places in the order of the numbers.
    """
    sides = [[tuple(map(int, _NUMBER.findall(name))) for name in names] for names in (own, theirs)]
    numbered = [len({_NUMBER.sub("#", name) for name in names}) == 1 and all(side)
                for names, side in zip((own, theirs), sides, strict=True)]  # fmt: skip
    if not all(numbered) or len(own) != len(theirs):
        return [], []
    if sorted(sides[0]) == sorted(sides[1]):
        return sides[0], sides[1]
    if any(len(set(side)) < len(side) for side in sides):
        return [], []
    ranks = [{number: place for place, number in enumerate(sorted(side))} for side in sides]
    return [ranks[0][number] for number in sides[0]], [ranks[1][number] for number in sides[1]]
