"""Collective operations of distributed training: gathering rows, sums, and a shared random state.

A single process sends nothing and gets its own values back.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def count() -> int:
    """Return the number of processes that train together.

    >>> count()
    1
    """
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def row_counts(rows: int, device: torch.device) -> list[int]:
    """Return the number of rows of each process, by rank.

    >>> row_counts(3, torch.device("cpu"))
    [3]
    """
    if count() == 1:
        return [rows]
    counts = [torch.empty((), dtype=torch.long, device=device) for _ in range(count())]
    dist.all_gather(counts, torch.tensor(rows, device=device))
    return torch.stack(counts).tolist()  # one transfer


def gather_rows(rows: Tensor, counts: Sequence[int]) -> Tensor:
    r"""Return the rows of all processes, in the order of their ranks.

    A loss on the gathered rows has the same value L in all processes. Backward gives each process dL/d(its rows) times
    (all rows / its rows). The gradients of the processes are then averaged, each weighted by count · its rows / all
    rows (1 if all have the same number): the weights of the network that computed the rows get dL once, and so do those
    of a head on the gathered rows, which has its full gradient in each process.

    Args:
        rows: rows of this process, n×…; only n may differ between the processes.
        counts: rows of each process, as `row_counts` returns them.

    >>> gather_rows(torch.tensor([[1.0], [2.0]]), [2]).flatten()
    tensor([1., 2.])
    """
    return rows if len(counts) == 1 else _GatheredRows.apply(rows, tuple(counts))  # pyright: ignore[reportReturnType]  # the stub has no result


class _GatheredRows(torch.autograd.Function):
    """All-gather along the first axis, also of unequal lengths."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: tuple[int, ...]) -> Tensor:
        rank, longest = dist.get_rank(), max(counts)
        before = sum(counts[:rank])
        ctx.local = slice(before, before + counts[rank])
        ctx.factor = sum(counts) / counts[rank]
        sent = rows.new_zeros(longest, *rows.shape[1:])
        sent[: counts[rank]] = rows
        parts = [torch.empty_like(sent) for _ in counts]
        dist.all_gather(parts, sent)
        return torch.cat([part[:length] for part, length in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0][ctx.local] * ctx.factor, None


@contextmanager
def drawing_as_first(device: torch.device) -> Iterator[None]:
    """Let all processes draw the random numbers of the first one; afterwards each continues with its own numbers.

    Args:
        device: the CPU or a CUDA device, whose global generator is shared.
    """
    if count() == 1:
        yield
        return
    local = _random_state(device)
    first = local.to(device, copy=True)
    dist.broadcast(first, src=0)
    _set_random_state(first.cpu(), device)
    try:
        yield
    finally:
        if dist.get_rank() != 0:
            _set_random_state(local, device)


def copy_from_first(tensors: Iterable[Tensor]) -> None:
    """Overwrite each tensor with that of the first process."""
    if count() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, src=0)


def average_(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over all processes, which hold tensors of the same shapes, in one operation."""
    if count() == 1 or not tensors:
        return
    together = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(together)
    for tensor, mean in zip(tensors, (together / count()).split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def total(values: Tensor, device: torch.device) -> Tensor:
    """Return the sum of `values` over all processes, which communicate through `device`.

    >>> total(torch.tensor([1.0, 2.0]), torch.device("cpu"))
    tensor([1., 2.])
    """
    if count() == 1:
        return values
    summed = values.to(device, copy=True)
    dist.all_reduce(summed)
    return summed.to(values.device)


def largest(value: int, device: torch.device) -> int:
    """Return the largest of the processes' numbers.

    >>> largest(7, torch.device("cpu"))
    7
    """
    if count() == 1:
        return value
    highest = torch.tensor(value, device=device)
    dist.all_reduce(highest, dist.ReduceOp.MAX)
    return int(highest)


def _random_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_random_state(state: Tensor, device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
