"""Errors and checks with uniform messages: what is wrong, what was received, how to fix it.

Nothing here imports torch, so that the command line reports mistakes without loading it.
"""

import difflib
import math
from collections.abc import Iterable, Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, SupportsFloat

from wcord.host import may_read

if TYPE_CHECKING:
    from torch import Tensor

LISTED = 150
"""Names that a message lists at most."""


class _OneLineError(Exception):
    """An error whose message is one line, also with line breaks in names of files or columns."""

    def __str__(self) -> str:
        return " ".join(super().__str__().splitlines())


class UsageError(_OneLineError, ValueError):
    """A user's mistake, in one line; the command line exits with code 2."""


class WrongTypeError(UsageError, TypeError):
    """A value of the wrong type: a `TypeError` for Python, a user's mistake for the commands."""


class DoesNotFitError(UsageError):
    """A method does not fit a network or a pair of networks; other methods may."""


class ChangedInputError(UsageError):
    """A run cannot resume because its settings, its data or its teacher have changed."""


class NonFiniteError(UsageError):
    """NaN or infinity in the input of a loss; a training run turns it into a RunError with its step."""


class RunError(_OneLineError, RuntimeError):
    """A run failed during its work (NaN, full disk), in one line; the command line exits with code 1."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for an unknown name, with the nearest known name as a suggestion.

    >>> str(unknown("method", "wcrod", ["kd", "wcord"]))
    "unknown method 'wcrod': did you mean 'wcord'? Known: kd, wcord"
    """
    options = sorted(known)
    near = difflib.get_close_matches(str(name), options, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    listing = ", ".join(options[:LISTED]) + (f", … ({len(options)} in all)" if len(options) > LISTED else "")
    return UsageError(f"unknown {kind} {shown(name)}: {hint}Known: {listing}")


def require_choice(kind: str, name: str, known: Iterable[str]) -> None:
    """Raise unless `name` is one of `known`."""
    options = list(known)
    if not isinstance(name, str):
        raise WrongTypeError(f"{kind} must be one of {', '.join(map(repr, options[:LISTED]))}, received {shown(name)}")
    if name not in options:
        raise unknown(kind, name, options)


def shown(value: object) -> str:
    """Return a value for a message: short, with text in quotes.

    >>> shown("x"), shown(0.5), shown(10**60)
    ("'x'", '0.5', 'a number of 61 digits')
    """
    if isinstance(value, int) and abs(value) >= 10**40:
        return f"a number of {math.floor(math.log10(abs(value))) + 1} digits"
    text = str(value) if isinstance(value, float) else " ".join(repr(value).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


LONGEST = 80
"""Most characters of a wrong value in a message."""


def require_number(
    name: str,
    value: object,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    whole: bool = False,
) -> None:
    """Raise unless `value` is a finite number in an interval, which includes `low` and `high`, not `above` and `below`.

    Every number from a user is checked here, so that the messages are the same everywhere.

    >>> require_number("batch_size", 1.5, low=1, whole=True)
    Traceback (most recent call last):
        ...
    wcord.checks.UsageError: batch_size must be a whole number of at least 1, received 1.5
    """
    number = _number(value, whole=whole)
    inside = (
        number is not None
        and (low is None or number >= low)
        and (high is None or number <= high)
        and (above is None or number > above)
        and (below is None or number < below)
    )
    if inside:
        return
    if low is not None and high is not None:
        kind = "be a whole number between" if whole else "lie between"
        raise UsageError(f"{name} must {kind} {_end(low)} and {_end(high)}, received {shown(value)}")
    ends = (("of at least", low), ("above", above), ("at most", high), ("below", below))
    interval = " and ".join(f"{words} {_end(end)}" for words, end in ends if end is not None)
    kind = "a whole number" if whole else "a finite number"
    raise UsageError(f"{name} must be {f'{kind} {interval}'.strip()}, received {shown(value)}")


def _end(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


def _number(value: object, *, whole: bool) -> float | None:
    """Return a value as a Python number, or None if it is not a finite number."""
    if type(value) is int:
        return value if whole or abs(value) < 2**63 else None  # PyTorch takes no more
    if isinstance(value, bool | str | bytes) or (whole and not isinstance(value, Integral)):
        return None
    if isinstance(value, Integral):
        return int(value)
    try:
        number = float(value) if isinstance(value, SupportsFloat) else math.nan
    except (TypeError, ValueError, RuntimeError):  # an array of several numbers
        return None
    return number if math.isfinite(number) else None


def require_positive(name: str, value: object) -> None:
    """Raise unless `value` is a finite number above zero."""
    require_number(name, value, above=0)


def require_fraction(name: str, value: object) -> None:
    """Raise unless `value` is in [0, 1]."""
    require_number(name, value, low=0, high=1)


def require_counts(**values: object) -> None:
    """Raise unless each argument is a whole number from 1 to `LARGEST_COUNT`."""
    for name, value in values.items():
        require_number(name, value, low=1, whole=True)
        require_number(name, value, high=LARGEST_COUNT, whole=True)


LARGEST_COUNT = 2**40
"""More rows, channels, draws or iterations than this are a typing error."""


def require_size(name: str, size: object) -> tuple[int, int]:
    """Return a picture's height and width, or raise unless it is two whole numbers of pixels."""
    if not isinstance(size, Sequence) or len(size) != 2 or isinstance(size, str):
        raise UsageError(f"{name} must be a height and a width in pixels, received {shown(size)}")
    for side in size:
        require_number(name, side, low=1, high=LARGEST_SIDE, whole=True)
    return int(size[0]), int(size[1])


LARGEST_SIDE = 8192
"""Pixels along one side of a picture. Far larger numbers are typing errors, and would take all memory."""


LEAST_STD = 1e-30
"""Least standard deviation of an input: dividing by much less would overflow."""


def require_bool(name: str, value: object) -> None:
    """Raise unless `value` is True or False."""
    if not isinstance(value, bool):
        raise UsageError(f"{name} must be True or False, received {shown(value)}")


def require_kind(name: str, value: object, kinds: type | tuple[type, ...], expected: str) -> None:
    """Raise unless `value` is of one of the kinds, which `expected` names."""
    if not isinstance(value, kinds):
        raise WrongTypeError(f"{name} must be {expected}, received {shown(value)}")


def require_list(name: str, value: object) -> None:
    """Raise unless `value` is a list or None."""
    if isinstance(value, str | Path):
        raise UsageError(f"{name} must be a list, received {shown(str(value))}: write [{shown(str(value))}]")
    if value is not None and not isinstance(value, Iterable):
        raise UsageError(f"{name} must be a list, received {shown(value)}")


def require_names(name: str, value: object) -> None:
    """Raise unless `value` is a list of texts."""
    require_list(name, value)
    if value is None:
        raise WrongTypeError(f"{name} must be a list of names, received None: write ()")
    assert isinstance(value, Iterable)
    for item in value:
        require_kind(f"each of {name}", item, str, "text")


def require_text(what: str, value: object) -> None:
    """Raise on lone surrogates in a text, as in a file name whose bytes are not UTF-8: no file can hold them.

    Args:
        what: description of the text, for the message.
        value: a text or several; anything else passes.
    """
    texts = [value] if isinstance(value, str | Path) else value if isinstance(value, list | tuple) else []
    for text in map(str, texts):
        if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
            raise UsageError(f"{what} {text!a} is not valid UTF-8: rename it")


def require_tensor(name: str, value: object) -> None:
    """Raise unless `value` is a dense tensor with values."""
    import torch  # the command line does not need it

    if not isinstance(value, torch.Tensor):
        kind = type(value).__name__
        raise WrongTypeError(f"{name} must be a tensor, received {kind}: convert it with torch.as_tensor")
    if value.is_meta:
        raise UsageError(f"{name} is on the meta device and holds no values: compute it on the CPU or a GPU")
    if value.layout is not torch.strided:
        raise WrongTypeError(f"{name} must be a dense tensor, received {value.layout}: convert it with .to_dense()")


def require_whole_numbers(name: str, value: object, rows: int | None = None) -> None:
    """Raise unless `value` is a vector of whole numbers, of `rows` elements if set."""
    from torch import Tensor
    from torch import bool as truth

    require_tensor(name, value)
    assert isinstance(value, Tensor)
    if value.is_floating_point() or value.is_complex() or value.dtype is truth:
        raise WrongTypeError(f"{name} must hold whole numbers, received {value.dtype}: convert it with .long()")
    if value.dim() != 1 or (rows is not None and len(value) != rows):
        count = "one number" if rows is None else f"{rows} numbers, one"
        raise UsageError(f"{name} must hold {count} for each sample, received shape {tuple(value.shape)}")


def require_fractions(name: str, value: object) -> None:
    """Raise unless `value` is a tensor of floating-point numbers."""
    from torch import Tensor  # the command line does not need it

    require_tensor(name, value)
    assert isinstance(value, Tensor)
    if not value.is_floating_point():
        raise WrongTypeError(
            f"{name} must hold floating-point numbers, received {value.dtype}: convert it with .float()"
        )


def require_matrix(name: str, tensor: "Tensor", *, min_rows: int = 1) -> None:
    """Raise unless `tensor` is a floating-point batch × features matrix with enough rows."""
    require_fractions(name, tensor)
    if tensor.dim() != 2:
        raise UsageError(f"{name} must be a matrix (batch × features), received shape {tuple(tensor.shape)}")
    if tensor.shape[1] == 0:
        raise UsageError(f"{name} has rows of width 0, received shape {tuple(tensor.shape)}: give some features")
    if tensor.shape[0] < min_rows:
        raise UsageError(f"{name} needs a batch of at least {min_rows}, received {tensor.shape[0]}: use a larger batch")


def require_widths(name: str, built: Sequence[object], received: Sequence[object]) -> None:
    """Raise unless a student's and a teacher's features have the widths for which `name` was built.

    >>> require_widths("WCoRDLoss", (6, 10), (10, 6))
    Traceback (most recent call last):
        ...
    wcord.checks.UsageError: WCoRDLoss was built for a student of width 6 and a teacher of width 10, received ...
    """
    if tuple(built) != tuple(received):
        raise UsageError(
            f"{name} was built for a student of width {built[0]} and a teacher of width {built[1]}, "
            f"received {received[0]} and {received[1]}: pass the student's features first, or build it for these widths"
        )


def require_same_shape(first: str, a: "Tensor", second: str, b: "Tensor") -> None:
    """Raise unless both tensors have the same shape."""
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

    Elsewhere (see `host.may_read`) the training loop checks the loss parts when it reads them.
    """
    if not may_read(tensor) or bool(tensor.isfinite().all()):
        return
    bad = int((~tensor.isfinite()).sum())
    raise NonFiniteError(f"{name} holds {bad} values that are NaN or infinite: check what produced it")
