"""Draws of negatives: the rows of a memory that are contrasted with each anchor."""

import torch
from torch import Tensor

from wcord.checks import UsageError
from wcord.host import may_read

LARGEST_CLASS = 1 / 5
"""Largest ratio of an anchor's class to the draw at which one pass for all anchors is faster than one for each class
(benchmarks/speed/draw.py, on a CPU)."""
WINDOWS = 1 << 23
"""Entries of all anchors' windows together if classes must not be counted: 64 MB."""


def draw_rows(
    num_valid: int, count: int, *, batch: int, device: torch.device, generator: torch.Generator | None = None
) -> Tensor:
    """Draw `count` of the rows 0 … num_valid−1 for each of `batch` anchors, uniformly.

    Without replacement while `count` ≤ `num_valid`, with replacement beyond. Without replacement, all anchors share
    one permutation of the rows, and each reads a cyclic window of it from its own random start: every
    anchor's draw by itself is a uniform subset, while two anchors' draws are not independent. That costs one
    permutation per batch; independent subsets would cost one per anchor.

    Args:
        num_valid: number of rows to draw from, above 0.
        count: K, rows per anchor.
        batch: B, number of anchors.
        device: device of the draw.
        generator: source of randomness; None for the device's global one.

    Returns:
        Row numbers, B×K.

    Example:
        >>> drawn = draw_rows(10, 10, batch=2, device=torch.device("cpu"))
        >>> drawn.sort(dim=1).values[1]
        tensor([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    if count > num_valid:
        return torch.randint(num_valid, (batch, count), generator=generator, device=device)
    return _windows(torch.randperm(num_valid, generator=generator, device=device), count, batch, generator)


def draw_other_class(
    row_labels: Tensor, labels: Tensor, count: int, *, generator: torch.Generator | None = None
) -> Tensor:
    """Draw `count` rows for each anchor, uniformly over the rows whose class is not the anchor's.

    As `draw_rows`, over each class's candidates. A row of unknown class (-1) is a candidate for every anchor.

    The sizes of classes are read on the CPU only. Elsewhere, or within `host.no_reads`, no shape may depend on them:
    if there are fewer than K candidates, the draw is all of them and repetitions with replacement. Of more than
    2**23 / B rows each anchor considers only that many (or 2·K), chosen at random, so if a class holds most of the
    rows, candidates may be drawn more than once. If all rows are of an anchor's class, it draws these.

    Args:
        row_labels: class of each valid row, N.
        labels: class of each anchor, B.
        count: K, rows per anchor.
        generator: source of randomness; None for the device's global one.

    Returns:
        Row numbers, B×K.

    Raises:
        UsageError: if all rows are of an anchor's own class (on the CPU).

    Example:
        >>> draw_other_class(torch.tensor([0, 1, 1]), torch.tensor([1]), 2)
        tensor([[0, 0]])
    """
    if not len(labels):
        return labels.new_empty(0, count)
    order = torch.randperm(row_labels.shape[0], generator=generator, device=row_labels.device)
    ordered_labels = row_labels[order]
    if not may_read(labels):
        return _windows_filled_up(order, ordered_labels, labels, count, generator)
    # With few classes each has many rows, but then the loop over classes is short.
    largest = _most_of_one_class(row_labels, labels)
    if largest <= LARGEST_CLASS * count and count + largest <= row_labels.shape[0]:
        return _windows_of_others(order, ordered_labels, labels, count, largest, generator)
    drawn = order.new_empty(labels.shape[0], count)
    for label in labels.unique().tolist():
        anchors = (labels == label).nonzero().squeeze(1)
        candidates = order[ordered_labels != label]
        if candidates.numel() == 0:
            raise UsageError(
                f"negatives='other_class' found no row of another class for an anchor of class {label}: shuffle the "
                "training data, or use negatives='uniform'"
            )
        drawn[anchors] = _windows(candidates, count, anchors.shape[0], generator)
    return drawn


def _windows(order: Tensor, count: int, batch: int, generator: torch.Generator | None) -> Tensor:
    """Return a cyclic window of `order` for each anchor, or entries drawn with replacement where it is too short."""
    if count > order.shape[0]:
        return order[torch.randint(order.shape[0], (batch, count), generator=generator, device=order.device)]
    start = torch.randint(order.shape[0], (batch,), generator=generator, device=order.device)
    return _cyclic(order, start, count)


def _most_of_one_class(row_labels: Tensor, labels: Tensor) -> int:
    """Return the size of the largest class among those of the anchors."""
    ordered, labels = row_labels.sort().values, labels.contiguous()
    return int((torch.searchsorted(ordered, labels, right=True) - torch.searchsorted(ordered, labels)).max())


def _windows_of_others(
    order: Tensor, ordered_labels: Tensor, labels: Tensor, count: int, largest: int, generator: torch.Generator | None
) -> Tensor:
    """Return for each anchor the first `count` rows of other classes in a cyclic window of `order`.

    All anchors at once, in one pass over windows that are longer by `largest`, the most rows that may be left out.
    """
    return _others_first(order, ordered_labels, labels, count, count + largest, generator)[0]


def _windows_filled_up(
    order: Tensor, ordered_labels: Tensor, labels: Tensor, count: int, generator: torch.Generator | None
) -> Tensor:
    """Return for each anchor `count` rows of other classes, by operations whose shapes depend on no label."""
    batch, valid = labels.shape[0], order.shape[0]
    length = min(valid, max(2 * count, WINDOWS // batch))
    drawn, candidates = _others_first(order, ordered_labels, labels, count, length, generator)
    # Positions beyond the candidates are filled with random candidates.
    chance = torch.rand(batch, count, generator=generator, device=order.device)
    picked = torch.minimum((chance * candidates).long(), candidates - 1).clamp_min(0)
    position = torch.arange(count, device=order.device)
    filled = drawn.gather(1, torch.where(position < candidates, position, picked))
    # If the window has no candidate: the first row, or the first row of another class than that one.
    another = order.gather(0, (ordered_labels != ordered_labels[0]).to(torch.uint8).argmax(0, keepdim=True))
    instead = torch.where(labels == ordered_labels[0], another, order[0])
    return torch.where(candidates > 0, filled, instead[:, None])


def _others_first(
    order: Tensor,
    ordered_labels: Tensor,
    labels: Tensor,
    count: int,
    length: int,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor]:
    """Return the first `count` rows of other classes in each anchor's cyclic window, and how many it has, B×1."""
    batch = labels.shape[0]
    start = torch.randint(order.shape[0], (batch,), generator=generator, device=order.device)
    rows = _cyclic(order, start, length)
    other = _cyclic(ordered_labels, start, length) != labels.unsqueeze(1)
    position = other.cumsum(1)
    candidates = position[:, -1:].clone()
    # Other rows go to one extra position, which is cut off.
    position = torch.where(other & (position <= count), position - 1, count)
    return rows.new_empty(batch, count + 1).scatter_(1, position, rows)[:, :count], candidates


def _cyclic(order: Tensor, start: Tensor, length: int) -> Tensor:
    """Return the window of `length` entries from each start, wrapping around at the end."""
    return torch.cat([order, order[: length - 1]]).unfold(0, length, 1)[start]
