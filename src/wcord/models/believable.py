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
"""Name of a tensor → its shape."""
ROOM, TEACHER_ROOM = 4, 64
"""A network may be so many times as large as its file: some tensors are computed, and not saved. Of a teacher whose
classifier a student has taken over, the file holds little more than that."""
SPARE = 2**20
"""Numbers that a network may have beyond that."""
MOST = 10**6
"""Classes, and channels, of a network of the user's own code, which may have tensors of any shape, or none."""


def require_believable(card: ModelCard, shapes: Shapes, *, own: bool = False) -> None:
    """Raise if a card speaks of more classes or channels than the tensors beside it have room for.

    >>> require_believable(ModelCard("resnet8", 10**9), {"fc.weight": (10, 64), "fc.bias": (10,)})
    Traceback (most recent call last):
        ...
    wcord.checks.UsageError: the model card is damaged (num_classes is 1000000000, but no tensor in the file has ...

    Args:
        card: the file's.
        shapes: the file's.
        own: whether the network is code of the user's own.

    Raises:
        UsageError: saying which number does not fit.
    """
    if own:
        require_number("num_classes in the model card", card.num_classes, high=MOST)
        require_number("in_channels in the model card", card.in_channels, high=MOST)
        return
    held = [shape for shape in shapes.values() if prod(shape)]
    if card.num_classes and not any(card.num_classes in shape for shape in held):
        raise _damaged(f"num_classes is {card.num_classes}, but no tensor in the file has as many rows")
    if card.in_channels > max(map(prod, held), default=0):
        raise _damaged(f"in_channels is {card.in_channels}, but no tensor in the file holds as many numbers")


def require_room(card: ModelCard, shapes: Shapes, name: str) -> None:
    """Raise if a network with the sizes of a card is far larger than the file that should hold its weights.

    The network is built on the meta device, which takes no memory.

    Args:
        card: the file's.
        shapes: the file's.
        name: of the network; none of the user's own code.

    Raises:
        UsageError: the network is larger, or unknown, or cannot be built with the numbers of the card.
    """
    held = sum(map(prod, shapes.values()))
    prefix, _, rest = name.partition(":")
    parts = simkd_names(rest) if prefix == PREFIX else (name,)
    for part, room in zip(parts, (ROOM, TEACHER_ROOM), strict=False):
        with torch.device("meta"):
            network = build_as_stated(card, part)
        count = sum(value.numel() for value in network.state_dict().values())
        if count > room * held + SPARE:
            raise UsageError(
                f"it holds {held:,} numbers, but {part} has {count:,} with the sizes in its model card: the card is "
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
