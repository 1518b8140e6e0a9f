"""The guarded operations that every loss shares: enough precision, and unit rows with a bounded gradient."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Self

import torch
from torch import Tensor, nn

NORM_EPS = 1e-6
"""Added to the squared norm before the root: bounds the gradient at a zero row by 1/sqrt(1e-6) = 1000."""
BLOCK_ENTRIES = 2**22
"""Entries of a block of rows: a temporary then takes 16 MB in single precision."""


def full_precision(tensor: Tensor) -> Tensor:
    """Return `tensor` in at least single precision; double stays double."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def in_common_precision(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return tensors in the widest of their precisions, which is single at least."""
    whole = [full_precision(tensor) for tensor in tensors]
    widest = torch.float64 if any(tensor.dtype == torch.float64 for tensor in whole) else torch.float32
    return tuple(tensor.to(widest) for tensor in whole)


def in_precision_of(module: nn.Module, tensor: Tensor) -> Tensor:
    """Return `tensor` in the dtype of the module's numbers; in full precision if it has none.

    The features of a batch may have any precision, NumPy's double or a network's half, and a head another.

    >>> in_precision_of(nn.Linear(2, 2), torch.ones(1, 2, dtype=torch.float64)).dtype
    torch.float32
    """
    for number in itertools.chain(module.parameters(), module.buffers()):
        if number.is_floating_point():
            return tensor.to(number.dtype)
    return full_precision(tensor)


class FullPrecisionModule(nn.Module):
    """A module that stays in single precision, or becomes double, when it is cast to half precision with its network.

    Power iterations, moments and memories of a loss go wrong in half precision, and its heads are small.

    >>> module = FullPrecisionModule()
    >>> module.head = nn.Linear(2, 2)
    >>> module.bfloat16().head.weight.dtype, module.double().head.weight.dtype
    (torch.float32, torch.float64)
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        def widened(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            narrow = moved.is_floating_point() and moved.dtype.itemsize < torch.float32.itemsize
            return full_precision(tensor).to(moved.device) if narrow else moved

        return super()._apply(widened, recurse)


class Settles(nn.Module, ABC):
    """A module whose first training-mode steps run other operations than all later ones, such as a queue that fills.

    A captured step is replayed as it was, so it must be one of the later ones.
    """

    @property
    @abstractmethod
    def settled(self) -> bool:
        """Whether the next training-mode step runs the operations of all later ones; may wait for the device."""


def row_blocks(*matrices: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield the rows of equally long matrices, some at a time.

    Temporaries of a block, such as its softmax, then need little memory for any number of samples and classes.

    >>> [block.shape[0] for (block,) in row_blocks(torch.zeros(5, 2**21))]
    [2, 2, 1]
    """
    rows = max(1, BLOCK_ENTRIES // max(1, *(matrix[:1].numel() for matrix in matrices)))
    yield from zip(*(matrix.split(rows) for matrix in matrices), strict=True)


def evenly_spaced(total: int, limit: int) -> Tensor:
    """Return at most `limit` of the numbers below `total`, evenly spaced.

    >>> evenly_spaced(5, 3), evenly_spaced(2, 3)
    (tensor([0, 2, 4]), tensor([0, 1]))
    """
    if total <= limit:
        return torch.arange(total)
    return torch.linspace(0, total - 1, limit, dtype=torch.float64).round().long()


def autocast_off(tensor: Tensor) -> torch.autocast:
    """Return a context in which no operation on the tensor's device is autocast to half precision."""
    return torch.autocast(tensor.device.type, enabled=False)


def unit_rows(x: Tensor, *, eps: float = NORM_EPS) -> Tensor:
    r"""Bring each row to (nearly) unit length: n(x) = x / sqrt(|x|² + eps).

    Zero rows stay zero with a finite gradient, at most 1/sqrt(eps), unlike x / |x|.

    >>> unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    return x * torch.rsqrt(x.square().sum(dim=-1, keepdim=True) + eps)
