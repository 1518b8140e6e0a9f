"""Whether a weights file is as large as its card says, so that a few bytes of text cannot ask for all memory."""

from collections.abc import Mapping
from math import prod

import torch
from torch import nn

from wcord.checks import UsageError, require_number
from wcord.models.card import ModelCard
from wcord.models.create import create_model
from wcord.models.simkd import PREFIX, simkd_names

Shapes = Mapping[str, tuple[int, ...]]
"""Tensor name → shape."""
ROOM, TEACHER_ROOM = 4, 64
"""How many times larger a network may be than its file, since some tensors are computed and not saved. A SimKD file
holds little more of the teacher than its classifier."""
SPARE = 2**20
"""Additional numbers that a network may have."""
MOST = 10**6
"""Largest number of classes and of channels of a network built by user code, whose tensors may have any shape."""


def require_believable(card: ModelCard, shapes: Shapes, *, own: bool = False) -> None:
    """Raise if a card states more classes or channels than the tensors in its file have.

    >>> require_believable(ModelCard("resnet8", 10**9), {"fc.weight": (10, 64), "fc.bias": (10,)})
    Traceback (most recent call last):
        ...
    wcord.checks.UsageError: the model card is damaged (num_classes is 1000000000, but no tensor in the file has ...

    Args:
        card: of the file.
        shapes: of its tensors.
        own: whether the network is built by user code.

    Raises:
        UsageError: a number does not fit.
    """
    if own:
        require_number("num_classes in the model card", card.num_classes, high=MOST)
        require_number("in_channels in the model card", card.in_channels, high=MOST)
        return
    filled = [shape for shape in shapes.values() if prod(shape)]
    if card.num_classes and not any(card.num_classes in shape for shape in filled):
        raise _damaged(f"num_classes is {card.num_classes}, but no tensor in the file has as many rows")
    if card.in_channels > max(map(prod, filled), default=0):
        raise _damaged(f"in_channels is {card.in_channels}, but no tensor in the file holds as many numbers")


def require_room(card: ModelCard, shapes: Shapes, name: str) -> None:
    """Raise if a network with the sizes of a card is far larger than the file that should hold its weights.

    The network is built on the meta device, which takes no memory.

    Args:
        card: of the file.
        shapes: of its tensors.
        name: of the network, which is not built by user code.

    Raises:
        UsageError: the network is larger, or unknown, or cannot be built with the numbers of the card.
    """
    stored = sum(map(prod, shapes.values()))
    prefix, _, rest = name.partition(":")
    parts = simkd_names(rest) if prefix == PREFIX else (name,)
    for part, room in zip(parts, (ROOM, TEACHER_ROOM), strict=False):
        with torch.device("meta"):
            network = build_as_stated(card, part)
        count = sum(value.numel() for value in network.state_dict().values())
        if count > room * stored + SPARE:
            raise UsageError(
                f"it holds {stored:,} numbers, but {part} has {count:,} with the sizes in its model card: the card is "
                "damaged, or the weights are of another architecture"
            )


def build_as_stated(card: ModelCard, name: str) -> nn.Module:
    """Build a network with the numbers of a card, and with random weights."""
    return create_model(
        name,
        num_classes=card.num_classes,
        in_channels=card.in_channels,
        image_size=card.image_size,
        pretrained=False,  # the weights are in the file
    )


def _damaged(reason: str) -> UsageError:
    return UsageError(f"the model card is damaged ({reason}): write the weights file again")
