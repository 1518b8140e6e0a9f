"""All of Sinkhorn's iterations on a small stored kernel in one launch on a GPU (Triton).

Triton comes with torch on Linux only, so this module is imported when a kernel is about to be used.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK_ENTRIES = 16384
"""Entries of the kernel that the program reads at a time: what its registers hold, to keep many reads in flight."""
OPTIONS: dict[str, Any] = {"num_warps": 16}
"""Options of its compilation."""


@triton.jit(do_not_specialize=["num_rows", "iterations"])
def _alternate(
    kernel,
    a,
    b,
    start,
    u,
    v,
    num_rows,
    iterations,
    least,
    COLUMNS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
):
    """Sweep over the rows once per iteration: each block of rows gives its u, and then its part of Kᵀ u."""
    j = tl.arange(0, BLOCK_COLUMNS)
    weight = tl.load(b + j, mask=j < COLUMNS, other=0.0)
    scale = tl.load(start + j, mask=j < COLUMNS, other=0.0)
    for _ in range(iterations):
        sums = tl.zeros([BLOCK_ROWS, BLOCK_COLUMNS], tl.float32)
        for first in range(0, num_rows, BLOCK_ROWS):
            i = first + tl.arange(0, BLOCK_ROWS)
            inside = (i < num_rows)[:, None] & (j < COLUMNS)[None, :]
            block = tl.load(kernel + i[:, None] * COLUMNS + j[None, :], mask=inside, other=0.0)
            reached = tl.maximum(tl.sum(block * scale[None, :], axis=1), least, propagate_nan=tl.PropagateNan.ALL)
            part = tl.load(a + i, mask=i < num_rows, other=0.0) / reached
            tl.store(u + i, part, mask=i < num_rows)
            sums += block * part[:, None]
        scale = weight / tl.maximum(tl.sum(sums, axis=0), least, propagate_nan=tl.PropagateNan.ALL)
    tl.store(v + j, scale, mask=j < COLUMNS)


def constants(rows: int, columns: int) -> dict[str, Any]:
    """Return the compile-time constants of the program."""
    block_columns = triton.next_power_of_2(columns)
    block_rows = min(max(1, BLOCK_ENTRIES // block_columns), triton.next_power_of_2(rows))
    return {"COLUMNS": columns, "BLOCK_COLUMNS": block_columns, "BLOCK_ROWS": block_rows}


def alternate(
    kernel: Tensor, a: Tensor, b: Tensor, v: Tensor, *, iterations: int, least: float
) -> tuple[Tensor, Tensor]:
    """Return u and v after `iterations` alternations u = a / (K v), v = b / (Kᵀ u), divisors at least `least`.

    One program makes all of them without waiting in between; it reads K from the GPU's cache once an iteration.

    Args:
        kernel: K, n×m; float32 and contiguous, like all arguments.
        a: weights of the rows, n.
        b: weights of the columns, m.
        v: the scaling of the columns to start from, m.
        iterations: at least 1.
        least: the smallest divisor.
    """
    u, scaled = torch.empty_like(a), torch.empty_like(b)
    arguments = (kernel, a, b, v, u, scaled, kernel.shape[0], iterations, least)
    _alternate[1,](*arguments, **constants(*kernel.shape), **OPTIONS)
    return u, scaled
