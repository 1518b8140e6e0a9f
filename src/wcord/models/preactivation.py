"""Finds a map before its ReLU: as the network states it, else the input of the ReLU at the end of the map's module."""

import itertools

from torch import nn

from wcord.checks import DoesNotFitError
from wcord.models.network import StatesPreactivations, shown_type

INPUT_SIDE = ":in"
"""Ends the address of a map that is a module's input and not its output."""
RELUS = (nn.ReLU, nn.ReLU6)


def address_before_relu(network: nn.Module, name: str, path: str) -> str:
    """Return the address of a map before its ReLU.

    If the network states none, it is the input of the last ReLU inside the map's module; `features.Tap` checks that
    this ReLU returns the map.

    >>> from torch import nn
    >>> stage = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
    >>> address_before_relu(nn.ModuleDict({"stage": stage}), "stage", "stage")
    'stage.2:in'

    Args:
        network: the network itself.
        name: the map's name.
        path: the module whose output is the map.

    Raises:
        DoesNotFitError: where the network neither states it nor has a ReLU there.
    """
    stated = network.preactivation_paths if isinstance(network, StatesPreactivations) else {}
    if name in stated:
        return stated[name]
    inside = dict(network.named_modules()).get(path)
    relus = [] if stated or inside is None else [p for p, m in inside.named_modules() if isinstance(m, RELUS)]
    if not relus:
        known = f"only {', '.join(stated)}" if stated else "and no ReLU ends it"
        raise DoesNotFitError(
            f"{shown_type(network)} does not say where its map {name!r} is before its ReLU ({known}): use another "
            "network, state preactivation_paths on it, or choose another method"
        )
    return ".".join(part for part in (path, relus[-1]) if part) + INPUT_SIDE


def norm_before_relu(network: nn.Module, name: str, path: str) -> nn.BatchNorm2d | None:
    """Return the batch normalization before the ReLU of a map, with or without a shortcut between them; None if none.

    Args:
        network: the network itself.
        name: the map's name.
        path: the module whose output is the map.
    """
    address = address_before_relu(network, name, path)
    relu = address.removesuffix(INPUT_SIDE)
    modules = dict(network.named_modules())
    block = modules[relu.rpartition(".")[0]]
    if not address.endswith(INPUT_SIDE):
        inside = list(modules[relu].modules())
    elif isinstance(block, nn.BatchNorm2d):  # timm's contain their activation
        inside = [block]
    elif isinstance(block, nn.Sequential):
        inside = list(itertools.takewhile(lambda module: module is not modules[relu], block))
    else:
        # The ReLU ends a block; a normalization deeper inside the block belongs to its shortcut.
        inside = list(block.children())
    return next((module for module in reversed(inside) if isinstance(module, nn.BatchNorm2d)), None)
