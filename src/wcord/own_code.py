"""Whose code raised an error: which of the user's own functions it was, and where."""

import site
import sys
import sysconfig
from pathlib import Path
from traceback import walk_tb
from types import FrameType

from wcord.checks import shown

OURS = Path(__file__).parent


def of_own_code(error: BaseException) -> str | None:
    """Return which function of the user's raised an error and what it said, or None where no such function ran.

    The innermost function counts whose file belongs neither to wcord nor to Python or an installed package: a network
    whose forward gives torch a wrong shape is named, too.
    """
    own = [(frame, line) for frame, line in walk_tb(error.__traceback__) if _is_own(frame)]
    if not own:
        return None
    frame, line = own[-1]
    name = frame.f_code.co_qualname.rpartition("<locals>.")[2]
    verb = "called" if isinstance(error, SystemExit) else "raised"
    return f"{name} ({Path(frame.f_code.co_filename).name}, line {line}) {verb} {said_by(error)}"


def said_by(error: BaseException) -> str:
    """Return what an error says in a few words, on one line.

    >>> said_by(KeyError("x")), said_by(SystemExit(3)), said_by(AssertionError())
    ("KeyError: 'x'", 'sys.exit(3)', 'AssertionError')
    """
    if isinstance(error, SystemExit):
        return f"sys.exit({shown(error.code)})"
    text = " ".join(str(error).split())
    short = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return f"{type(error).__name__}" + (f": {short}" if short else "")


LONGEST = 200
"""Characters of another's message that ours repeats."""


def _is_own(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    if file.startswith("<"):  # code that a library wrote, such as the methods of dataclasses
        return False
    return not any(Path(file).is_relative_to(folder) for folder in (OURS, *_INSTALLED))


_INSTALLED = {
    Path(folder)
    for folder in (
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(),
        site.getusersitepackages(),
        *(entry for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))),
    )
}
"""Folders of Python's own code and of installed packages."""
