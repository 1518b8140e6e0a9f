"""Mean and standard deviation of each channel, or column of a table, by which a network normalises its input."""

import torch
from torch import Tensor

from wcord.data.split import MemorySplit, Split, base_and_view

LOOKED_AT = 5000
"""Images of a streamed split that are read, evenly spaced: the error of the mean is then about 1/70 of a deviation."""
BLOCK = 2048


def channel_statistics(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel over all pixels, with pixel values in [0, 1].

    Exact for a split in memory; for a streamed one, of up to 5,000 evenly spaced images, the same every time.
    A constant channel is given deviation 1, so that dividing by it is harmless; the sums are taken from a value of the
    channel, so that a large mean with a small deviation (pressures, times) loses no digits. Missing values (NaN) do not
    count.

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
    """Return a value of each channel from which its sums are taken, so that a large mean does not drown the deviation.

    Zero where all values are missing, and for bytes, whose sums are exact.
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
