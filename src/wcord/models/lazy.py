"""Modules that take their widths from their first input (nn.LazyLinear and the like) get it when a network is built."""

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from wcord.checks import UsageError
from wcord.models.network import evaluating

SIDE = 32
"""Pixels of the first input where no size is known."""


def settle_widths(network: nn.Module, *, in_channels: int, image_size: tuple[int, int] | None = None) -> None:
    """Show a network an input of zeros if any of its parameters or buffers have no shape yet.

    >>> network = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    >>> settle_widths(network, in_channels=3, image_size=(8, 8))
    >>> network[0].weight.shape, network[1].weight.shape, network[3].weight.shape
    (torch.Size([4, 3, 3, 3]), torch.Size([4]), torch.Size([2, 144]))

    Args:
        network: is left in its mode, and nothing but these widths changes.
        in_channels: of its input.
        image_size: height and width of it.

    Raises:
        UsageError: it fails on that input, or does not use all of its modules.
    """
    if not _without_shape(network):
        return
    size = image_size or (SIDE, SIDE)
    try:
        with evaluating(network):
            network(torch.zeros(2, in_channels, *size))
    except Exception as error:
        shape = f"2×{in_channels}×{size[0]}×{size[1]}"
        raise UsageError(
            f"{type(network).__name__} has modules without widths (nn.Lazy…) and fails on a first input of {shape} "
            f"({error}): give them widths"
        ) from error
    unused = _without_shape(network)
    if unused:
        raise UsageError(f"{type(network).__name__} does not use {unused[0]!r}, which has no width: give it one")


def _without_shape(network: nn.Module) -> list[str]:
    named = (*network.named_parameters(), *network.named_buffers())
    return [name for name, value in named if is_lazy(value)]
