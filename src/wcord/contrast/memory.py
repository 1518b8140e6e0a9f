"""Memories of other samples' embeddings: a bank with one row per training sample, a queue of the latest rows."""

import torch
from torch import Tensor, nn

from wcord.checks import (
    UsageError,
    WrongTypeError,
    require_bool,
    require_counts,
    require_fraction,
    require_matrix,
    require_tensor,
    require_whole_numbers,
)
from wcord.host import reads_are_off
from wcord.numerics import Settles, full_precision, unit_rows

MOMENTUM = 0.5
"""Weight of the old row when a bank is written, from CRD's public code."""
QUEUE_SIZE = 16384
"""Rows of a queue: the number of negatives that CRD draws."""
UNKNOWN = -1
"""The label of a row whose class is not known."""


class Bank(nn.Module):
    r"""Keep one embedding of every training sample, as a moving average.

    row_i ← m·row_i + (1−m)·z_i

    All N rows are valid from the start, drawn uniformly from ±1/sqrt(D/3), so that their length is about 1 (as CRD
    does). `write` is explicit and always writes; its owner does not call it in eval mode. An index that
    occurs twice in a batch is written once, from its **last** occurrence. Everything is a persistent buffer.

    Args:
        num_samples: N, the number of training samples.
        dim: D, the width of the embeddings.
        momentum: m in [0, 1], the weight of the old row.
        renormalize: bring written rows to unit length, as CRD does.

    Raises:
        UsageError: if an index does not fit `num_samples`.

    Example:
        >>> bank = Bank(10, 4, momentum=0.0)
        >>> bank.write(torch.ones(1, 4), torch.tensor([3]))
        >>> bank.read(torch.tensor([3]))
        tensor([[1., 1., 1., 1.]])
    """

    storage: Tensor
    classes: Tensor

    def __init__(self, num_samples: int, dim: int, *, momentum: float = MOMENTUM, renormalize: bool = False) -> None:
        super().__init__()
        require_counts(num_samples=num_samples, dim=dim)
        require_fraction("momentum", momentum)
        require_bool("renormalize", renormalize)
        self.momentum = momentum
        self.renormalize = renormalize
        bound = (dim / 3) ** -0.5
        self.register_buffer("storage", torch.empty(num_samples, dim).uniform_(-bound, bound))
        self.register_buffer("classes", torch.full((num_samples,), UNKNOWN))

    @property
    def num_valid(self) -> int:
        """The number of valid rows: all of them."""
        return self.storage.shape[0]

    @property
    def rows(self) -> Tensor:
        """The valid rows, N×D."""
        return self.storage

    @property
    def labels(self) -> Tensor:
        """The class of each valid row, -1 if it is not known yet."""
        return self.classes

    def read(self, index: Tensor, *, checked: bool = False) -> Tensor:
        """Return a copy of the rows at `index`, whose values are checked unless they were `checked` before."""
        if not checked:
            self.check(index)
        return self.storage[index]

    @torch.no_grad()
    def write(self, rows: Tensor, index: Tensor, labels: Tensor | None = None, *, checked: bool = False) -> None:
        """Move the rows at `index` towards `rows`, and store their classes if there are `labels`.

        The values of the index are checked unless they were `checked` before.
        """
        if not checked:
            self.check(index)
        require_whole_numbers("index", index)
        _require_rows(rows, self.storage, len(index))
        if labels is not None:
            require_whole_numbers("labels", labels, len(index))
        index, order = index.sort(stable=True)
        # Equal indices all take the values of the last one, so no order of writes, even on a GPU, changes the result.
        last = order[torch.searchsorted(index, index, right=True) - 1]
        fresh = self.momentum * self.storage[index] + (1 - self.momentum) * rows[last].to(self.storage.dtype)
        self.storage[index] = unit_rows(fresh) if self.renormalize else fresh
        if labels is not None:
            self.classes[index] = labels[last]

    def check(self, index: Tensor) -> None:
        """Raise unless `index` holds row numbers of this bank.

        Values are checked on an accelerator too, although that waits for it: a wrong index would crash the device.
        Within `host.no_reads` nothing is checked; the caller has checked the index before.
        """
        require_tensor("index", index)
        if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
            raise WrongTypeError(
                f"index must hold row numbers of the training set, received {index.dtype}: use torch.long"
            )
        if index.numel() == 0 or reads_are_off():
            return
        low, high = torch.stack(index.aminmax()).tolist()
        if low < 0 or high >= self.num_valid:
            raise UsageError(
                f"num_samples={self.num_valid} is too small for index {high if low >= 0 else low}: give the number of "
                "training samples, and row numbers from 0"
            )


class Queue(Settles):
    """Keep the newest embeddings, first in, first out; it needs no sample numbers.

    It starts empty. `rows` holds the valid ones, which are not in order of age once the ring has gone round.
    Of a batch larger than the queue only the newest rows stay. Contents, pointer and count are persistent buffers, and
    only `load_state_dict` may change them from outside: the number of valid rows is also counted on the host, which
    then need not read it from the device.

    Args:
        size: the largest number of rows.
        dim: D, the width of the embeddings.

    Example:
        >>> queue = Queue(3, 1)
        >>> queue.write(torch.tensor([[1.0], [2.0]]))
        >>> queue.num_valid
        2
        >>> queue.write(torch.tensor([[3.0], [4.0]]))
        >>> queue.rows.flatten()
        tensor([4., 2., 3.])
    """

    storage: Tensor
    classes: Tensor
    pointer: Tensor
    count: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        require_counts(size=size, dim=dim)
        self.register_buffer("storage", torch.zeros(size, dim))
        self.register_buffer("classes", torch.full((size,), UNKNOWN))
        self.register_buffer("pointer", torch.tensor(0))
        self.register_buffer("count", torch.tensor(0))
        self._counted: int | None = 0  # the value of `count`, None if only the device knows it
        self.register_load_state_dict_post_hook(_forget)

    @property
    def num_valid(self) -> int:
        """The number of valid rows."""
        if self._counted is None:
            self._counted = int(self.count)
        return self._counted

    @property
    def settled(self) -> bool:
        """Whether it is full; until then each write makes more rows valid."""
        return self.num_valid == self.storage.shape[0]

    @property
    def rows(self) -> Tensor:
        """The valid rows, count×D, a view."""
        return self.storage[: self.num_valid]

    @property
    def labels(self) -> Tensor:
        """The class of each valid row, -1 if it is not known."""
        return self.classes[: self.num_valid]

    @torch.no_grad()
    def write(self, rows: Tensor, labels: Tensor | None = None) -> None:
        """Overwrite the oldest rows by `rows`, with their classes if there are `labels`."""
        _require_rows(rows, self.storage)
        size, written = self.storage.shape[0], rows.shape[0]
        if labels is not None:
            require_whole_numbers("labels", labels, written)
        newest = torch.arange(max(0, written - size), written, device=rows.device)
        place = (self.pointer + newest) % size
        self.storage[place] = full_precision(rows[newest]).to(self.storage.dtype)
        # A Python number would be copied from the host.
        self.classes[place] = torch.full_like(place, UNKNOWN) if labels is None else labels[newest]
        self.pointer.copy_((self.pointer + written) % size)
        self.count.copy_((self.count + written).clamp(max=size))
        self._counted = None if self._counted is None else min(size, self._counted + written)


def _require_rows(rows: Tensor, storage: Tensor, count: int | None = None) -> None:
    """Raise unless `rows` has the storage's width and, if there is one, the `count` of rows."""
    require_matrix("rows", rows, min_rows=0)
    if rows.shape[1] != storage.shape[1] or (count is not None and len(rows) != count):
        expected = (len(rows) if count is None else count, storage.shape[1])
        raise UsageError(f"rows must have the shape {expected}, received {tuple(rows.shape)}")


def _forget(queue: Queue, _: object) -> None:
    """Read the number of valid rows of a loaded state anew."""
    queue._counted = None
