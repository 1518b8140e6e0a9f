"""Dispatch to hand-written GPU kernels, with the torch path as the fallback.

A kernel is used only up to the size at which a committed measurement says that it is faster.
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
"""Kernel → the largest size at which it was faster, from the verdicts of benchmarks/speed/kernels.py on a GPU."""

ALIGNED = 16
"""Required alignment of tensors in bytes; other addresses would need another compilation."""

Result = TypeVar("Result")

_launched: set[tuple[object, ...]] = set()
_failed: set[str] = set()


def choice() -> str:
    """Return the value of the environment variable, `auto` if it is not set.

    Raises:
        UsageError: on any other value.
    """
    text = os.environ.get(VARIABLE, "").strip() or "auto"
    if text not in ("auto", "on", "off"):
        raise UsageError(f"{VARIABLE} must be auto, on or off, received {shown(text)}: set or unset the variable")
    return text


def result_of(
    kernel: str, launch: Callable[[], Result], *, tensors: Sequence[Tensor], size: int, variant: tuple[object, ...]
) -> Result | None:
    """Return the result of a kernel, or None if torch has to compute it.

    No value is read. A kernel that fails to compile or to launch is not tried again in this process; the first failure
    is reported by a warning. A kernel that was not launched before is not launched while a CUDA graph is captured,
    since nothing can be compiled then: the graph contains the torch path.

    Args:
        kernel: its name.
        launch: imports Triton, which is not on every system, and launches the kernel.
        tensors: its inputs.
        size: compared with the largest size at which it is faster.
        variant: the values that need a separate compilation.
    """
    mode = choice()
    if mode == "off" or kernel in _failed or (mode == "auto" and size > KEPT.get(kernel, -1)):
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
    except Exception as error:  # compiler, driver and launcher each raise their own
        _give_up(kernel, error, silent=mode == "auto" and isinstance(error, ImportError))
        return None
    _launched.add(compiled)
    return result


def _suits(tensor: Tensor) -> bool:
    """Return whether a kernel can read the tensor; a subclass may have no storage."""
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
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        warnings.warn(
            f"the GPU kernel {kernel!r} failed ({reason}): torch computes its results instead; {VARIABLE}=off always "
            "selects torch",
            RuntimeWarning,
            stacklevel=3,
        )
