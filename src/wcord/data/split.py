"""Splits that are ready to be read: decoded in memory, or decoded at each reading; and their channel statistics."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor

from wcord.data.augment import boxes, to_unit
from wcord.data.images import BadImageError, Box, Form, UnreadableError, decode, open_upright
from wcord.data.stores import ImageStore
from wcord.data.view import View

Origin = tuple[ImageStore | Tensor, Tensor]
"""The store of the original images, and the rows of it that belong to a split."""


class Split(ABC):
    """Images and class numbers by row, 0 … len − 1.

    Attributes:
        targets: class numbers, N; or the labels of each row where it may have several, N×C of 0 and 1 (float).
        shape: channels, height, width of every image.
        origin: store and rows of the original images; None if the images are the original ones.
    """

    targets: Tensor
    shape: tuple[int, int, int]
    origin: Origin | None = None

    def __len__(self) -> int:
        return self.targets.shape[0]

    @abstractmethod
    def read(self, rows: Tensor) -> Tensor:
        """Return the images in `rows`, B×C×H×W: uint8, or float32 in [0, 1] where the source was."""


class MemorySplit(Split):
    """All images decoded in one tensor.

    Args:
        images: N×C×H×W, uint8, or float32 in [0, 1].
        targets: class numbers, N.
        origin: see `Split`.
    """

    def __init__(self, images: Tensor, targets: Tensor, origin: Origin | None = None) -> None:
        self.images = images
        self.origin = origin
        self.targets = targets
        self.shape = (images.shape[1], images.shape[2], images.shape[3])

    def read(self, rows: Tensor) -> Tensor:
        """Copy the rows out of memory."""
        return self.images.index_select(0, rows)

    def to(self, device: torch.device | str) -> "MemorySplit":
        """Return the split with its images on `device`; nothing is copied if they are there."""
        if self.images.device == torch.device(device):
            return self
        return MemorySplit(moved(self.images, device), self.targets.to(device), self.origin)


class StreamSplit(Split):
    """Images that are decoded when they are read, for sets larger than memory.

    Args:
        store: undecoded images.
        rows: the rows of the store that belong to the split, N.
        targets: class numbers, N.
        form: of every image.
    """

    def __init__(self, store: ImageStore, rows: Tensor, targets: Tensor, form: Form) -> None:
        self.store = store
        self.rows = rows
        self.origin = (store, rows)
        self.targets = targets
        self.form = form
        self.shape = form.shape

    def name(self, row: int) -> str:
        """Return the name of an image in a message."""
        return self.store.name(int(self.rows[row]))

    def read(self, rows: Tensor, crops: Tensor | None = None) -> Tensor:
        """Decode the rows, one after the other.

        Args:
            rows: which, B.
            crops: draws of `augment.draw` for "resized-crop", B×41: crops of the originals are read, which are sharper
                than crops of resized images; they are not mirrored yet.

        Raises:
            UsageError: an image cannot be read.
        """
        images = np.empty((len(rows), *self.shape), self.form.dtype)
        for place, row in enumerate(self.rows[rows].tolist()):
            name = self.store.name(row)
            try:
                image = open_upright(lambda row=row: self.store.open(row), name)
                box = None if crops is None else _part(image.size, crops[place])
                images[place] = decode(image, self.form, box)
            except BadImageError as error:
                raise UnreadableError(name, str(error)) from None
        return torch.from_numpy(images)


def _part(size: tuple[int, int], crop: Tensor) -> Box:
    """Return the part of a picture of (width, height) that was drawn."""
    top, left, tall, wide, _ = boxes(crop[None], size[1], size[0])[0].int().tolist()
    return left, top, left + wide, top + tall


class ViewedSplit(Split):
    """A split as one network sees it.

    Args:
        base: where the records are read.
        view: the operations on them.
        targets: class numbers that replace those of the base.

    Raises:
        UsageError: the view does not suit the records.
    """

    def __init__(self, base: Split, view: View, targets: Tensor | None = None) -> None:
        self.base = base
        self.origin = base.origin
        self.view = view
        self.targets = base.targets if targets is None else targets
        self.shape = view.shape(base.shape)

    def read(self, rows: Tensor) -> Tensor:
        """Return the view of the records in `rows`, float32."""
        return self.view(to_unit(self.base.read(rows)))


def seen_through(split: Split, view: View) -> Split:
    """Return the split with a view applied after its present one; the split itself for an empty view."""
    if not view:
        return split
    base, before = base_and_view(split)
    return ViewedSplit(base, before.then(view), split.targets)


def base_and_view(split: Split) -> tuple[Split, View]:
    """Return the split without its view, and the view."""
    return (split.base, split.view) if isinstance(split, ViewedSplit) else (split, View())


def none_like(split: Split) -> MemorySplit:
    """Return an empty split of the same form.

    >>> len(none_like(MemorySplit(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1]))))
    0
    """
    return MemorySplit(torch.zeros(0, *split.shape, dtype=torch.uint8), split.targets[:0])


def moved(records: Tensor, device: torch.device | str) -> Tensor:
    """Return records on a device, in float32 if it does not support float64."""
    narrow = records.dtype == torch.float64 and torch.device(device).type == "mps"
    return (records.float() if narrow else records).to(device)


def on_device(split: Split, device: torch.device | str) -> Split:
    """Return a split in memory on `device`, and any other split unchanged."""
    return split.to(device) if isinstance(split, MemorySplit) else split


LOOKED_AT = 5000
"""Images of a streamed split that are read, evenly spaced: the error of the mean is then about 1/70 of a deviation."""
BLOCK = 2048


def channel_statistics(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel over all pixels, with pixel values in [0, 1].

    Exact for a split in memory; for a streamed one, of up to 5,000 evenly spaced images, the same every time.
    A constant channel is given deviation 1, so that dividing by it is harmless. Sums are relative to a value of the
    channel, so that a large mean with a small deviation (pressures, times) loses no digits. Missing values (NaN) are
    ignored.

    >>> images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    >>> channel_statistics(MemorySplit(images, torch.zeros(2, dtype=torch.long)))
    ((0.5,), (0.5,))
    """
    in_memory = isinstance(base_and_view(split)[0], MemorySplit)
    count = len(split) if in_memory else min(LOOKED_AT, len(split))
    rows = torch.linspace(0, len(split) - 1, count, dtype=torch.float64).round().long()
    device = split.targets.device
    pixels, total, squares = torch.zeros(3, split.shape[0], dtype=torch.float64)
    origin: Tensor | None = None
    rounding = 0.0
    for block in rows.split(BLOCK):
        images = split.read(block.to(device))
        if origin is None:
            origin, rounding = _origin(images), _rounding(images)
        sums = _sums(images, origin)
        total, squares, pixels = total + sums[0], squares + sums[1], pixels + sums[2]
    pixels = pixels.clamp_min(1)
    offset = total / pixels
    mean = offset if origin is None else origin + offset
    std = (squares / pixels - offset.square()).clamp_min(0).sqrt()
    std = torch.where((std > 0) & (std > rounding * mean.abs()), std, torch.ones_like(std))
    return tuple(mean.tolist()), tuple(std.tolist())


def _origin(images: Tensor) -> Tensor:
    """Return the value of each channel that its sums are relative to.

    Zero if all values are missing, and for bytes, whose sums are exact.
    """
    corners = images[:, :, 0, 0].double().cpu()
    if images.dtype == torch.uint8 or not len(corners):
        return corners.new_zeros(images.shape[1])
    first = (~corners.isnan()).int().argmax(0, keepdim=True)
    return corners.gather(0, first)[0].nan_to_num(0.0)


def _rounding(images: Tensor) -> float:
    """Return the deviation relative to the mean below which a channel is constant up to rounding."""
    return 16 * torch.finfo(images.dtype).eps if images.is_floating_point() else 1e-6


def _sums(images: Tensor, origin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return sums of value − origin and of its square, and their number, by channel in [0, 1]; exact for uint8."""
    if images.dtype == torch.uint8:
        levels = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(1)])
        values = torch.arange(256, dtype=torch.float64) / 255
        counts = levels.double().cpu()
        return counts @ values, counts @ values.square(), counts.sum(1)
    images = images.double() - origin.to(images.device)[:, None, None]
    known = (~images.isnan()).sum((0, 2, 3)).double()
    return images.nansum((0, 2, 3)).cpu(), images.square().nansum((0, 2, 3)).cpu(), known.cpu()
