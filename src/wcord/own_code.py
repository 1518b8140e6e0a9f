"""The user's function that raised an error, and its line."""

import site
import sys
import sysconfig
from pathlib import Path
from traceback import walk_tb
from types import FrameType

from wcord.checks import shown

OURS = Path(__file__).parent


def of_own_code(error: BaseException) -> str | None:
    """Return the user's function that raised an error, and its message; None if there is no such function.

    It is the innermost function whose file belongs neither to wcord nor to Python or an installed package, such as a
    network's forward that passes a wrong shape to torch.
    """
    frames = [(frame, line) for frame, line in walk_tb(error.__traceback__) if _is_users(frame)]
    if not frames:
        return None
    frame, line = frames[-1]
    name = frame.f_code.co_qualname.rpartition("<locals>.")[2]
    verb = "called" if isinstance(error, SystemExit) else "raised"
    return f"{name} ({Path(frame.f_code.co_filename).name}, line {line}) {verb} {said_by(error)}"


def said_by(error: BaseException) -> str:
    """Return an error's type and message, on one line.

    >>> said_by(KeyError("x")), said_by(SystemExit(3)), said_by(AssertionError())
    ("KeyError: 'x'", 'sys.exit(3)', 'AssertionError')
    """
    if isinstance(error, SystemExit):
        return f"sys.exit({shown(error.code)})"
    text = " ".join(str(error).split())
    short = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return f"{type(error).__name__}" + (f": {short}" if short else "")


LONGEST = 200
"""Most characters of a foreign message in ours."""


def _is_users(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    if file.startswith("<"):  # generated code, such as the methods of dataclasses
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
"""Folders of Python's standard library and of installed packages."""
