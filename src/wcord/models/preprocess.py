"""The input that a network wants: its size and its normalization belong to it, not to the data."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wcord.checks import LEAST_STD, UsageError, WrongTypeError, require_number, require_size, require_tensor


class Preprocess(nn.Module):
    """Bring images in [0, 1] to what a network wants: resize where the size differs, then (x - mean) / std.

    The numbers are in no state dict: they travel in the model card. Of a mean with more digits than float32 holds, the
    remainder is kept beside it, so that 101325.02 Pa and a time in seconds since 1970 are centered exactly where the
    records come in float64.

    Args:
        mean: mean of each channel, in units of the [0, 1] image.
        std: standard deviation of each channel, same units.
        size: pixels (height, width), or one number for both; default: images stay as large as they are.

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
            UsageError: they have another number of channels than `mean`.
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
    """Return the rows of a table, B×C×V×1, with the first `count` visits; those that are not there are gaps (NaN)."""
    return F.pad(records[:, :, :count], (0, 0, 0, max(0, count - records.shape[2])), value=math.nan)


@runtime_checkable
class _StatesInput(Protocol):
    """A network that says what it was trained on, as timm's do."""

    pretrained_cfg: Any


def stated_preprocess(network: nn.Module, *, in_channels: int = 3) -> Preprocess | None:
    """Return the preprocessing that a network states itself, or None where it states none.

    timm's networks do: mean and std, and the size where no other will do. The built-in ones and torchvision's do not;
    for them the statistics of the training data serve.

    Args:
        network: the network itself, not wrapped.
        in_channels: its input channels; a statement about another number of them does not count.
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
