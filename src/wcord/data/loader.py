"""Batches of a split, in an order and with augmentation that depend on seed, epoch and batch number alone."""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from wcord.checks import UsageError, require_choice, require_counts
from wcord.data.augment import (
    AUGMENT,
    AUGMENTATIONS,
    MIX,
    ORDER,
    PARTNER,
    PARTNER_AUGMENT,
    ROTATIONS,
    Draws,
    Part,
    augment,
    place,
    random_of,
    require_square,
    rotated_draws,
    seeded,
    whole,
)
from wcord.data.batch import Batch
from wcord.data.dataset import Partner
from wcord.data.mixing import Mix, Mixing
from wcord.data.split import MemorySplit, Split, StreamSplit, base_and_view, on_device
from wcord.data.workers import Decoding, images_or_raise, leave_signals_to_main, read_by_workers


class Loader:
    """Yields the batches of a split, epoch by epoch.

    The loader has no state: batch k of epoch e is a function of (seed, e, k), so that a run can resume at any batch,
    and a streamed split gives the same batches as one in memory, except for resized crops, which are cropped from the
    originals where those are available. Random numbers are drawn for the batch of all processes, and each takes its
    part; concatenated in the order of the ranks, the parts are that batch.

    >>> images = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1)
    >>> loader = Loader(MemorySplit(images, torch.zeros(5, dtype=torch.long)), batch_size=2, drop_single=True)
    >>> [batch.index.tolist() for batch in loader.batches()], loader.dropped
    ([[0, 1], [2, 3]], 1)

    Args:
        split: the student's samples.
        batch_size: samples of a batch, over all processes.
        seed: of order and augmentation.
        augment: one of `AUGMENTATIONS`.
        shuffle: a new order every epoch, or the order of the split.
        rank: number of this process.
        world_size: how many processes share each batch.
        device: of the batches, and of a split in memory.
        workers: processes that decode a streamed split; 0: this process decodes.
        views: augmented views of each sample in its batch, which is then all samples in their first view, all in their
            second, and so on.
        rotations: each sample comes in four views, upright and turned by 90°, 180° and 270°, in that order. It is read
            once and mirrored before it is turned, in all views alike; each view has its own shift or crop.
        partner: what the teacher sees; None: what the student sees.
        mixing: mix the samples of each batch, in the same way in all views and for both networks; targets are then
            shares of the classes, B×C, and there are no row numbers, since a mixture is no sample. Each process also
            reads the samples that those of its part are mixed with.
        drop_single: drop a last batch with fewer than two samples for some process: batch normalization and losses
            over pairs cannot use it.
        together: batches that are read and augmented in one pass, to save launches on a GPU; the pictures are the
            same, bit for bit.

    Attributes:
        copies: rows of each sample in its batch: one for each of its views or rotations.
        dropped: samples dropped from each epoch: 0 or 1 for one process.
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
        rotations: bool = False,
        partner: Partner | None = None,
        mixing: Mixing | None = None,
        drop_single: bool = False,
        together: int = 1,
    ) -> None:
        require_choice("augmentation", augment, AUGMENTATIONS)
        _require_shares(batch_size, rank, world_size, workers)
        self.split, self.partner = split, partner
        self.targets = split.targets.to(device)
        self.batch_size, self.seed, self.augment, self.shuffle = batch_size, seed, augment, shuffle
        self.rank, self.world_size, self.workers = rank, world_size, workers
        if views < 1:
            raise UsageError(f"views must be 1 or more, received {views}")
        require_counts(together=together)
        self.views, self.mixing, self.together = views, mixing, together
        self.rotations = ROTATIONS if rotations else 1
        self.copies = views * self.rotations
        _require_mixable(mixing, partner)
        self.device = torch.device(device)
        base, self._view = base_and_view(split)
        self._base = on_device(base, device)
        self._size = self._frame = base.shape[1:]
        if partner is not None:
            other, self._partner_view = base_and_view(partner.split)
            self._partner_base = self._base if other is base else on_device(other, device)
            self._partner_size = other.shape[1:]
            # Shared augmentation is drawn in the pixels of the larger picture.
            self._frame = max(self._size, self._partner_size) if partner.pairs == "shared" else self._size
            if partner.pairs == "label":
                targets = partner.split.targets.to(device)
                self._classes = (
                    targets.argsort(stable=True),
                    torch.bincount(targets, minlength=int(self.targets.max()) + 1),
                )
                if int(self._classes[1][self.targets.unique()].min()) == 0:
                    raise UsageError(
                        "pairs by label need a sample of each class on the teacher's side, which lacks one"
                    )
        if rotations:
            _require_rotatable(views, split, partner)
        same_records = partner is None or (partner.pairs == "shared" and self._partner_base is self._base)
        # Crops of the originals are read, if both networks see the same crop of the same picture.
        streamed = isinstance(self._base, StreamSplit) and not rotations
        self._cut = augment == "resized-crop" and streamed and same_records
        self._part = Part(rank, world_size, mates=mixing is not None)
        self._draws = Draws(seed, len(split), batch_size, self.copies, self._part)
        self.dropped = _left_over(len(split), batch_size, world_size) if drop_single else 0
        if self.dropped == len(split):
            raise UsageError(
                f"{len(split)} samples are too few for {world_size} process(es): each needs at least 2 in a batch"
            )

    def __len__(self) -> int:
        """Return the batches of an epoch."""
        return -(-(len(self.split) - self.dropped) // self.batch_size)

    def samples_in(self, number: int) -> int:
        """Return the samples of batch `number` of an epoch, over all processes, each counted in each of its copies."""
        return self.copies * min(self.batch_size, len(self.split) - number * self.batch_size)

    def undivided(self) -> "Loader":
        """Return a loader of the whole batches, of which each process has a part here."""
        loader = copy(self)
        loader.rank, loader.world_size = 0, 1
        loader._part = replace(self._part, rank=0, world_size=1)
        loader._draws = replace(self._draws, part=loader._part)
        return loader

    def batches(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from number `start` on, the same as in a whole epoch."""
        for group in self.groups(epoch, start):
            yield from group.batches()[max(0, start - group.first) :]

    def groups(self, epoch: int = 0, start: int = 0) -> Iterator["BatchGroup"]:
        """Yield the batches of an epoch `together` at a time, beginning with the group that holds number `start`."""
        if not 0 <= start <= len(self):
            raise UsageError(f"start must lie between 0 and {len(self)}, the batches of an epoch, received {start}")
        order = self._order(epoch)
        first = start - start % self.together if start < len(self) else start
        numbers = range(first, len(self))
        shares = [self._rows(order, number) for number in numbers]
        crops = partial(self._draws, epoch, kind=self.augment, size=self._frame) if self._cut else None
        records = self._read(self._base, shares, crops, first)
        read = zip(records, self._read_partners(epoch, numbers, shares), strict=True)
        for at, (records, partners) in zip(range(0, len(shares), self.together), read, strict=True):
            here = slice(at, at + self.together)
            yield BatchGroup(first + at, *self._batches(epoch, numbers[here], shares[here], records, partners))

    def _batches(
        self, epoch: int, numbers: range, shares: list[Tensor], records: Tensor, partners: Tensor | None
    ) -> tuple[Batch, tuple[int, ...]]:
        """Return some batches as one, and the number of samples of each."""
        drawn = self._drawn(epoch, numbers, kind=self.augment, size=self._frame)
        if self._cut:
            images = augment(self.augment, records, whole(drawn, *self._size))
        else:
            images = self._augmented(self.augment, records, place(self.augment, drawn, self._frame, self._size), shares)
        mixes = [self._mix(epoch, number) for number in numbers]
        counts = [self.copies * len(rows) for rows in shares]
        images = self._mixed(images, mixes, counts, self._size)
        student = teacher = self._view(images)
        if self.partner is not None:
            teacher = self._teacher_input(images, records, partners, drawn, epoch, numbers, mixes, shares)
        if self.mixing is None:
            rows = torch.cat([rows.repeat(self.copies) for rows in shares])
            target = self.targets.index_select(0, rows)
            return Batch(student, teacher, target, rows, rotations=self.rotations), tuple(counts)
        targets = [self._mixed_targets(rows, mix) for rows, mix in zip(shares, mixes, strict=True)]
        return Batch(student, teacher, torch.cat(targets), rotations=self.rotations), tuple(map(len, targets))

    def _augmented(self, kind: str, records: Tensor, drawn: Tensor, shares: Sequence[Tensor]) -> Tensor:
        """Return the records of some batches augmented as drawn, in all of their rotations."""
        if self.rotations > 1:
            records, drawn = rotated_draws(records, drawn, [len(rows) for rows in shares])
        return augment(kind, records, drawn)

    def _drawn(self, epoch: int, numbers: range, *, kind: str, size: tuple[int, int], stream: int = AUGMENT) -> Tensor:
        return torch.cat([self._draws(epoch, number, kind=kind, size=size, stream=stream) for number in numbers])

    def _mix(self, epoch: int, number: int) -> Mix:
        """Return the mix of a batch of all processes."""
        return Mix(1.0) if self.mixing is None else self.mixing.draw(random_of(self.seed, epoch, MIX, number))

    def _mixed(self, images: Tensor, mixes: Sequence[Mix], counts: list[int], size: tuple[int, int]) -> Tensor:
        """Return this process's part of each batch, mixed view by view."""
        if self.mixing is None:
            return images
        mixed: list[Tensor] = []
        for batch, mix in zip(images.split(counts), mixes, strict=True):
            share, mates = self._part.pairs(batch.unflatten(0, (self.copies, -1)), dim=1)
            mixed.append(mix.on(self._frame, size).pictures(share, mates).flatten(0, 1))
        return torch.cat(mixed)

    def _mixed_targets(self, rows: Tensor, mix: Mix) -> Tensor:
        assert self.mixing is not None
        share, mates = self._part.pairs(self.mixing.shares(self.targets.index_select(0, rows)), dim=0)
        return mix.on(self._frame, self._size).targets(share, mates).repeat(self.copies, 1)

    def _teacher_input(
        self,
        images: Tensor,
        records: Tensor,
        partners: Tensor | None,
        drawn: Tensor,
        epoch: int,
        numbers: range,
        mixes: Sequence[Mix],
        shares: Sequence[Tensor],
    ) -> Tensor:
        """Return the teacher's input: another view of the student's images, or the partners, mixed in the same way."""
        partner = self.partner
        assert partner is not None
        shared = partner.pairs == "shared"
        kind = self.augment if shared else partner.augment
        if shared and partners is None:
            return self._partner_view(images)
        if shared:
            drawn = place(kind, drawn, self._frame, self._partner_size)
        else:
            drawn = self._drawn(epoch, numbers, kind=kind, size=self._partner_size, stream=PARTNER_AUGMENT)
            drawn = place(kind, drawn, self._partner_size, self._partner_size)
        images = self._augmented(kind, records if partners is None else partners, drawn, shares)
        counts = [self.copies * len(rows) for rows in shares]
        return self._partner_view(self._mixed(images, mixes, counts, self._partner_size))

    def _order(self, epoch: int) -> Tensor:
        if not self.shuffle:
            return torch.arange(len(self.split), device=self.device)
        return torch.randperm(len(self.split), generator=seeded(self.seed, epoch, ORDER)).to(self.device)

    def _rows(self, order: Tensor, number: int) -> Tensor:
        return self._part(order[number * self.batch_size : (number + 1) * self.batch_size])

    def _read_partners(self, epoch: int, numbers: range, shares: list[Tensor]) -> Iterator[Tensor | None]:
        """Read the partners, where they are records other than the student's."""
        if self.partner is None or self._partner_base is self._base:
            return iter([None] * -(-len(shares) // self.together))
        if self.partner.pairs != "label":
            return self._read(self._partner_base, shares)
        return self._read(
            self._partner_base, [self._same_class(epoch, n, rows) for n, rows in zip(numbers, shares, strict=True)]
        )

    def _same_class(self, epoch: int, number: int, rows: Tensor) -> Tensor:
        """Draw for each row a row of the partner's split that has its class."""
        count = min(self.batch_size, len(self.split) - number * self.batch_size)
        chance = self._part(torch.rand(count, generator=seeded(self.seed, epoch, PARTNER, number), dtype=torch.float64))
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
        """Read the records of each group of batches, in each view.

        `crops` returns the crops of a batch by its number, which begins at `first`.
        """
        groups = [shares[at : at + self.together] for at in range(0, len(shares), self.together)]
        if isinstance(split, MemorySplit):
            for group in groups:
                rows = torch.cat([rows.repeat(self.views) for rows in group])
                yield split.read(rows.to(split.targets.device))
            return
        decoded = self._decoded(split, shares, crops, first)
        for group in groups:
            batches = [next(decoded).to(self.device, non_blocking=True) for _ in group]
            yield torch.cat([batch if crops is not None else batch.repeat(self.views, 1, 1, 1) for batch in batches])

    def _decoded(
        self, split: Split, shares: list[Tensor], crops: Callable[[int], Tensor] | None, first: int
    ) -> Iterator[Tensor]:
        """Decode batch by batch, here or in workers."""
        decoding = Decoding(split, [rows.cpu() for rows in shares], crops, first, self.views)
        if self.workers == 0:
            yield from (images_or_raise(decoding[number]) for number in range(len(shares)))
            return
        # With the global generator, a network's dropout would depend on whether the images are decoded in workers.
        decoded = DataLoader(
            decoding,
            batch_size=None,
            num_workers=min(self.workers, max(1, len(shares))),
            generator=torch.Generator(),
            pin_memory=self.device.type == "cuda",
            worker_init_fn=leave_signals_to_main,
        )
        yield from map(images_or_raise, read_by_workers(decoded, decoding.name))


@dataclass(frozen=True)
class BatchGroup:
    """Batches that were read in one pass.

    Attributes:
        first: number of the first batch in its epoch.
        whole: all of them, concatenated.
        sizes: number of samples of each.
    """

    first: int
    whole: Batch
    sizes: tuple[int, ...]

    def batches(self) -> list[Batch]:
        """Return the batches, which share memory with the whole."""
        return self.whole.split(self.sizes)


def _left_over(samples: int, batch_size: int, world_size: int) -> int:
    """Return the size of the last batch if some process would get fewer than 2 samples, and 2 of a full batch."""
    last = samples % batch_size
    return last if last < min(2, batch_size // world_size) * world_size else 0


def _require_mixable(mixing: Mixing | None, partner: Partner | None) -> None:
    if mixing is not None and partner is not None and partner.pairs != "shared":
        raise UsageError(
            "mixup and cutmix need the same pictures and augmentation for both networks, which differ here: "
            "remove them, or pair pictures of the same scenes"
        )


def _require_rotatable(views: int, split: Split, partner: Partner | None) -> None:
    """Raise unless both networks see square pictures, each sample in one view before it is turned."""
    if views > 1:
        raise UsageError(
            f"a rotated batch holds four turned views of each sample, and --views {views} asks for others: leave out "
            "--views, or use a method without rotations"
        )
    for name, side in (("the student's pictures", split), ("the teacher's pictures", partner and partner.split)):
        if side is not None:
            require_square(name, base_and_view(side)[0].shape)
            require_square(name, side.shape)


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
