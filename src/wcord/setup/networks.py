"""From names and weight files to networks with their preprocessing, and from a trained network to its card."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from wcord.checks import UsageError
from wcord.data.dataset import DataSet
from wcord.data.images import Frame
from wcord.data.split import base_and_view, channel_statistics
from wcord.models.card import ModelCard
from wcord.models.catalogue import names_weights
from wcord.models.create import create_model, name_with_weights, stated_by_name, stated_frame
from wcord.models.network import Network
from wcord.models.preprocess import Preprocess, stated_preprocess
from wcord.models.stated import Stated
from wcord.models.trial import require_values, settle_widths, try_network
from wcord.models.weights import Head, load_weights, read_card, require_as_large
from wcord.setup.heads import fit_head, head_keys
from wcord.terminal import Reporter


@dataclass(frozen=True)
class NetworkSpec:
    """The specification of a network.

    Attributes:
        role: teacher, student or model, for messages.
        name: as `create_model` takes it.
        weights: file to start from; it replaces weights in the name.
        num_classes: number of logits; None: that of the weights, else of the data; 0: no classifier.
        mean: input mean per channel; None: that of the card or the weights, else of the training data.
        std: input standard deviation per channel.
        size: side of its input in pixels; None: that of the card or timm, else of the data.
        pretrained: start from the library's default weights if the name has none.
        ema: use the moving average that the file holds beside the weights.
        embedding: path of the module whose input is the embedding; None: that of the card, else detected.
        new_head: whether the classifier is for the classes of the data, whatever the weights' classes.
        like: class names as the user writes them, in addition to those of the data.
        loads: whether weights in the name are loaded; False if a checkpoint follows.
    """

    role: str
    name: str
    weights: Path | None = None
    num_classes: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    size: int | None = None
    pretrained: bool = False
    ema: bool = False
    embedding: str | None = None
    new_head: bool = False
    like: tuple[str, ...] = ()
    loads: bool = True

    @property
    def by_name(self) -> bool:
        """Whether it starts from a library's pretrained weights."""
        return self.weights is None and (self.pretrained or names_weights(self.name))

    @property
    def frame(self) -> Frame | None:
        """The frame of its pretrained weights' training pictures, if its name states one."""
        stated = stated_frame(self.name, pretrained=self.pretrained) if self.by_name else None
        return None if stated is None else Frame(*stated)

    @property
    def full_name(self) -> str:
        """The name that builds the same network; it includes the pretrained weights."""
        return name_with_weights(self.name) if self.by_name else self.name


def build_network(
    spec: NetworkSpec, data: DataSet, *, module: nn.Module | None = None, say: Reporter = lambda line: None
) -> Network:
    """Return the network of a spec, with its weights and its preprocessing.

    Args:
        spec: the specification.
        data: the network's data.
        module: a user's module that replaces the name; a Network is used unchanged.
        say: takes a line on which weights are loaded, and on the head.

    Raises:
        UsageError: an unknown name, weights that cannot be loaded or do not fit, or images with another number of
            channels.
    """
    if spec.pretrained and (spec.weights is not None or module is not None):
        flag = "--pretrained" if spec.role == "model" else f"--{spec.role}-pretrained"
        raise UsageError(f"the {spec.role} already has weights: leave out {flag}, or the weights")
    if isinstance(module, Network):
        if spec.weights is not None:
            raise UsageError(f"the {spec.role} is a Network, which has its weights: give one of the two")
        try_network(spec.role, module, data.train.shape)
        return module
    card = None if spec.weights is None else read_card(spec.weights)
    stated = stated_by_name(spec.name) if spec.by_name and module is None else None
    num_classes = _num_classes(spec, card, stated, data, module)
    channels = data.train.shape[0]
    if card is not None and card.in_channels != channels:
        raise wrong_channels(_weights_of(spec), card.in_channels, channels)
    if card is not None and spec.weights is not None and module is None:
        require_as_large(spec.weights, card, spec.full_name)
    data_size = (data.train.shape[1], data.train.shape[2])
    # Perceptrons and small transformers are built for one input size.
    size = (spec.size, spec.size) if spec.size else (card and card.image_size) or data_size
    backbone = module or create_model(
        spec.full_name,
        num_classes=num_classes,
        in_channels=channels,
        image_size=size,
        pretrained=spec.by_name and spec.loads,
    )
    if module is not None:
        settle_widths(module, in_channels=channels, image_size=size)
    require_values(spec.role, backbone)
    before: Mapping[str, Tensor] = {}
    if spec.weights is not None:
        state = backbone.state_dict()
        before = {key: state[key].clone() for key in head_keys(backbone)} if spec.new_head else {}
        _load(backbone, spec, num_classes, channels, say)
    elif stated is not None:
        say(_start(spec, stated, num_classes))
    embedding = spec.embedding or (card.embedding if card else None) or None
    network = Network(
        backbone,
        _preprocess(spec, backbone, card, stated, data),
        _classes(spec, card, stated, data, num_classes),
        embedding=embedding,
    )
    try_network(spec.role, network, data.train.shape)
    weight_classes = _classes(replace(spec, new_head=False), card, stated, data, num_classes)
    if spec.new_head and (spec.weights is not None or (stated is not None and spec.loads)):

        def fresh() -> Mapping[str, Tensor]:
            if spec.weights is not None:
                return before
            with torch.random.fork_rng(devices=[]):  # later draws do not depend on it
                initial = create_model(
                    spec.name, num_classes=num_classes, in_channels=channels, image_size=size, pretrained=False
                )
            return initial.state_dict()

        several = data.several_labels if card is None else card.several_labels
        same_kind = several == data.several_labels
        fit_head(network, weight_classes, same_kind=same_kind, shape=data.train.shape, fresh=fresh, say=say)
    return network


def _num_classes(
    spec: NetworkSpec, card: ModelCard | None, stated: Stated | None, data: DataSet, module: nn.Module | None
) -> int:
    """Return the number of a network's logits."""
    if spec.num_classes is not None:
        if stated is not None and spec.num_classes not in (0, stated.num_classes):
            raise UsageError(
                f"the weights of {spec.name} have {stated.num_classes} classes, received {spec.num_classes}: leave out "
                f"--{spec.role}-classes, or give 0 to use it for its features alone"
            )
        return spec.num_classes
    of_weights = card.num_classes if card is not None else None if stated is None else stated.num_classes
    if spec.new_head and data.classes:
        return len(data.classes)
    if of_weights is not None:
        return of_weights
    if not data.classes and module is None:
        raise UsageError(f"the number of the {spec.role}'s classes is unknown: give --{spec.role}-classes")
    return len(data.classes)


def _classes(
    spec: NetworkSpec, card: ModelCard | None, stated: Stated | None, data: DataSet, num_classes: int
) -> tuple[str, ...]:
    """Return the names of the classes, in the order of the logits."""
    if spec.new_head and num_classes == len(data.classes):
        return data.classes
    if card is not None and card.num_classes == num_classes:
        return card.classes
    if stated is not None and stated.num_classes == num_classes:
        return stated.classes_like((*data.classes, *spec.like))
    return data.classes if num_classes == len(data.classes) else ()


def _start(spec: NetworkSpec, stated: Stated, num_classes: int) -> str:
    """Return the line that says from which weights a network starts."""
    name = f"the {spec.role} starts from the pretrained weights of {spec.full_name}"
    if num_classes == stated.num_classes:
        return name
    if num_classes == 0:
        return f"{name}, without their head for {stated.num_classes} classes"
    reason = f"not theirs for {stated.num_classes}" if stated.num_classes else "since they have none"
    return f"{name}: the body is loaded, and the head for {num_classes} classes is new ({reason})"


def describe(network: Network, architecture: str, data: DataSet, extra: Mapping[str, object]) -> ModelCard:
    """Return the card for a saved network's file, with extra entries."""
    channels, height, width = data.train.shape
    preprocess = network.preprocess
    base, view = base_and_view(data.train)
    entries: dict[str, object] = {
        "cut": dict(data.cut),
        "categories": {name: list(values) for name, values in data.categories.items()},
        "sounds": not data.pictures and width > 1,
    }
    formats = {"formats": dict(data.formats)} if data.columns else {}  # an empty mapping: all in plain digits
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
        record_shape=base.shape,
        crop_fraction=data.crop_fraction,
        embedding=network.embedding or "",
        extra={**extra, **{name: value for name, value in entries.items() if value or value is False}, **formats},
    )


def _preprocess(
    spec: NetworkSpec, backbone: nn.Module, card: ModelCard | None, stated: Stated | None, data: DataSet
) -> Preprocess:
    """Return the preprocessing of the spec, else of the file's card, else of the weights, else of the training data."""
    channels = data.train.shape[0]
    by_library = stated_preprocess(backbone, in_channels=channels)
    mean, std, size = spec.mean, spec.std, spec.size
    if card is not None:
        mean, std, size = mean or card.mean, std or card.std, size or card.image_size
    elif by_library is not None:
        mean, std = mean or _numbers(by_library.mean), std or _numbers(by_library.std)
        size = size or by_library.size
    if stated is not None and len(stated.mean) == channels:
        mean, std = mean or stated.mean, std or stated.std
    if stated is not None and stated.fixed and stated.frame is not None:
        size = size or stated.frame[:2]
    if not mean or not std:
        measured = channel_statistics(data.train)
        mean, std = mean or measured[0], std or measured[1]
    return Preprocess(mean, std, size)


def _numbers(buffer: Tensor | nn.Module) -> tuple[float, ...]:
    assert isinstance(buffer, Tensor)
    return tuple(buffer.tolist())


def _load(backbone: nn.Module, spec: NetworkSpec, num_classes: int, channels: int, say: Reporter) -> None:
    assert spec.weights is not None
    head: Head = "new" if spec.new_head else "optional" if spec.role == "teacher" else "kept"
    try:
        load_weights(backbone, spec.weights, ema=spec.ema, head="left" if num_classes == 0 else head, say=say)
    except UsageError:
        for other in {1, 3} - {channels}:
            if _fits(spec, num_classes, other):
                raise wrong_channels(_weights_of(spec), other, channels) from None
        raise


def _fits(spec: NetworkSpec, num_classes: int, channels: int) -> bool:
    assert spec.weights is not None
    try:
        network = create_model(spec.name, num_classes=num_classes, in_channels=channels, pretrained=False)
        load_weights(network, spec.weights, head="left" if num_classes == 0 else "new", say=lambda line: None)
    except ValueError:
        return False
    return True


def _weights_of(spec: NetworkSpec) -> str:
    return f"the {spec.role}'s weights {str(spec.weights)!r}"


def wrong_channels(what: str, expected: int, received: int) -> UsageError:
    """Return the error for weights that do not fit the number of input channels."""
    names = {1: " (gray)", 3: " (color)"}
    return UsageError(
        f"{what} are for {expected}-channel{names.get(expected, '')} images, received "
        f"{received}-channel{names.get(received, '')} ones: use other data or weights, or the view of their training"
    )
