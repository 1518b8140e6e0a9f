"""From names and weight files to networks with their preprocessing, and from a trained network to its card."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from wcord.checks import UsageError
from wcord.data.split import DataSet, base_and_view
from wcord.data.statistics import channel_statistics
from wcord.models.card import ModelCard
from wcord.models.create import create_model
from wcord.models.network import Network
from wcord.models.preprocess import Preprocess, stated_preprocess
from wcord.models.weights import load_weights, read_card


@dataclass(frozen=True)
class NetworkSpec:
    """What is asked of a network.

    Attributes:
        role: teacher, student or model, for messages.
        name: as `create_model` takes it.
        weights: file to start from.
        num_classes: its logits; None: those of the weights' card, else of the data.
        mean: input mean per channel; None: what card or timm state, else the training data's.
        std: input standard deviation per channel.
        size: side of its input in pixels; None: as card or timm state, else as the data comes.
    """

    role: str
    name: str
    weights: Path | None = None
    num_classes: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    size: int | None = None


def build_network(spec: NetworkSpec, data: DataSet, *, own: nn.Module | None = None) -> Network:
    """Return the network that a spec asks for, with its weights and its preprocessing.

    Args:
        spec: what is asked for.
        data: what the network will see.
        own: a user's module that stands in for the name; one that is a Network already is left as it is.

    Raises:
        UsageError: on an unknown name, weights that do not fit, or images of another number of channels.
    """
    if isinstance(own, Network):
        if spec.weights is not None:
            raise UsageError(f"the {spec.role} is a Network, which has its weights: give one of the two")
        return own
    card = None if spec.weights is None else read_card(spec.weights)
    num_classes = spec.num_classes or (card.num_classes if card else len(data.classes))
    if not num_classes and own is None:
        raise UsageError(f"how many classes the {spec.role} tells apart is not known: give --{spec.role}-classes")
    channels = data.train.shape[0]
    if card is not None and card.in_channels != channels:
        raise _wrong_channels(spec, card.in_channels, channels)
    size = (data.train.shape[1], data.train.shape[2])
    backbone = own or create_model(spec.name, num_classes=num_classes, in_channels=channels, image_size=size)
    if spec.weights is not None:
        _load(backbone, spec, num_classes, channels)
    classes = card.classes if card else data.classes if num_classes == len(data.classes) else ()
    return Network(backbone, _preprocess(spec, backbone, card, data), classes)


def describe(network: Network, architecture: str, data: DataSet, extra: Mapping[str, object]) -> ModelCard:
    """Return the card that goes into a saved network's file, with anything else that should stand there."""
    channels, height, width = data.train.shape
    preprocess = network.preprocess
    base, view = base_and_view(data.train)
    held = {"cut": dict(data.cut), "categories": {name: list(values) for name, values in data.categories.items()}}
    return ModelCard(
        architecture=architecture,
        num_classes=len(data.classes),
        in_channels=channels,
        image_size=preprocess.size or (height, width),
        classes=network.classes,
        mean=preprocess.statistics[0],
        std=preprocess.statistics[1],
        view=view.text,
        columns=data.columns,
        record_shape=base.shape if view else None,
        crop_fraction=data.crop_fraction,
        extra={**extra, **{name: value for name, value in held.items() if value}},
    )


def _preprocess(spec: NetworkSpec, backbone: nn.Module, card: ModelCard | None, data: DataSet) -> Preprocess:
    """What was asked for, else what the file's card says, else what the library states, else the training data's."""
    channels = data.train.shape[0]
    stated = stated_preprocess(backbone, in_channels=channels)
    mean, std, size = spec.mean, spec.std, spec.size
    if card is not None:
        mean, std, size = mean or card.mean, std or card.std, size or card.image_size
    elif stated is not None:
        mean, std = mean or _numbers(stated.mean), std or _numbers(stated.std)
        size = size or stated.size
    if not mean or not std:
        measured = channel_statistics(data.train)
        mean, std = mean or measured[0], std or measured[1]
    return Preprocess(mean, std, size)


def _numbers(buffer: Tensor | nn.Module) -> tuple[float, ...]:
    assert isinstance(buffer, Tensor)
    return tuple(buffer.tolist())


def _load(backbone: nn.Module, spec: NetworkSpec, num_classes: int, channels: int) -> None:
    assert spec.weights is not None
    try:
        load_weights(backbone, spec.weights)
    except UsageError:
        for other in {1, 3} - {channels}:
            if _fits(spec, num_classes, other):
                raise _wrong_channels(spec, other, channels) from None
        raise


def _fits(spec: NetworkSpec, num_classes: int, channels: int) -> bool:
    assert spec.weights is not None
    try:
        load_weights(create_model(spec.name, num_classes=num_classes, in_channels=channels), spec.weights)
    except ValueError:
        return False
    return True


def _wrong_channels(spec: NetworkSpec, wanted: int, given: int) -> UsageError:
    names = {1: " (grey)", 3: " (colour)"}
    return UsageError(
        f"the {spec.role}'s weights {str(spec.weights)!r} are for {wanted}-channel{names.get(wanted, '')} images, but "
        f"it is shown {given}-channel{names.get(given, '')} ones: use other data or weights, or the view that it had"
    )
