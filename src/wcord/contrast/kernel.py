"""The sums of `expected` over a whole memory in one pass of a GPU, each row read once (Triton).

Triton comes with torch on Linux only: whoever imports this module does so where a kernel is about to be used.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

PRECISION = "ieee"
"""How products are made: `ieee` is float32; `tf32x3` comes near it on the tensor cores, in three products."""


@triton.jit(do_not_specialize=["batch", "num_rows"])
def _expected(
    anchors,  # noqa: ANN001
    rows,
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
    """Sum softplus and pulled rows of a tile of anchors over every so many blocks of rows; write one part each."""
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
        there = r < num_rows
        # A large memory holds more numbers than 32 bits count.
        places = r[:, None].to(tl.int64) * WIDTH + d[None, :]
        block = tl.load(rows + places, mask=there[:, None] & (d < WIDTH)[None, :], other=0.0)
        scores = tl.dot(near, tl.trans(block), input_precision=PRECISION) - shift
        tails = tl.exp(-tl.abs(scores))
        wholes = 1.0 + tails
        # log(1 + e) without the loss of a small e beside the 1: the rounding of the sum is divided out again.
        logs = tl.where(wholes == 1.0, tails, tl.log(wholes) * tails / tl.where(wholes == 1.0, 1.0, wholes - 1.0))
        loss += tl.sum(tl.where(there[None, :], tl.maximum(scores, 0.0) + logs, 0.0), axis=1)
        if PULL:
            slopes = tl.where(scores >= 0.0, 1.0, tails) / wholes
            # Rows that are not there are zeros and pull nothing.
            pull += tl.dot(slopes, block, input_precision=PRECISION)
    part = program * batch + i
    tl.store(losses + part, loss, mask=i < batch)
    if PULL:
        tl.store(pulled + part[:, None] * WIDTH + d[None, :], pull, mask=inside)


def expected(
    anchors: Tensor, rows: Tensor, bias: Tensor, *, pull: bool = True, programs: int | None = None, precision: str = PRECISION
) -> tuple[Tensor, Tensor]:
    """Return Σ_k softplus(s_ik) of each anchor and Σ_k σ(s_ik) r_k, with s_ik = ⟨a_i, r_k⟩ − bias; the latter if asked.

    Each program sums every so many blocks of rows, and torch sums the programs' parts: in the same order every time.

    Args:
        anchors: a, B×D, scaled; float32 and contiguous like all that is given.
        rows: r, N×D.
        bias: a scalar on the device.
        pull: whether to form the second sum; zeros otherwise.
        programs: how many share the rows; as many as the GPU has multiprocessors by default.
        precision: see `PRECISION`.
    """
    (batch, width), num_rows = anchors.shape, rows.shape[0]
    block_width = max(16, triton.next_power_of_2(width))
    block_batch = min(64, max(16, triton.next_power_of_2(batch)))
    block_rows = 64 if block_width <= 128 else 32
    tiles = triton.cdiv(batch, block_batch)
    if programs is None:
        programs = torch.cuda.get_device_properties(rows.device).multi_processor_count
    programs = max(1, min(programs // tiles, triton.cdiv(num_rows, block_rows)))
    losses = anchors.new_empty(programs, batch)
    pulled = anchors.new_empty(programs if pull else 0, batch, width)
    _expected[programs, tiles](
        anchors,
        rows,
        bias,
        losses,
        pulled,
        batch,
        num_rows,
        WIDTH=width,
        BLOCK_WIDTH=block_width,
        BLOCK_BATCH=block_batch,
        BLOCK_ROWS=block_rows,
        PULL=pull,
        PRECISION=precision,
        num_warps=8,
    )
    return losses.sum(0), pulled.sum(0)
