"""Addresses of a network's maps: from a map's name to the module, and the side of it, that gives the map."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import nn

from wcord.checks import UsageError
from wcord.models.network import StatesMaps, StatesPreactivations, shown_type, unwrap
from wcord.models.preactivation import INPUT_SIDE, address_before_relu

BEFORE_RELU = "pre"
"""Begins the name of a map before its ReLU."""


@runtime_checkable
class StatesFeatureInfo(Protocol):
    """A network of timm, which lists the modules whose outputs are its maps."""

    feature_info: Sequence[Mapping[str, Any]]


def map_names(model: nn.Module) -> tuple[str, ...]:
    """Return the names of a network's maps, from input to output: those that it or timm states, else none.

    >>> from wcord.models.create import create_model
    >>> map_names(create_model("resnet8"))
    ('stem', 'stage1', 'stage2', 'stage3')
    """
    network = unwrap(model)
    if isinstance(network, StatesMaps):
        return tuple(network.map_paths)
    if isinstance(network, StatesFeatureInfo):
        known = dict(network.named_modules())
        stated = (str(entry.get("module", "")) for entry in network.feature_info)
        return tuple(dict.fromkeys(path for path in stated if path and path in known))
    return ()


def preactivation(name: str) -> str:
    """Return the name under which `capture` reads a stated map before its ReLU.

    >>> preactivation("stage1")
    'pre:stage1'
    """
    return f"{BEFORE_RELU}:{name}"


def stated_channels(network: nn.Module) -> dict[str, int]:
    """Return the channels of each map that timm lists, by the module's path."""
    if not isinstance(network, StatesFeatureInfo):
        return {}
    return {str(entry.get("module", "")): int(entry.get("num_chs", 0)) for entry in network.feature_info}


def map_path(network: nn.Module, name: str) -> str:
    """Return the stated address of a map; a name that is not stated is an address."""
    return network.map_paths.get(name, name) if isinstance(network, StatesMaps) else name


def resolve(network: nn.Module, name: str) -> str:
    """Return the address of a map; raise if there is no such module."""
    kind, _, plain = name.partition(":")
    if kind == BEFORE_RELU:
        return address_before_relu(network, plain, map_path(network, plain))
    address = map_path(network, name)
    path = address.removesuffix(INPUT_SIDE)
    if path not in dict(network.named_modules()) or not path:
        raise no_such_path(network, name)
    return address


def ends_of(network: nn.Module, paths: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return name → (ReLU, map) of the maps before their ReLU that the network does not state."""
    stated = network.preactivation_paths if isinstance(network, StatesPreactivations) else {}
    names = {name: name.partition(":")[2] for name in paths if name.partition(":")[0] == BEFORE_RELU}
    return {
        name: (paths[name].removesuffix(INPUT_SIDE), map_path(network, plain))
        for name, plain in names.items()
        if plain not in stated
    }


def no_such_path(network: nn.Module, path: str) -> UsageError:
    """Return the error for a path that a network lacks, with near paths and the names of its maps."""
    known = [*map_names(network), *(name for name, _ in network.named_modules() if name)]
    stated = f"; its maps: {', '.join(map_names(network))}" if map_names(network) else ""
    return UsageError(f"{shown_type(network)} has no module {path!r}{near_paths(path, known)}{stated}")


def near_paths(path: str, known: Sequence[str]) -> str:
    """Return the part of a message that suggests known paths like this one; empty if there are none."""
    near = difflib.get_close_matches(path, list(dict.fromkeys(known)), n=3, cutoff=0.4)
    return f": did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
