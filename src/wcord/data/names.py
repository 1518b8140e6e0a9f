"""Names of files: endings, the keys by which partners are found, and whether two lists of names agree."""

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
    """Return the ending of a file's name in lower case, or ""; a number or a phrase is no ending.

    >>> ending_of("a.JPG"), ending_of("img_0.5"), ending_of("portrait of Mr. Smith"), ending_of(".hidden")
    ('.jpg', '', '', '')
    """
    match = _ENDING.search(name.lower())
    return match.group() if match is not None and match.start() else ""


def composed(name: str) -> str:
    """Return a name in Unicode's composed form (NFC): macOS and some zip files write é as two characters."""
    return unicodedata.normalize("NFC", name)


def key_of(path: Path, folder: Path) -> str:
    """Return the key by which a file's partner is found: its path below a folder, without its ending."""
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


def compare_rows(split: str, student: Sequence[str], teacher: Sequence[str], remedy: str) -> tuple[str, ...]:
    """Return a note if files that are paired by row have no name in common, so that their order is unconfirmed.

    >>> compare_rows("train", ["a/1", "a/2"], ["b/1", "b/2"], "")
    ()

    Raises:
        UsageError: file names of both sides are the same but in different rows; or names differ in their numbers alone
            (rgb9, rgb10 beside dep09, dep10), and these are in different orders.
    """
    names, others = [stem_of(name) for name in student], [stem_of(name) for name in teacher]
    if not names or not others:
        return ()
    same_names = not set(names).isdisjoint(others)
    marks = (names, others) if same_names else _places_by_number(names, others)
    for row, (mark, other) in enumerate(zip(*marks, strict=False)):
        if mark != other:
            raise UsageError(
                f"pairing by row contradicts the {'' if same_names else 'numbers in the '}names of the {split} files: "
                f"row {row} is {names[row]!r} for the student and {others[row]!r} for the teacher; {remedy}"
            )
    return () if same_names else (NO_COMMON_NAMES,)


def _places_by_number(names: Sequence[str], others: Sequence[str]) -> tuple[list[Any], list[Any]]:
    """Return marks of both sides that are equal row by row if numbers in the names are in the same order; or none.

    Marks are the numbers themselves where both sides have the same, else their ranks.
    """
    sides = [[tuple(map(int, _NUMBER.findall(name))) for name in side] for side in (names, others)]
    numbered = [len({_NUMBER.sub("#", name) for name in names}) == 1 and all(side)
                for names, side in zip((names, others), sides, strict=True)]  # fmt: skip
    if not all(numbered) or len(names) != len(others):
        return [], []
    if sorted(sides[0]) == sorted(sides[1]):
        return sides[0], sides[1]
    if any(len(set(side)) < len(side) for side in sides):
        return [], []
    ranks = [{number: place for place, number in enumerate(sorted(side))} for side in sides]
    return [ranks[0][number] for number in sides[0]], [ranks[1][number] for number in sides[1]]
