"""The sums of NCE over rows that all anchors share, in one pass of a GPU that reads each row once (Triton).

Triton comes with torch on Linux only, so this module is imported when a kernel is about to be used.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

PRECISION = "ieee"
"""Precision of the products: `ieee` is float32; `tf32x3` approximates it on the tensor cores by three products."""
BLOCK_ROWS = 32
"""Rows that a program takes at a time: with 64, capabilities 8.0 and 9.0 run out of registers."""
BLOCK_NUMBERS = 8192
"""Numbers of anchors that a program holds, for the same reason."""
EACH = 2
"""Programs on a multiprocessor, so that one computes while the other waits."""
OPTIONS: dict[str, Any] = {"num_warps": 8, "num_stages": 2}
"""Options of its compilation: the next block of rows loads while one is processed, in 72 KiB of shared memory."""


@triton.jit(do_not_specialize=["batch", "num_rows"])
def _sweep(
    anchors,
    rows,
    index,
    bias,
    losses,
    pulled,
    batch,
    num_rows,
    WIDTH: tl.constexpr,
    BLOCK_WIDTH: tl.constexpr,
    BLOCK_BATCH: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    PULL: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Sum softplus and pulled rows of a tile of anchors over this program's share of the rows; write one part."""
    program = tl.program_id(0)
    programs = tl.num_programs(0)
    i = tl.program_id(1) * BLOCK_BATCH + tl.arange(0, BLOCK_BATCH)
    d = tl.arange(0, BLOCK_WIDTH)
    inside = (i < batch)[:, None] & (d < WIDTH)[None, :]
    near = tl.load(anchors + i[:, None] * WIDTH + d[None, :], mask=inside, other=0.0)
    shift = tl.load(bias)
    loss = tl.zeros([BLOCK_BATCH], tl.float32)
    pull = tl.zeros([BLOCK_BATCH, BLOCK_WIDTH], tl.float32)
    for start in range(program * BLOCK_ROWS, num_rows, programs * BLOCK_ROWS):
        r = start + tl.arange(0, BLOCK_ROWS)
        valid = r < num_rows
        chosen = r if index is None else tl.load(index + r, mask=valid, other=0)
        # Offsets into a large memory exceed 32 bits.
        block = tl.load(
            rows + chosen.to(tl.int64)[:, None] * WIDTH + d[None, :],
            mask=valid[:, None] & (d < WIDTH)[None, :],
            other=0.0,
        )
        scores = tl.dot(near, tl.trans(block), input_precision=PRECISION) - shift
        tails = tl.exp(-tl.abs(scores))
        wholes = 1.0 + tails
        # log(1 + e) without losing a small e next to the 1: the rounding of the sum is divided out again.
        logs = tl.where(wholes == 1.0, tails, tl.log(wholes) * tails / tl.where(wholes == 1.0, 1.0, wholes - 1.0))
        loss += tl.sum(tl.where(valid[None, :], tl.maximum(scores, 0.0) + logs, 0.0), axis=1)
        if PULL:
            slopes = tl.where(scores >= 0.0, 1.0, tails) / wholes
            # Rows beyond the last are zeros and add nothing.
            pull += tl.dot(slopes, block, input_precision=PRECISION)
    part = program * batch + i
    tl.store(losses + part, loss, mask=i < batch)
    if PULL:
        tl.store(pulled + part[:, None] * WIDTH + d[None, :], pull, mask=inside)


def constants(batch: int, width: int, *, pull: bool) -> dict[str, Any]:
    """Return the compile-time constants of the kernel for B anchors of D numbers."""
    block_width = max(16, triton.next_power_of_2(width))
    return {
        "WIDTH": width,
        "BLOCK_WIDTH": block_width,
        "BLOCK_BATCH": min(64, BLOCK_NUMBERS // block_width, max(16, triton.next_power_of_2(batch))),
        "BLOCK_ROWS": BLOCK_ROWS,
        "PULL": pull,
        "PRECISION": PRECISION,
    }


def _programs(device: torch.device) -> int:
    if device.type == "cpu":  # Triton's interpreter, which runs programs one after the other
        return EACH
    return EACH * torch.cuda.get_device_properties(device).multi_processor_count


def sweep(
    anchors: Tensor,
    rows: Tensor,
    bias: Tensor,
    *,
    index: Tensor | None = None,
    pull: bool = True,
    programs: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return Σ_k softplus(s_ik) of each anchor i and Σ_k σ(s_ik) r_k, with s_ik = ⟨a_i, r_k⟩ − bias.

    Each program sums its share of the rows, and torch sums the programs' parts: in the same order every time.

    Args:
        anchors: a, B×D, scaled; float32 and contiguous, like all arguments.
        rows: r, N×D.
        bias: a scalar on the device.
        index: numbers of the K rows to sum over; all N if None.
        pull: whether to form the second sum; it is zero otherwise.
        programs: the largest number of programs; two for each multiprocessor of the GPU by default.
    """
    (batch, width), num_rows = anchors.shape, len(rows if index is None else index)
    fixed = constants(batch, width, pull=pull)
    tiles = triton.cdiv(batch, fixed["BLOCK_BATCH"])
    programs = max(1, min((programs or _programs(rows.device)) // tiles, triton.cdiv(num_rows, BLOCK_ROWS)))
    losses = anchors.new_empty(programs, batch)
    pulled = anchors.new_empty(programs if pull else 0, batch, width)
    arguments = (anchors, rows, index, bias, losses, pulled, batch, num_rows)
    _sweep[programs, tiles](*arguments, **fixed, **OPTIONS)
    return losses.sum(0), pulled.sum(0)
