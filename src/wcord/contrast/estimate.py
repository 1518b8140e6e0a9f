"""The value and the gradient of a contrastive loss over many negatives, in one pass and little memory.

Three estimators share one form. Dots of anchors with blocks of rows come with a weight, and a function that pulls
slopes with respect to the dots back to the anchors. With the constant fixed, a pair's slope follows from its dot, so
one pass over the rows in forward gives loss and gradient, and only B×D numbers are stored for backward.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.checks import (
    UsageError,
    WrongTypeError,
    require_counts,
    require_matrix,
    require_number,
    require_positive,
    require_same_shape,
    require_tensor,
    require_whole_numbers,
)
from wcord.host import may_read
from wcord.kernels import result_of
from wcord.numerics import autocast_off, full_precision

EXACT = 40.0
"""Score beyond which softplus is the identity in double precision too; torch's threshold of 20 is not exact there."""
GATHER_RATIO = 15
"""Rows per drawn negative from which gathering rows is cheaper than all dots (measured on a CPU at D = 128)."""

KERNEL_BOUND = 256
"""Largest batch and width of the GPU kernel."""

CACHED = 1 << 17
"""Scores that are turned into losses at a time, so that temporaries stay in a CPU's cache."""


@dataclass(frozen=True)
class Negatives:
    """The rows that are contrasted with each anchor, and the number of negatives that they stand for.

    The fields are those arguments of `nce_loss`; `total` is its `num_negatives`.
    """

    rows: Tensor
    index: Tensor | None = None
    total: int | None = None
    labels: Tensor | None = None
    row_labels: Tensor | None = None

    @property
    def is_sampled(self) -> bool:
        """Whether each anchor has its own draw."""
        return self.index is not None and self.index.dim() == 2

    @property
    def drawn(self) -> int:
        """The number of rows that are contrasted with an anchor."""
        return self.rows.shape[0] if self.index is None else self.index.shape[-1]

    @property
    def count(self) -> int:
        """M, the number of negatives of an anchor."""
        return self.total or self.drawn

    @property
    def factor(self) -> float:
        """The factor of the sum over the drawn rows; with classes, each row's weight contains it already."""
        return 1.0 if self.labels is not None and not self.is_sampled else self.count / self.drawn

    def require_fit(self, anchor: Tensor) -> None:
        """Raise unless the rows, the draw and the classes fit anchors, B×D."""
        if self.rows.shape[1] != anchor.shape[1]:
            raise UsageError(
                f"anchor and rows must have one width, received {anchor.shape[1]} and {self.rows.shape[1]}"
            )
        if self.index is not None:
            require_draw(self.index, len(anchor), len(self.rows))
        if (self.labels is None) != (self.row_labels is None):
            raise UsageError("labels and row_labels belong together, received only one: give both or neither")
        for name, classes, size in (
            ("labels", self.labels, len(anchor)),
            ("row_labels", self.row_labels, len(self.rows)),
        ):
            if classes is not None:
                require_whole_numbers(name, classes, size)


class _Block(NamedTuple):
    """Dots of all anchors with some rows, their weights, and the map from slopes of dots to slopes of anchors."""

    dots: Tensor
    weight: Tensor | None
    pull: Callable[[Tensor], Tensor]


def _positive(dots: Tensor, bias: Tensor | float) -> tuple[Tensor, Tensor]:
    """Return the loss of each positive pair and its slope."""
    scores = dots - bias
    return F.softplus(-scores, threshold=EXACT), -torch.sigmoid(-scores)


def _negative(dots: Tensor, weight: Tensor | None, bias: Tensor | float) -> tuple[Tensor, Tensor]:
    """Return the loss of each anchor over a block of rows and the slopes, which overwrite `dots`."""
    if weight is None and dots.device.type == "cpu":
        parts = dots.split(max(1, CACHED // dots.shape[1]))
        loss = torch.cat([_softplus_sum(part.sub_(bias)) for part in parts])
        return loss, dots.sigmoid_()
    losses = F.softplus(dots.sub_(bias), threshold=EXACT)
    slopes = dots.sigmoid_()
    if weight is None:
        return losses.sum(1), slopes
    return (losses * weight).sum(1), slopes.mul_(weight)


def _softplus_sum(scores: Tensor) -> Tensor:
    """Return the sum of softplus over each row, with an eighth of the logarithms, which dominate a CPU's time.

    softplus(s) = max(s, 0) + log(1 + e), e = exp(−|s|). Factors 1 + e are multiplied in pairs before the logarithm
    is taken, as (1+a)(1+b) − 1 = a + b + ab, so that small terms are not rounded away next to the 1.
    """
    tails = scores.abs().neg_().exp_()
    for _ in range(3):
        if tails.shape[1] % 2 == 0:
            left, right = tails.chunk(2, dim=1)
            tails = torch.addcmul(left + right, left, right)
    return scores.clamp(min=0).sum(1) + tails.log1p_().sum(1)


def nce_loss(
    anchor: Tensor,
    positive: Tensor,
    rows: Tensor,
    index: Tensor | None = None,
    *,
    temperature: float,
    log_mean_exp: Tensor | float = 0.0,
    num_negatives: int | None = None,
    labels: Tensor | None = None,
    row_labels: Tensor | None = None,
) -> Tensor:
    r"""Return the contrastive loss of anchors against their positives and rows of a memory.

    1/B Σ_i [ softplus(−s_i⁺) + Σ_k softplus(s_ik) ],  s = ⟨a, b⟩/τ − log(Z·M/N),  log(Z/N) = log mean exp(⟨a, b⟩/τ)

    with a `anchor` (B×D), b the `positive` (B×D) or one of the `rows` (N×D, never differentiated), τ `temperature`,
    M `num_negatives` and log(Z/N) `log_mean_exp`; N cancels. This is CRD's −log(P/(P+M/N)) − Σ log((M/N)/(P_k+M/N))
    without its 1e-7, as a binary cross-entropy with a constant bias, which is finite at every temperature.

    The estimator follows from `index`: B×K draws each anchor's own negatives (*sampled*), K shares one draw
    (*shared*), and None takes every row with weight M/N (*expected*: the mean over all draws, without their noise).
    The gradient is formed in forward and scaled by the incoming one in backward; there is no second derivative.

    Args:
        anchor: embeddings that are trained, B×D.
        positive: the opposite embedding of the same sample, B×D; differentiated if it requires a gradient.
        rows: embeddings of other samples, N×D.
        index: row numbers of the negatives, see above.
        temperature: τ, above 0.
        log_mean_exp: the normalizing constant log(Z/N), a number or a scalar tensor.
        num_negatives: M; by default the number of rows that are drawn (N without `index`).
        labels: classes of the anchors, B: with `row_labels`, rows of the anchor's own class weigh nothing and the
            others make up for them. For *expected* and *shared*; a B×K index is drawn without such rows instead.
        row_labels: classes of the rows, N.

    Returns:
        A scalar, the mean over the batch, in at least single precision.

    Raises:
        UsageError: on shapes that do not fit, a temperature not above 0, or no rows.

    Example:
        >>> rows = torch.eye(4)
        >>> nce_loss(rows[:2], rows[:2], rows, torch.tensor([[2, 3], [0, 3]]), temperature=1.0)
        tensor(1.3624)
    """
    require_matrix("anchor", anchor)
    require_matrix("rows", rows, min_rows=1)
    require_matrix("positive", positive)
    require_same_shape("anchor", anchor, "positive", positive)
    require_positive("temperature", temperature)
    if num_negatives is not None:
        require_counts(num_negatives=num_negatives)
    if not isinstance(log_mean_exp, Tensor):
        require_number("log_mean_exp", log_mean_exp)
    negatives = Negatives(rows, index, num_negatives, labels, row_labels)
    negatives.require_fit(anchor)
    return loss_against(negatives, anchor, positive, temperature=temperature, log_mean_exp=log_mean_exp)


def loss_against(
    negatives: Negatives, anchor: Tensor, positive: Tensor, *, temperature: float, log_mean_exp: Tensor | float
) -> Tensor:
    """Return `nce_loss` against negatives that fit the anchors; nothing is checked."""
    with autocast_off(anchor):
        negatives = replace(negatives, rows=full_precision(negatives.rows))
        dtype = negatives.rows.dtype
        constant = log_mean_exp.to(dtype) if isinstance(log_mean_exp, Tensor) else log_mean_exp
        bias = constant + math.log(negatives.count)
        anchor, positive = anchor.to(dtype), positive.to(dtype)
        return _Contrast.apply(anchor, positive, negatives, 1 / temperature, bias, torch.is_grad_enabled())


@torch.no_grad()
def log_mean_exp_score(anchor: Tensor, positive: Tensor, negatives: Negatives, *, temperature: float) -> Tensor:
    """Return log of the mean of exp(⟨a, b⟩/τ) over all pairs, positives included: CRD's log(Z/N) of one batch.

    >>> rows = torch.eye(3)
    >>> log_mean_exp_score(rows[:1], rows[:1], Negatives(rows, torch.tensor([[1, 2]])), temperature=1.0).exp()
    tensor(1.5728)
    """
    with autocast_off(anchor):
        negatives = replace(negatives, rows=full_precision(negatives.rows))
        scaled, positive = anchor.to(negatives.rows.dtype) / temperature, positive.to(negatives.rows.dtype)
        total = torch.logsumexp((scaled * positive).sum(1), dim=0)
        for dots, weight, _ in _blocks(scaled, negatives):
            logits = dots if weight is None else dots + weight.log()
            total = torch.logaddexp(total, torch.logsumexp(logits.flatten(), dim=0) + math.log(negatives.factor))
        return total - math.log(anchor.shape[0] * (negatives.count + 1))


class _Contrast(torch.autograd.Function):
    """The loss, with the gradients of anchors and positives formed beside it."""

    @staticmethod
    def forward(
        ctx: Any,
        anchor: Tensor,
        positive: Tensor,
        negatives: Negatives,
        scale: float,
        bias: Tensor | float,
        grad_enabled: bool,
    ) -> Tensor:
        want_anchor, want_positive = (grad_enabled and need for need in ctx.needs_input_grad[:2])
        anchor = anchor * scale
        loss, slope = _positive((anchor * positive).sum(1), bias)
        slope = slope.unsqueeze(1)
        swept = _sum_by_kernel(anchor, negatives, bias, want_anchor)
        pushed, pull_sum = _sum_by_torch(anchor, negatives, bias, want_anchor) if swept is None else swept
        batch = anchor.shape[0]
        to_anchor = (slope * positive + negatives.factor * pull_sum) * (scale / batch) if want_anchor else None
        ctx.save_for_backward(to_anchor, slope * anchor / batch if want_positive else None)
        return (loss + negatives.factor * pushed).mean()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        # What was saved depends on the inputs, but autograd does not know: a second derivative would lack that part.
        if torch.is_grad_enabled():
            raise RuntimeError("nce_loss has no second derivative: call backward without create_graph=True")
        return *(None if saved is None else saved * grad_outputs[0] for saved in ctx.saved_tensors), *[None] * 4


def _sum_by_torch(
    anchor: Tensor, negatives: Negatives, bias: Tensor | float, want_anchor: bool
) -> tuple[Tensor, Tensor]:
    """Return the loss of each anchor over all negatives, and the sum of the rows weighted by their slopes."""
    pushed, pull_sum = anchor.new_zeros(anchor.shape[0]), torch.zeros_like(anchor)
    for dots, weight, pull in _blocks(anchor, negatives):
        part, slopes = _negative(dots, weight, bias)
        pushed += part
        if want_anchor:
            pull_sum += pull(slopes)
    return pushed, pull_sum


def _sum_by_kernel(
    anchor: Tensor, negatives: Negatives, bias: Tensor | float, want_anchor: bool
) -> tuple[Tensor, Tensor] | None:
    """Return what `_sum_by_torch` does from a GPU kernel; None where the kernel does not apply or cannot run."""
    rows, index = negatives.rows, negatives.index
    if negatives.labels is not None or negatives.is_sampled or max(anchor.shape) > KERNEL_BOUND:
        return None

    def launch() -> tuple[Tensor, Tensor]:
        from wcord.contrast.kernel import sweep  # needs Triton

        shift = bias if isinstance(bias, Tensor) else anchor.new_full((), bias)
        return sweep(anchor, rows, shift, index=index, pull=want_anchor)

    read = [tensor for tensor in (anchor, rows, index, bias) if isinstance(tensor, Tensor)]
    variant = (*anchor.shape, want_anchor, index is None or index.dtype)
    return result_of("nce", launch, tensors=read, size=anchor.shape[0], variant=variant)


def _blocks(anchor: Tensor, negatives: Negatives) -> Iterator[_Block]:
    index = negatives.index
    if index is None or index.dim() == 1:
        return _whole_blocks(anchor, negatives)
    if negatives.rows.shape[0] > GATHER_RATIO * index.shape[1]:
        return _gathered_blocks(anchor, negatives.rows, index)
    return _dense_block(anchor, negatives.rows, index)


def _dense_block(anchor: Tensor, rows: Tensor, index: Tensor) -> Iterator[_Block]:
    """All B×N dots by one product, of which only scalars are gathered: reads each row once rather than B·K/N times."""
    dots = anchor @ rows.T
    yield _Block(dots.gather(1, index), None, lambda slopes: dots.zero_().scatter_add_(1, index, slopes) @ rows)


def _gathered_blocks(anchor: Tensor, rows: Tensor, index: Tensor) -> Iterator[_Block]:
    """Some columns of the draw at a time: for memories so large that all dots cost more than the drawn rows."""
    batch = anchor.shape[0]
    for columns in index.split(max(1, _block_rows(anchor, 2048) // batch), dim=1):
        near = rows.index_select(0, columns.flatten()).view(batch, -1, rows.shape[1])
        dots = torch.bmm(near, anchor.unsqueeze(2)).squeeze(2)
        yield _Block(dots, None, partial(_pull_gathered, near))


def _pull_gathered(near: Tensor, slopes: Tensor) -> Tensor:
    return torch.bmm(slopes.unsqueeze(1), near).squeeze(1)


def _whole_blocks(anchor: Tensor, negatives: Negatives) -> Iterator[_Block]:
    """All anchors against the same rows, some rows at a time."""
    rows, index = negatives.rows, negatives.index
    weights = _class_weights(negatives)
    step = _block_rows(anchor, 4096)
    for start in range(0, negatives.drawn, step):
        block = slice(start, start + step)
        near = rows[block] if index is None else rows.index_select(0, index[block])
        yield _Block(anchor @ near.T, weights(block), partial(torch.matmul, other=near))


def _class_weights(negatives: Negatives) -> Callable[[slice], Tensor | None]:
    """Return the function from a block of rows to weights, M over the rows of other classes, or 0 for its own class."""
    labels, row_labels = negatives.labels, negatives.row_labels
    if labels is None or row_labels is None:
        return lambda _: None
    if negatives.index is not None:
        row_labels = row_labels[negatives.index]
    of_anchor, of_row = labels.unsqueeze(1), row_labels
    others = (of_anchor != of_row).sum(1, keepdim=True).clamp(min=1)
    share = negatives.count / others.to(negatives.rows.dtype)
    return lambda block: (of_anchor != of_row[block]) * share


def _block_rows(anchor: Tensor, on_cpu: int) -> int:
    """Return the rows of a block: as many as stay in a CPU's cache; more elsewhere, since launches cost more there."""
    return on_cpu if anchor.device.type == "cpu" else 1 << 17


def require_draw(index: Tensor, batch: int, rows: int) -> None:
    """Raise unless a draw holds numbers of rows: K that all samples share, or K for each sample.

    Whether the rows exist is checked on the CPU only: on an accelerator the check would wait for the device.
    """
    require_tensor("index", index)
    if index.dtype not in (torch.int32, torch.int64):
        raise WrongTypeError(f"index must hold row numbers, received {index.dtype}: convert it with .long()")
    if index.dim() == 0 or index.numel() == 0 or index.shape[:-1] not in ((), (batch,)):
        raise UsageError(
            f"index must have shape (K,) or (batch, K) with a batch of {batch}, received {tuple(index.shape)}"
        )
    if may_read(index) and not 0 <= int(index.min()) <= int(index.max()) < rows:
        raise UsageError(
            f"index holds {int(index.min())} to {int(index.max())}, but there are {rows} rows, counted from 0"
        )
