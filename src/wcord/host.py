"""Whether the host may look at a value: on an accelerator that waits for the device, and a captured step cannot do it.

A training step that is to be replayed as one CUDA graph runs the code of the host once, when it is captured. Nothing in
it may depend on a number that the device computes: no check of values, no branch on one, no shape that follows from
one. The code asks here before it looks. (`no_reads` holds in its own thread: backward passes on a GPU, which
run in another, must not look at values anyway.)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line complains about settings without torch
    from torch import Tensor

_reads_off = ContextVar("reads_off", default=False)


def may_read(tensor: "Tensor") -> bool:
    """Return whether looking at the values of a tensor is free: it is on the CPU, outside of `no_reads`.

    >>> import torch
    >>> with no_reads():
    ...     inside = may_read(torch.zeros(1))
    >>> inside, may_read(torch.zeros(1))
    (False, True)
    """
    return tensor.device.type == "cpu" and not _reads_off.get()


def reads_are_off() -> bool:
    """Return whether no value may be looked at on any device, for checks that are else worth waiting for."""
    return _reads_off.get()


@contextmanager
def no_reads() -> Iterator[None]:
    """Let nothing look at values within: what is computed is then the same as in a step that is captured."""
    token = _reads_off.set(True)
    try:
        yield
    finally:
        _reads_off.reset(token)
