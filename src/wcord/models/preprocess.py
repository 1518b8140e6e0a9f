"""Preprocessing of a network's input: its size and its normalization belong to the network, not to the data."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wcord.checks import LEAST_STD, UsageError, WrongTypeError, require_number, require_size, require_tensor


class Preprocess(nn.Module):
    """Convert images in [0, 1] to a network's input: resize if the size differs, then (x - mean) / std.

    The statistics are in the model card and in no state dict. A mean with more digits than float32 has is kept with its
    remainder, so that records in float64, such as 101325.02 Pa or seconds since 1970, are centered exactly.

    Args:
        mean: mean of each channel, in units of the [0, 1] image.
        std: standard deviation of each channel, same units.
        size: pixels (height, width), or one number for both; default: images are not resized.

    Raises:
        UsageError: `mean` and `std` differ in length, a `std` is not above 0, or a size is not.

    >>> preprocess = Preprocess((0.5,), (0.25,), size=4)
    >>> preprocess(torch.ones(2, 1, 8, 8)).shape, preprocess(torch.ones(1, 1, 4, 4)).max().item()
    (torch.Size([2, 1, 4, 4]), 2.0)
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], size: int | Sequence[int] | None = None) -> None:
        super().__init__()
        _require_statistics(mean, std)
        self.size = None if size is None else _pair(size)
        self.statistics = tuple(mean), tuple(std)
        exact = torch.tensor(tuple(mean), dtype=torch.float64)
        self.register_buffer("mean", exact.float(), persistent=False)
        self.register_buffer("remainder", (exact - exact.float()).float(), persistent=False)
        self.register_buffer("std", torch.tensor(tuple(std), dtype=torch.float32), persistent=False)
        self.channels = len(mean)

    def forward(self, images: Tensor) -> Tensor:
        """Return the network's input, of the images' floating-point type.

        Args:
            images: B×C×H×W (or B×C, B×C×L where there is no `size`), floating point in [0, 1].

        Raises:
            TypeError: the images are integers.
            UsageError: their number of channels is not that of `mean`.
        """
        require_tensor("images", images)
        if not images.is_floating_point():
            raise WrongTypeError(
                f"images must be floating point in [0, 1], received {images.dtype}: divide bytes by 255"
            )
        if images.dim() < 2 or images.shape[1] != self.channels:
            raise self._wrong_channels(images)
        if self.size is not None and images.shape[2:] != self.size and images.shape[2:][-1:] == self.size[-1:] == (1,):
            images = _as_many_visits(images, self.size[0])
        elif self.size is not None and images.shape[2:] != self.size:
            images = F.interpolate(images, self.size, mode="bilinear", align_corners=False, antialias=True)
        shape = (1, self.channels, *[1] * (images.dim() - 2))
        mean, std = cast(Tensor, self.mean).to(images.dtype), cast(Tensor, self.std).to(images.dtype)
        if images.dtype == torch.float64:
            mean = mean + cast(Tensor, self.remainder).double()
        return (images - mean.view(shape)) / std.view(shape)

    def _wrong_channels(self, images: Tensor) -> UsageError:
        received = f"received a batch of shape {tuple(images.shape)}"
        if images.dim() >= 2 and (images.shape[1], self.channels) == (1, 3):
            received = "received gray ones (1 channel)"
        return UsageError(
            f"the network wants images of {self.channels} channels, {received}: convert the images, "
            "or build the network with their number of input channels"
        )

    def extra_repr(self) -> str:
        """Return what `print` shows."""
        mean, std = cast(Tensor, self.mean).tolist(), cast(Tensor, self.std).tolist()
        return f"mean={mean}, std={std}, size={self.size}"


def _as_many_visits(records: Tensor, count: int) -> Tensor:
    """Return the rows of a table, B×C×V×1, with the first `count` visits; missing ones are NaN."""
    return F.pad(records[:, :, :count], (0, 0, 0, max(0, count - records.shape[2])), value=math.nan)


@runtime_checkable
class _StatesInput(Protocol):
    """A network that states its training input, as timm's do."""

    pretrained_cfg: Any


def stated_preprocess(network: nn.Module, *, in_channels: int = 3) -> Preprocess | None:
    """Return the preprocessing that a network states, or None.

    timm's networks state mean and std, and the size if it is fixed. The built-in ones and torchvision's do not; they
    use the statistics of the training data.

    Args:
        network: the bare network.
        in_channels: its input channels; statistics of another number of channels are ignored.
    """
    config = network.pretrained_cfg if isinstance(network, _StatesInput) else None
    if not isinstance(config, Mapping) or not {"mean", "std"} <= config.keys():
        return None
    mean, std = config["mean"], config["std"]
    if len(mean) != in_channels:
        return None
    return Preprocess(mean, std, config["input_size"][1:] if config.get("fixed_input_size") else None)


def _require_statistics(mean: Sequence[float], std: Sequence[float]) -> None:
    if len(mean) != len(std) or not mean:
        raise UsageError(f"mean and std must have one number a channel, received {len(mean)} and {len(std)}")
    for value in mean:
        require_number("mean", value)
    for value in std:
        require_number("std", value, low=LEAST_STD)


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return require_size("size", (size, size) if isinstance(size, int) else size)
