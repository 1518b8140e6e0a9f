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

"""Takes a line for the user."""


@dataclass(frozen=True)
class NetworkSpec:
    """What is asked of a network.

    Attributes:
        role: teacher, student or model, for messages.
        name: as `create_model` takes it.
        weights: file to start from; it takes the place of weights that the name names.
        num_classes: its logits; None: those of the weights' card or statement, else of the data; 0: no classifier.
        mean: input mean per channel; None: what card or weights state, else the training data's.
        std: input standard deviation per channel.
        size: side of its input in pixels; None: as card or timm state, else as the data comes.
        pretrained: start from the library's default weights where the name names none.
        ema: of a file, take the moving average beside the weights.
        embedding: path of the module whose input is the embedding; None: as the card says, else it is found.
        new_head: whether the classifier is for the classes of the data, whatever the weights were for.
        like: names of classes as the user writes them, beside those of the data.
        loads: whether weights that the name names are loaded at all; not where a checkpoint follows.
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
        """Whether it starts from pretrained weights of a library, and from no file."""
        return self.weights is None and (self.pretrained or names_weights(self.name))

    @property
    def frame(self) -> Frame | None:
        """The frame of the pictures that its pretrained weights were trained on, where its name states one."""
        stated = stated_frame(self.name, pretrained=self.pretrained) if self.by_name else None
        return None if stated is None else Frame(*stated)

    @property
    def full_name(self) -> str:
        """The name that builds the network as it is built here; it says which pretrained weights it started from."""
        return name_with_weights(self.name) if self.by_name else self.name


def build_network(
    spec: NetworkSpec, data: DataSet, *, module: nn.Module | None = None, say: Reporter = lambda line: None
) -> Network:
    """Return the network that a spec asks for, with its weights and its preprocessing.

    Args:
        spec: what is asked for.
        data: what the network will see.
        module: a user's module that stands in for the name; one that is a Network already is left as it is.
        say: takes a line on which weights are loaded, and on what becomes of the head.

    Raises:
        UsageError: on an unknown name, weights that cannot be loaded or do not fit, or images of another number of
            channels.
    """
    if spec.pretrained and (spec.weights is not None or module is not None):
        flag = "--pretrained" if spec.role == "model" else f"--{spec.role}-pretrained"
        raise UsageError(f"the {spec.role} has weights of its own: leave out {flag}, or the weights")
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
    given = (data.train.shape[1], data.train.shape[2])
    # A perceptron is built for one size, which is that of its own input.
    size = (spec.size, spec.size) if spec.size else (card and card.image_size) or given
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
    theirs = _classes(replace(spec, new_head=False), card, stated, data, num_classes)
    if spec.new_head and (spec.weights is not None or (stated is not None and spec.loads)):

        def fresh() -> Mapping[str, Tensor]:
            if spec.weights is not None:
                return before
            with torch.random.fork_rng(devices=[]):  # what is drawn later does not depend on it
                made = create_model(
                    spec.name, num_classes=num_classes, in_channels=channels, image_size=size, pretrained=False
                )
            return made.state_dict()

        several = data.several_labels if card is None else card.several_labels
        answers_alike = several == data.several_labels
        fit_head(network, theirs, alike=answers_alike, shape=data.train.shape, fresh=fresh, say=say)
    return network


def _num_classes(
    spec: NetworkSpec, card: ModelCard | None, stated: Stated | None, data: DataSet, module: nn.Module | None
) -> int:
    """Return how many logits a network is built with."""
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
        raise UsageError(f"how many classes the {spec.role} tells apart is not known: give --{spec.role}-classes")
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
    theirs = f"not theirs for {stated.num_classes}" if stated.num_classes else "since they have none"
    return f"{name}: the body is loaded, and the head for {num_classes} classes is new ({theirs})"


def describe(network: Network, architecture: str, data: DataSet, extra: Mapping[str, object]) -> ModelCard:
    """Return the card that goes into a saved network's file, with anything else that should stand there."""
    channels, height, width = data.train.shape
    preprocess = network.preprocess
    base, view = base_and_view(data.train)
    held: dict[str, object] = {
        "cut": dict(data.cut),
        "categories": {name: list(values) for name, values in data.categories.items()},
        "sounds": not data.pictures and width > 1,
    }
    formats = {"formats": dict(data.formats)} if data.columns else {}  # none says that all are in plain digits
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
        extra={**extra, **{name: value for name, value in held.items() if value or value is False}, **formats},
    )


def _preprocess(
    spec: NetworkSpec, backbone: nn.Module, card: ModelCard | None, stated: Stated | None, data: DataSet
) -> Preprocess:
    """What was asked for, else what the file's card says, else what the weights state, else the training data's."""
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


def wrong_channels(what: str, wanted: int, given: int) -> UsageError:
    """Return the error for weights that are shown inputs of another number of channels than they are for."""
    names = {1: " (grey)", 3: " (colour)"}
    return UsageError(
        f"{what} are for {wanted}-channel{names.get(wanted, '')} images, but they are shown "
        f"{given}-channel{names.get(given, '')} ones: use other data or weights, or the view that they had"
    )
