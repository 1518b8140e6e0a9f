"""Out-of-memory errors of Python, NumPy and PyTorch, as one sentence."""

import errno
import re

_GPU = re.compile(
    r"(CUDA|HIP|MPS)\b.*out of memory|(CUBLAS|CUDNN|CUFFT|CUSOLVER|CUSPARSE)_STATUS_ALLOC_FAILED", re.DOTALL
)
_CPU = re.compile(r"DefaultCPUAllocator|not enough memory|can't allocate memory|Cannot allocate memory|std::bad_alloc")
_AMOUNT = re.compile(
    r"[Tt]ried to allocate ([\d.e]+ ?\w+)|Unable to allocate ([\d.]+ ?\w+)|Attempted to allocate ([\d.]+ ?\w+)"
)


def lack_of_memory(error: BaseException) -> str | None:
    """Return which memory ran out and how much was requested, or None for any other error.

    >>> lack_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4e9 bytes."))
    'not enough memory (4 GB more were needed)'
    >>> lack_of_memory(MemoryError())
    'not enough memory'
    >>> lack_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2.50 GiB."))
    'not enough memory on the GPU (2.50 GiB more were needed)'
    >>> lack_of_memory(ValueError("out of paper")) is None
    True
    """
    text = str(error)
    if isinstance(error, RuntimeError) and _GPU.search(text):
        where = " on the GPU"
    elif (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, RuntimeError) and _CPU.search(text))
    ):
        where = ""
    else:
        return None
    return f"not enough memory{where}{_amount(text)}"


def _amount(text: str) -> str:
    match = _AMOUNT.search(text)
    if match is None:
        return ""
    amount = next(group for group in match.groups() if group)
    number, _, unit = amount.partition(" ")
    if unit == "bytes":
        amount = f"{float(number) / 1e9:.3g} GB" if float(number) >= 1e9 else f"{float(number) / 1e6:.3g} MB"
    return f" ({amount} more were needed)"
