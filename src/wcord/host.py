"""Whether the host may read a value: on an accelerator that waits for the device, and a captured step must not do it.

A training step that is replayed as one CUDA graph runs its host code once, when it is captured. Nothing in it may
depend on a number that the device computes: no check of values, no branch on one, no shape that follows from one. Code
calls `may_read` before it reads. (`no_reads` applies to its own thread: backward passes on a GPU, which run in another,
must not read values anyway.)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line reports wrong settings without importing torch
    from torch import Tensor

_reads_off = ContextVar("reads_off", default=False)


def may_read(tensor: "Tensor") -> bool:
    """Return whether reading the values of a tensor is free: it is on the CPU, outside of `no_reads`.

    >>> import torch
    >>> with no_reads():
    ...     inside = may_read(torch.zeros(1))
    >>> inside, may_read(torch.zeros(1))
    (False, True)
    """
    return tensor.device.type == "cpu" and not _reads_off.get()


def reads_are_off() -> bool:
    """Return whether no value may be read on any device, for checks that are otherwise worth the wait."""
    return _reads_off.get()


@contextmanager
def no_reads() -> Iterator[None]:
    """Forbid reads of values in the context, which then computes the same as a captured step."""
    token = _reads_off.set(True)
    try:
        yield
    finally:
        _reads_off.reset(token)
