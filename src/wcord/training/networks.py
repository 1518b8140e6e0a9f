"""From names and weight files to networks with their preprocessing; a look at whether a teacher knows its data."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from wcord.checks import UsageError
from wcord.data.choice import CUT
from wcord.data.config import DataConfig, PairingConfig
from wcord.data.loader import Loader
from wcord.data.samples import require_known
from wcord.data.sources import has_columns, open_data
from wcord.data.split import DataSet, base_and_view
from wcord.data.statistics import channel_statistics
from wcord.evaluation.accuracy import accuracy, predict
from wcord.models.card import ModelCard
from wcord.models.create import create_model
from wcord.models.network import Network
from wcord.models.preprocess import Preprocess, stated_preprocess
from wcord.models.weights import load_weights, read_card
from wcord.training.config import DistillConfig

TEACHER_SAMPLES = 1000
"""Samples on which a teacher is looked at before a distillation starts."""


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


def as_trained(config: DataConfig, weights: Path | None) -> DataConfig:
    """Return the data as the network of a weights file saw them, where the configuration does not say what is seen."""
    card = _card(weights)
    if card is None:
        return config
    seen = config.input or (card.columns if has_columns(config.data) else ())
    view = card.view if config.view is None else config.view  # an empty one is said on purpose: all of it
    size = {}
    unsaid = config.image_size is None and config.crop_fraction == DataConfig().crop_fraction
    if unsaid and card.crop_fraction != 1 and card.record is not None:
        size = {"image_size": card.record[1], "crop_fraction": card.crop_fraction}
    return replace(config, view=view or None, input=seen, **size)


def _card(weights: Path | None) -> ModelCard | None:
    """Return what a weights file tells; a file that is not there is complained of where its network is built."""
    return read_card(weights) if weights is not None and weights.is_file() else None


def open_as_trained(config: DataConfig, weights: Path | None) -> DataSet:
    """Open data as the network of a weights file saw them, with the samples held out that were held out from it.

    Where a source has no test split, which samples it was trained on depends on settings, which its file tells: of the
    same data others would hold out some that it has seen. Settings that are given are taken as they are.

    Raises:
        UsageError: whatever is wrong with the data; text in a table that the network was not trained with; samples that
            were held out by other labels than those of the configuration.
    """
    config = as_trained(config, weights)
    card = _card(weights)
    unsaid = all(getattr(config, name) == getattr(DataConfig(), name) for name in CUT)
    # A network that some were held out from may have been trained on data whose test split lacks what it sees.
    data = open_data(config, partial=card is not None and unsaid and bool(card.extra.get("cut", {}).get("holdout")))
    if card is None:
        return data
    cut = _another_cut(card, data)
    if cut and unsaid:
        data = open_data(replace(config, **{name: cut[name] for name in CUT}))
        if _another_cut(card, data):
            raise UsageError(
                f"the network of {str(weights)!r} was trained on data of this name with other labels, or none, or in "
                "another order, so that other samples were held out: it has seen some that would be measured now. Give "
                "other data, or --holdout to measure on these nonetheless"
            )
    require_known(data.categories, card.extra.get("categories", {}))
    return data


def note_of_split(role: str, weights: Path | None, data: DataSet) -> list[str]:
    """Tell where the network of a weights file was trained on another split of the same data: it saw test samples."""
    card = _card(weights)
    if card is None or not data.cut or card.extra.get("data") != data.name:
        return []
    if not card.extra.get("cut"):
        return [f"the {role} was trained on data of this name, none of them held out: it may have seen test samples"]
    cut = _another_cut(card, data)
    told = ", ".join(f"{name} = {cut[name]}" for name in CUT if name in cut)
    return [f"the {role} was trained on another split of these data ({told}): it has seen test samples"] if cut else []


def _another_cut(card: ModelCard, data: DataSet) -> dict[str, Any]:
    """Return what decided which samples were held out from a network, where it was trained on these and others were."""
    cut = card.extra.get("cut")
    if not cut or not data.cut or card.extra.get("data") != data.name:
        return {}
    if "held_out" in cut and cut["samples"] == data.cut["samples"]:
        same = cut["held_out"] == data.cut["held_out"]
    else:  # the file has grown, or is another of that name
        same = all(cut[name] == data.cut[name] for name in CUT)
    return {} if same else dict(cut)


def taught_as_trained(config: DistillConfig) -> PairingConfig:
    """Return what the teacher sees: what is asked for, else what its weights file says that it saw."""
    pairing = config.pairing
    data = replace(config.data, data=pairing.teacher_data or config.data.data)
    asked = replace(data, view=pairing.teacher_view, input=pairing.teacher_input)
    theirs = as_trained(asked, config.teacher_weights)
    pairing = replace(pairing, teacher_view=theirs.view, teacher_input=theirs.input)
    if pairing.teacher_data is None:
        return pairing
    size, fraction = pairing.teacher_image_size, pairing.teacher_crop_fraction
    card = _card(config.teacher_weights)
    _, height, width = (0, 0, 0) if card is None or card.record is None else card.record
    if card is not None and size is None and fraction is None and height == width > 1:
        size, fraction = height, card.crop_fraction
    return replace(pairing, teacher_image_size=size, teacher_crop_fraction=fraction)


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
        mean=_numbers(preprocess.mean),
        std=_numbers(preprocess.std),
        view=view.text,
        columns=data.columns,
        record_shape=base.shape if view else None,
        crop_fraction=data.crop_fraction,
        extra={**extra, **{name: value for name, value in held.items() if value}},
    )


def check_teacher(
    teacher: Network, data: DataSet, *, batch_size: int, device: str, allow_weak: bool
) -> tuple[float, int]:
    """Return the teacher's top-1 accuracy on a part of the evaluation data, and the size of that part.

    Near chance means below the larger of 2/C (for C > 2 classes) and 1/C plus three standard errors, but not above the
    middle between chance and 1.

    Raises:
        UsageError: for a teacher near chance, with the usual causes.
    """
    loader = Loader(data.test, batch_size=batch_size, shuffle=True, device=device)
    batches = (
        batch for batch, _ in zip(loader.batches(), range(math.ceil(TEACHER_SAMPLES / batch_size)), strict=False)
    )
    predictions = predict(teacher.to(device), batches, device=device, side="teacher")
    top1 = accuracy(predictions)["top1"]
    chance = 1 / len(data.classes)
    noise = 3 * math.sqrt(chance * (1 - chance) / len(predictions.targets))
    limit = max(2 * chance, chance + noise) if len(data.classes) > 2 else chance + noise
    limit = 100 * min(limit, (1 + chance) / 2)  # on a few samples chance may reach far; half-way up is good enough
    if top1 < limit and not allow_weak:
        raise UsageError(
            f"the teacher reaches {top1:.2f} % on {len(predictions.targets)} samples of this data, near chance "
            f"({100 * chance:.2f} %). Usual causes: another normalisation (--teacher-mean, --teacher-std), another "
            "order of the classes, another input size (--teacher-size), or no --teacher-weights; "
            "--allow-weak-teacher goes on regardless"
        )
    return top1, len(predictions.targets)


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
