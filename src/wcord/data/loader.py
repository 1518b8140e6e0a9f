"""Batches of a split, in an order and with augmentation that depend on seed, epoch and batch number alone."""

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from wcord.checks import RunError, UsageError, require_choice
from wcord.data.augment import AUGMENTATIONS, augment, draw, place, whole
from wcord.data.batch import Batch
from wcord.data.mixing import Mix, Mixing
from wcord.data.split import MemorySplit, Partner, Split, StreamSplit, base_and_view, on_device
from wcord.data.workers import leave_signals_to_main, read_by_workers

_ORDER, _AUGMENT, _PARTNER, _PARTNER_AUGMENT, _MIX = range(5)  # separate streams of random numbers


class Loader:
    """Yields the batches of a split, epoch by epoch.

    No state is kept between epochs or batches: batch k of epoch e is a function of (seed, e, k), whoever asks and
    whatever was asked before, so a run can go on from any batch, and a streamed split gives the same batches as one
    in memory; but for resized crops, which are cut out of the originals where those are at hand. Random numbers are
    drawn for the batch of all processes, of which each takes its part; the parts in the order of the ranks are that
    batch.

    >>> images = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1)
    >>> loader = Loader(MemorySplit(images, torch.zeros(5, dtype=torch.long)), batch_size=2, drop_single=True)
    >>> [batch.index.tolist() for batch in loader.batches()], loader.dropped
    ([[0, 1], [2, 3]], 1)

    Args:
        split: where the student's samples are read.
        batch_size: samples of a batch, over all processes.
        seed: of order and augmentation.
        augment: one of `AUGMENTATIONS`.
        shuffle: a new order every epoch, or the order of the split.
        rank: which process this is.
        world_size: how many processes share each batch.
        device: where batches go; a split in memory is kept there.
        workers: processes that decode a streamed split; 0 decodes in this one.
        views: how often each sample stands in its batch, each time with an augmentation of its own; the batch is then
            all samples in their first view, all in their second, and so on.
        partner: what the teacher sees; None: what the student sees.
        mixing: mix the samples of each batch with each other, alike in all its views and for both networks; targets
            are then shares of the classes, B×C, and there are no row numbers, since a mixture is no sample. A process
            of several reads the samples that its own are mixed with beside these.
        drop_single: leave out a last batch that would give some process a single sample (or none), which batch
            normalisation and losses over pairs cannot use.

    Attributes:
        dropped: samples left out of each epoch: 0 or 1 for one process.
    """

    def __init__(
        self,
        split: Split,
        *,
        batch_size: int,
        seed: int = 0,
        augment: str = "none",
        shuffle: bool = False,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
        workers: int = 0,
        views: int = 1,
        partner: Partner | None = None,
        mixing: Mixing | None = None,
        drop_single: bool = False,
    ) -> None:
        require_choice("augmentation", augment, AUGMENTATIONS)
        _require_shares(batch_size, rank, world_size, workers)
        self.split, self.partner = split, partner
        self.targets = split.targets.to(device)
        self.batch_size, self.seed, self.augment, self.shuffle = batch_size, seed, augment, shuffle
        self.rank, self.world_size, self.workers = rank, world_size, workers
        if views < 1:
            raise UsageError(f"views must be 1 or more, received {views}")
        self.views, self.mixing = views, mixing
        _require_mixable(mixing, partner)
        self.device = torch.device(device)
        base, self._view = base_and_view(split)
        self._base = on_device(base, device)
        self._size = self._frame = base.shape[1:]
        if partner is not None:
            other, self._partner_view = base_and_view(partner.split)
            self._partner_base = self._base if other is base else on_device(other, device)
            self._partner_size = other.shape[1:]
            # What both share is drawn in the pixels of the larger picture.
            self._frame = max(self._size, self._partner_size) if partner.shared else self._size
            if partner.by_label:
                targets = partner.split.targets.to(device)
                self._classes = (
                    targets.argsort(stable=True),
                    torch.bincount(targets, minlength=int(self.targets.max()) + 1),
                )
                if int(self._classes[1][self.targets.unique()].min()) == 0:
                    raise UsageError(
                        "pairs by label need a sample of each class on the teacher's side, which lacks one"
                    )
        same_records = partner is None or (partner.shared and self._partner_base is self._base)
        # Parts of the originals are read, where both networks see the same part of the same picture.
        self._cut = augment == "resized-crop" and isinstance(self._base, StreamSplit) and same_records
        self._part = _Part(rank, world_size, mates=mixing is not None)
        self._draws = _Draws(seed, len(split), batch_size, views, self._part)
        self.dropped = _left_over(len(split), batch_size, world_size) if drop_single else 0
        if self.dropped == len(split):
            raise UsageError(
                f"{len(split)} samples are too few for {world_size} process(es): each needs at least 2 in a batch"
            )

    def __len__(self) -> int:
        """Return the batches of an epoch."""
        return -(-(len(self.split) - self.dropped) // self.batch_size)

    def samples_in(self, number: int) -> int:
        """Return the samples of batch `number` of an epoch, over all processes, each counted in each of its views."""
        return self.views * min(self.batch_size, len(self.split) - number * self.batch_size)

    def undivided(self) -> "Loader":
        """Return the loader of the batches that all processes share, each of which is then read as a whole."""
        loader = copy(self)
        loader.rank, loader.world_size = 0, 1
        loader._part = replace(self._part, rank=0, world_size=1)
        loader._draws = replace(self._draws, part=loader._part)
        return loader

    def batches(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from number `start` on, exactly as they come in a whole epoch."""
        if not 0 <= start <= len(self):
            raise UsageError(f"start must lie between 0 and {len(self)}, the batches of an epoch, received {start}")
        order = self._order(epoch)
        numbers = range(start, len(self))
        shares = [self._rows(order, number) for number in numbers]
        crops = partial(self._draws, epoch, kind=self.augment, size=self._frame) if self._cut else None
        own = self._read(self._base, shares, crops, start)
        read = zip(own, self._read_partners(epoch, numbers, shares), strict=True)
        for number, rows, (records, partners) in zip(numbers, shares, read, strict=True):
            drawn = self._draws(epoch, number, kind=self.augment, size=self._frame)
            if self._cut:
                images = augment(self.augment, records.to(self.device, non_blocking=True), whole(drawn, *self._size))
            else:
                placed = place(self.augment, drawn, self._frame, self._size)
                images = augment(self.augment, self._repeated(records), placed)
            mix = self._mix(epoch, number)
            images, targets = self._mixed(images, mix, self._size), self.targets.index_select(0, rows)
            seen = self._view(images)
            taught = self._taught(images, records, partners, drawn, epoch, number, mix) if self.partner else seen
            if self.mixing is None:
                yield Batch(seen, taught, torch.cat([targets] * self.views), rows.repeat(self.views))
            else:
                yield Batch(seen, taught, self._mixed_targets(targets, mix))

    def _mix(self, epoch: int, number: int) -> Mix:
        """Return what is drawn for a batch of all processes."""
        return Mix(1.0) if self.mixing is None else self.mixing.draw(_random(self.seed, epoch, _MIX, number))

    def _mixed(self, images: Tensor, mix: Mix, size: tuple[int, int]) -> Tensor:
        """Return this process's samples mixed with their mates, view by view."""
        if self.mixing is None:
            return images
        by_view = images.unflatten(0, (self.views, -1))
        own, mates = self._part.pairs(by_view, dim=1)
        return mix.on(self._frame, size).pictures(own, mates).flatten(0, 1)

    def _mixed_targets(self, targets: Tensor, mix: Mix) -> Tensor:
        assert self.mixing is not None
        own, mates = self._part.pairs(self.mixing.shares(targets), dim=0)
        return mix.on(self._frame, self._size).targets(own, mates).repeat(self.views, 1)

    def _taught(
        self, images: Tensor, records: Tensor, partners: Tensor | None, drawn: Tensor, epoch: int, number: int, mix: Mix
    ) -> Tensor:
        """Return the teacher's input: another view of the student's images, or partners of their own, mixed alike."""
        partner = self.partner
        assert partner is not None
        kind = self.augment if partner.shared else partner.augment
        if partner.shared and partners is None:
            return self._partner_view(images)
        if partner.shared:
            drawn = place(kind, drawn, self._frame, self._partner_size)
        else:
            drawn = self._draws(epoch, number, kind=kind, size=self._partner_size, stream=_PARTNER_AUGMENT)
            drawn = place(kind, drawn, self._partner_size, self._partner_size)
        own = self._repeated(records if partners is None else partners)
        return self._partner_view(self._mixed(augment(kind, own, drawn), mix, self._partner_size))

    def _order(self, epoch: int) -> Tensor:
        if not self.shuffle:
            return torch.arange(len(self.split), device=self.device)
        return torch.randperm(len(self.split), generator=_generator(self.seed, epoch, _ORDER)).to(self.device)

    def _rows(self, order: Tensor, number: int) -> Tensor:
        return self._part(order[number * self.batch_size : (number + 1) * self.batch_size])

    def _repeated(self, records: Tensor) -> Tensor:
        return records.to(self.device, non_blocking=True).repeat(self.views, 1, 1, 1)

    def _read_partners(self, epoch: int, numbers: range, shares: list[Tensor]) -> Iterator[Tensor | None]:
        """Read what the teacher sees, where those are records of their own."""
        if self.partner is None or self._partner_base is self._base:
            return iter([None] * len(shares))
        if not self.partner.by_label:
            return self._read(self._partner_base, shares)
        return self._read(
            self._partner_base, [self._same_class(epoch, n, rows) for n, rows in zip(numbers, shares, strict=True)]
        )

    def _same_class(self, epoch: int, number: int, rows: Tensor) -> Tensor:
        """Draw for each row a row of the partner's split that has its class."""
        count = min(self.batch_size, len(self.split) - number * self.batch_size)
        chance = self._part(
            torch.rand(count, generator=_generator(self.seed, epoch, _PARTNER, number), dtype=torch.float64)
        )
        by_class, counts = self._classes
        targets = self.targets.index_select(0, rows)
        first = counts.cumsum(0) - counts
        within = (chance.to(targets.device) * counts[targets]).long()
        return by_class[first[targets] + within]

    def _read(
        self,
        split: Split,
        shares: list[Tensor],
        crops: Callable[[int], Tensor] | None = None,
        first: int = 0,
    ) -> Iterator[Tensor]:
        """Read batch by batch; with `crops`, what it says of a batch number, from `first` on, of each of its views."""
        if isinstance(split, MemorySplit):
            yield from (split.read(rows.to(split.targets.device)) for rows in shares)
            return
        decoding = _Decoding(split, [rows.cpu() for rows in shares], crops, first, self.views)
        if self.workers == 0:
            yield from (_given(decoding[number]) for number in range(len(shares)))
            return
        # A generator of its own, because the iterator would otherwise draw from the global one, and so change what
        # a network's dropout draws, depending on where the images lie.
        decoded = DataLoader(
            decoding,
            batch_size=None,
            num_workers=min(self.workers, max(1, len(shares))),
            generator=torch.Generator(),
            pin_memory=self.device.type == "cuda",
            worker_init_fn=leave_signals_to_main,
        )
        yield from map(_given, read_by_workers(decoded, decoding.name))


class _Decoding(Dataset["Tensor | Exception"]):
    """Decodes batch by batch in a worker; hands an error over as it is, where raising would wrap it."""

    def __init__(
        self,
        split: Split,
        shares: list[Tensor],
        crops: Callable[[int], Tensor] | None,
        first: int,
        views: int,
    ) -> None:
        self.split = split
        self.shares = shares
        self.crops = crops
        self.first = first
        self.views = views

    def __len__(self) -> int:
        return len(self.shares)

    def name(self, number: int) -> str:
        """Return what batch `number` is for a user."""
        first = (
            f", from {self.split.name(int(self.shares[number][0]))} on" if isinstance(self.split, StreamSplit) else ""
        )
        return f"batch {self.first + number} of the epoch{first}"

    def __getitem__(self, number: int) -> "Tensor | Exception":
        rows = self.shares[number]
        try:
            if self.crops is None:
                return self.split.read(rows)
            assert isinstance(self.split, StreamSplit)
            crops = self.crops(self.first + number)
            return self.split.read(rows.repeat(self.views), crops)
        except (UsageError, RunError) as error:
            return error
        except MemoryError as error:
            return MemoryError(str(error))  # NumPy's own cannot be sent to another process


def _given(images: "Tensor | Exception") -> Tensor:
    if isinstance(images, Exception):
        raise images
    return images


@dataclass(frozen=True)
class _Draws:
    """What happens to the samples of a batch; small, since worker processes draw for themselves."""

    seed: int
    samples: int
    batch_size: int
    views: int
    part: "_Part"

    def __call__(self, epoch: int, number: int, *, kind: str, size: tuple[int, int], stream: int = _AUGMENT) -> Tensor:
        """Return what happens to this process's part of a batch, in each of its views."""
        count = min(self.batch_size, self.samples - number * self.batch_size)
        keys = [(self.seed, epoch, stream, number, *([view] if view else [])) for view in range(self.views)]
        drawn = [draw(kind, count, *size, _generator(*key)) for key in keys]
        return torch.cat([self.part(each) for each in drawn])


@dataclass(frozen=True)
class _Part:
    """Which samples of a batch a process reads: its share and, where samples are mixed, those that it mixes these with.

    One process has all of them in its share already.
    """

    rank: int
    world_size: int
    mates: bool

    def __call__(self, whole: Tensor) -> Tensor:
        if self.world_size == 1:
            return whole
        own = whole.tensor_split(self.world_size)[self.rank]
        return torch.cat([own, whole.flip(0).tensor_split(self.world_size)[self.rank]]) if self.mates else own

    def pairs(self, read: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        """Return the share, and what is mixed with each of its samples."""
        if self.world_size == 1:
            return read, read.flip(dim)
        own, mates = read.chunk(2, dim)
        return own, mates


def _random(*key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([part % 2**64 for part in key]))


def _generator(*key: int) -> torch.Generator:
    """Return a generator whose numbers depend on the whole key, with no pattern between neighbouring keys."""
    words = np.random.SeedSequence([part % 2**64 for part in key]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0]))


def _left_over(samples: int, batch_size: int, world_size: int) -> int:
    """Return the size of the last batch if it would starve a process: fewer than 2 samples where a full batch has 2."""
    last = samples % batch_size
    return last if last < min(2, batch_size // world_size) * world_size else 0


def _require_mixable(mixing: Mixing | None, partner: Partner | None) -> None:
    if mixing is not None and partner is not None and not partner.shared:
        raise UsageError(
            "mixup and cutmix mix what both networks see alike, but here each has pictures or augmentation of its own: "
            "leave them out, or pair pictures of the same scenes"
        )


def _require_shares(batch_size: int, rank: int, world_size: int, workers: int) -> None:
    if batch_size < 1 or world_size < 1 or batch_size % world_size:
        raise UsageError(
            f"batch_size is shared by all processes and must be a positive multiple of their number, {world_size}; "
            f"received {batch_size}"
        )
    if not 0 <= rank < world_size:
        raise UsageError(f"rank must lie between 0 and {world_size - 1}, received {rank}")
    if workers < 0:
        raise UsageError(f"workers must be 0 or more, received {workers}")
