"""Whether a hand-written GPU kernel computes what torch computes as well, and what happens where it cannot.

A kernel stands beside its torch path and is taken only where a committed measurement says that it wins.
"""

import os
import warnings
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from wcord.checks import UsageError, shown

VARIABLE = "WCORD_KERNELS"
"""Environment variable that sets whether kernels are used: `auto` (those of `KEPT`), `on` or `off`."""
KEPT: dict[str, int] = {"sinkhorn": 256}
"""Kernel → the largest size at which it won, from the verdicts of benchmarks/speed/kernels.py on a GPU."""

ALIGNED = 16
"""Bytes that the addresses of tensors are multiples of; others would be compiled for once more."""

Result = TypeVar("Result")

_launched: set[tuple[object, ...]] = set()
_failed: set[str] = set()


def choice() -> str:
    """Return what the environment variable says, `auto` where it is not set.

    Raises:
        UsageError: it holds something else.
    """
    text = os.environ.get(VARIABLE, "").strip() or "auto"
    if text not in ("auto", "on", "off"):
        raise UsageError(f"{VARIABLE} must be auto, on or off, received {shown(text)}: set or unset the variable")
    return text


def result_of(
    kernel: str, launch: Callable[[], Result], *, tensors: Sequence[Tensor], size: int, variant: tuple[object, ...]
) -> Result | None:
    """Return what a kernel computes, or None where torch has to: the caller then goes on as if there were no kernel.

    No value is looked at. A kernel that fails to compile or to launch is not tried again in this process; the first
    that fails is reported by a warning. What was never launched before is not launched while a CUDA graph is captured,
    where nothing can be compiled: the graph holds the torch path then.

    Args:
        kernel: its name.
        launch: imports Triton, which is not on every system, and launches the kernel.
        tensors: all that it reads.
        size: compared with the size up to which it won.
        variant: all that it is compiled anew for.
    """
    asked = choice()
    if asked == "off" or kernel in _failed or (asked == "auto" and size > KEPT.get(kernel, -1)):
        return None
    if not all(_suits(tensor) for tensor in tensors) or len({tensor.device for tensor in tensors}) > 1:
        return None
    compiled = (kernel, tensors[0].device, *variant)
    if compiled not in _launched and torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
        return None
    try:
        with torch.cuda.device_of(tensors[0]):
            result = launch()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a compiler, a driver and a launcher have errors of their own
        _give_up(kernel, error, silent=asked == "auto" and isinstance(error, ImportError))
        return None
    _launched.add(compiled)
    return result


def _suits(tensor: Tensor) -> bool:
    """Whether a kernel reads the tensor as it is; a subclass may hold no numbers at all."""
    return (
        tensor.device.type == "cuda"
        and type(tensor) in (Tensor, torch.nn.Parameter)
        and tensor.dtype in (torch.float32, torch.int32, torch.int64)
        and bool(tensor.is_contiguous())
        and int(tensor.storage_offset()) * tensor.itemsize % ALIGNED == 0
    )


def _give_up(kernel: str, error: Exception, *, silent: bool) -> None:
    first = not _failed
    _failed.add(kernel)
    if first and not silent:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        warnings.warn(
            f"the GPU kernel {kernel!r} failed ({said}): torch computes what it would have ({VARIABLE}=off: always)",
            RuntimeWarning,
            stacklevel=3,
        )
