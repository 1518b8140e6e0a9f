"""One voice for every error message: what was wrong, what was received, how to mend it.

Nothing here imports torch, so that the command line can complain without loading it.
"""

import difflib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class UsageError(ValueError):
    """A user's mistake, told in one line; the command line exits with code 2."""


class DoesNotFitError(UsageError):
    """A method that a network, or a pair of networks, cannot be used with; other methods may fit them."""


class ChangedInputError(UsageError):
    """A run that cannot go on since what it began with, its data or its teacher, has become something else."""


class NonFiniteError(UsageError):
    """NaN or infinity where a loss was given its input; a training run turns it into a RunError with its step."""


class RunError(RuntimeError):
    """A run that failed under way (NaN, full disk), told in one line; the command line exits with code 1."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a name that is not among the known ones, with the nearest name offered.

    >>> str(unknown("method", "wcrod", ["kd", "wcord"]))
    "unknown method 'wcrod': did you mean 'wcord'? Known: kd, wcord"
    """
    options = sorted(known)
    near = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return UsageError(f"unknown {kind} {name!r}: {hint}Known: {', '.join(options)}")


def require_choice(kind: str, name: str, known: Iterable[str]) -> None:
    """Raise unless `name` is one of `known`."""
    options = list(known)
    if name not in options:
        raise unknown(kind, name, options)


def require_positive(name: str, value: float) -> None:
    """Raise unless `value` is a finite number above zero."""
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{name} must be a finite number above 0, received {value}")


def require_fraction(name: str, value: float) -> None:
    """Raise unless `value` lies in [0, 1]."""
    if not 0 <= value <= 1:
        raise UsageError(f"{name} must lie between 0 and 1, received {value}")


def require_text(what: str, value: object) -> None:
    """Raise where a text holds what no file can: a name on disk whose bytes are no UTF-8 comes as lone surrogates.

    Args:
        what: what the text is, for the message.
        value: the text, or several; anything else passes.
    """
    texts = [value] if isinstance(value, str | Path) else value if isinstance(value, list | tuple) else []
    for text in map(str, texts):
        if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
            raise UsageError(f"{what} {text!a} is not valid UTF-8: rename it")


def require_file(path: str | Path, what: str) -> Path:
    """Return `path` if it is a file, else raise saying which `what` is missing."""
    found = Path(path)
    if found.is_dir():
        raise UsageError(f"{what} {str(path)!r} is a folder: name a file in it")
    if not found.is_file():
        raise UsageError(f"{what} {str(path)!r} does not exist: check the path")
    return found


def require_matrix(name: str, tensor: "Tensor", *, min_rows: int = 1) -> None:
    """Raise unless `tensor` is a floating-point batch × features matrix with enough rows."""
    if not tensor.is_floating_point():
        raise TypeError(f"{name} must hold floating-point numbers, received {tensor.dtype}: convert it with .float()")
    if tensor.dim() != 2:
        raise UsageError(f"{name} must be a matrix (batch × features), received shape {tuple(tensor.shape)}")
    if tensor.shape[0] < min_rows:
        raise UsageError(f"{name} needs a batch of at least {min_rows}, received {tensor.shape[0]}: use a larger batch")


def require_same_shape(first: str, a: "Tensor", second: str, b: "Tensor") -> None:
    """Raise unless both tensors have one shape."""
    if a.shape != b.shape:
        raise UsageError(
            f"{first} and {second} must have the same shape, received {tuple(a.shape)} and {tuple(b.shape)}"
        )


def require_same_rows(first: str, a: "Tensor", second: str, b: "Tensor") -> None:
    """Raise unless both tensors hold the same number of samples."""
    if a.shape[0] != b.shape[0]:
        raise UsageError(
            f"{first} and {second} must hold the same samples, received {a.shape[0]} and {b.shape[0]} rows"
        )


def require_finite(name: str, tensor: "Tensor") -> None:
    """Raise if a tensor on the CPU holds NaN or infinity.

    On an accelerator the question would stall the queue, so it is left to the training loop, which looks at every
    loss part when it reads them.
    """
    if tensor.device.type != "cpu" or bool(tensor.isfinite().all()):
        return
    bad = int((~tensor.isfinite()).sum())
    raise NonFiniteError(f"{name} holds {bad} values that are NaN or infinite: look at what produced it")
