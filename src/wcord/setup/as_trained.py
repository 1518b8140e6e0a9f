"""Data as in the training of a weights file's network: frame, view, columns and held-out samples.

There are two sizes. The frame is that of the data: whole pictures are fitted to it, before any view. The input size is
that of the network, whose `Preprocess` resizes to it. A weights file holds both, and every command that opens data for
its network opens them in that frame, unless another is set.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from wcord.checks import UsageError
from wcord.data.choice import HOLDOUT
from wcord.data.config import DataConfig, Known, PairingConfig, TeacherData
from wcord.data.dataset import DataSet
from wcord.data.images import Frame
from wcord.data.opening import open_data
from wcord.data.samples import require_known, require_same_format
from wcord.data.sources.registry import has_columns, is_table
from wcord.data.split import base_and_view
from wcord.data.view import View
from wcord.models.card import ModelCard
from wcord.models.weights import read_card
from wcord.setup.starts import student_spec, teacher_spec
from wcord.training.config import DistillConfig, TrainConfig


def as_trained(config: DataConfig, weights: Path | None, stated: Frame | None = None) -> DataConfig:
    """Return the data as in the training of a weights file's network, except for what the configuration sets.

    Args:
        config: the requested data.
        weights: the file; without a card, or without a file, only `stated` counts.
        stated: the frame stated by the network's name, used if the file has none.
    """
    card = card_in(weights)
    config = _framed(config, frame_of(card) or stated)
    if card is None:
        return config
    columns = config.input or (card.columns if has_columns(config.data) else ())
    view = card.view if config.view is None else config.view  # an empty view means the whole sample
    return replace(config, view=view or None, input=columns)


def known_of(card: ModelCard) -> Known:
    """Return what a network's card says of the categories and formats of its training data."""
    return Known(card.extra.get("categories", {}), card.extra.get("formats"))


def frame_of(card: ModelCard | None) -> Frame | None:
    """Return the frame of a network's training pictures; None if it was trained on no pictures, or on any size."""
    if card is None or card.record is None:
        return None
    _, height, width = card.record
    return Frame(height, width, card.crop_fraction) if width > 1 else None


def _framed(config: DataConfig, frame: Frame | None) -> DataConfig:
    """Return the data in a frame, if they are pictures and the configuration sets no other."""
    if frame is None or config.image_size is not None or is_table(config.data):
        return config
    fraction = frame.fraction if config.crop_fraction == DataConfig().crop_fraction else config.crop_fraction
    return replace(config, image_size=frame.image_size, crop_fraction=fraction)


def card_in(weights: Path | None) -> ModelCard | None:
    """Return the card of a weights file; a missing file is reported when its network is built.

    Raises:
        UsageError: the card is damaged, or names an unknown view.
    """
    card = read_card(weights) if weights is not None and weights.is_file() else None
    try:
        View.parse(card.view if card is not None else "")
    except UsageError as error:
        raise UsageError(f"weights file {str(weights)!r}: the model card is damaged ({error})") from None
    return card


def open_for_network(
    config: DataConfig, weights: Path | None, stated: Frame | None = None, *, partial: bool = False
) -> DataSet:
    """Open data as the network of a weights file takes them, with gray pictures as color or the reverse if needed.

    Args:
        config: the requested data.
        weights: see `as_trained`.
        stated: see `as_trained`.
        partial: see `open_data`.
    """
    card, config = card_in(weights), as_trained(config, weights, stated)
    if card is None:
        return open_data(config, partial=partial)
    whole = open_data(replace(config, view=None), partial=partial, known=known_of(card))
    return whole.through(View.parse(config.view).fitted(whole.train.shape, card.in_channels).text)


def open_as_trained(config: DataConfig, weights: Path | None, stated: Frame | None = None) -> DataSet:
    """Open data as in the training of a weights file's network, with the same samples held out.

    In a source without a test split, the held-out samples depend on settings, which the file holds: other settings
    would hold out some of the network's training samples. Settings in the configuration take precedence.

    Args:
        config: the requested data.
        weights: see `as_trained`.
        stated: see `as_trained`.

    Raises:
        UsageError: anything wrong with the data; text in a table that was not in the training data; samples that were
            held out by labels other than those of the configuration.
    """
    card = card_in(weights)
    unset = all(getattr(config, name) == getattr(DataConfig(), name) for name in HOLDOUT)
    # If samples were held out, the data's own test split may lack the network's columns.
    partial = card is not None and unset and bool(card.extra.get("cut", {}).get("holdout"))
    data = open_for_network(config, weights, stated, partial=partial)
    if card is None:
        return data
    cut = _differing_cut(card, data)
    if cut and unset:
        data = open_for_network(replace(config, **{name: cut[name] for name in HOLDOUT}), weights, stated)
        if _differing_cut(card, data):
            raise UsageError(
                f"the network of {str(weights)!r} was trained on data of this name with other labels, no labels, or "
                "another order of samples, so other samples were held out: some of its training samples would be "
                "measured. Give other data, or --holdout to measure on these nonetheless"
            )
    require_known(data.categories, card.extra.get("categories", {}))
    require_same_format(data.formats, data.columns, card.extra.get("formats"))
    return data


def note_of_split(role: str, weights: Path | None, data: DataSet) -> list[str]:
    """Return a note if a weights file's network was trained on another split of the data, with test samples."""
    card = card_in(weights)
    if card is None or not data.cut or card.extra.get("data") != data.name:
        return []
    if not card.extra.get("cut"):
        return [f"the {role} was trained on data of this name, none of them held out: it may have seen test samples"]
    cut = _differing_cut(card, data)
    settings = ", ".join(f"{name} = {cut[name]}" for name in HOLDOUT if name in cut)
    note = f"the {role} was trained on another split of these data ({settings}): it has seen test samples"
    return [note] if cut else []


def _differing_cut(card: ModelCard, data: DataSet) -> dict[str, Any]:
    """Return how a network's held-out samples were chosen, if it was trained on this data and held out others."""
    cut = card.extra.get("cut")
    if not cut or not data.cut or card.extra.get("data") != data.name:
        return {}
    if "held_out" in cut and cut["samples"] == data.cut["samples"]:
        same = cut["held_out"] == data.cut["held_out"]
    else:  # the data file has grown, or is another of that name
        same = all(cut[name] == data.cut[name] for name in HOLDOUT)
    return {} if same else dict(cut)


def note_of_frame(config: DistillConfig, data: DataSet) -> list[str]:
    """Return a note if the teacher sees pictures in a frame other than in training, or sets the student's frame.

    Args:
        config: the configuration of the run.
        data: its data.
    """
    card = card_in(config.teacher_weights)
    frame = frame_of(card)
    _, height, width = base_and_view(data.of_teacher.train)[0].shape
    # An old file holds only the size of its network's input.
    if frame is None or card is None or card.record_shape is None or width == 1:
        return []
    used = Frame(height, width, data.of_teacher.crop_fraction)
    if used != frame:
        return [f"the teacher was trained on pictures of {frame}, and is shown pictures of {used}"]
    shared = "data" not in config.teacher_data and frame_of(card_in(config.student_weights)) is None
    if shared and config.data.image_size is None and card.extra.get("data") != data.name:
        return [f"the student is shown pictures of {frame}, as the teacher was; --image-size gives both another size"]
    return []


def data_settings(config: TrainConfig | DistillConfig) -> tuple[DataConfig, TeacherData | None, PairingConfig | None]:
    """Return a run's arguments of `open_data`: the data, the teacher's settings that differ, and the pairing.

    Pictures for both are in the frame of the student's weights, else of the teacher's: from their files, or from the
    names of pretrained weights.
    """
    stated = student_spec(config).frame
    if isinstance(config, TrainConfig):
        return as_trained(config.data, config.weights, stated), None, None
    teacher_stated = teacher_spec(config).frame
    data = as_trained(config.data, config.student_weights, stated)
    teacher = teacher_data_as_trained(config, teacher_stated)
    if "data" not in teacher:
        data = _framed(data, frame_of(card_in(config.teacher_weights)) or teacher_stated)
    return data, teacher, config.pairing


def teacher_data_as_trained(config: DistillConfig, stated: Frame | None = None) -> TeacherData:
    """Return the teacher's data settings that differ: its own, else those of its weights file or its name."""
    teacher = {"data": config.data.data, **config.teacher_data}
    trained = as_trained(DataConfig(**teacher), config.teacher_weights, stated)
    names = ("view", "input", *(("image_size", "crop_fraction") if "data" in config.teacher_data else ()))
    changes = {name: value for name in names if (value := getattr(trained, name)) != getattr(DataConfig(), name)}
    return {**config.teacher_data, **changes}


def in_network_channels(config: TrainConfig | DistillConfig, data: DataSet) -> DataSet:
    """Return a run's data with gray pictures as color, or the reverse, as the weights of each network need."""
    if isinstance(config, TrainConfig):
        return _in_channels(data, config.weights)
    student, teacher = _in_channels(data, config.student_weights), _in_channels(data.of_teacher, config.teacher_weights)
    if data.teacher is None and student is data and teacher is data:
        return data
    return replace(student, teacher=teacher)


def _in_channels(data: DataSet, weights: Path | None) -> DataSet:
    card = card_in(weights)
    return data if card is None else data.in_channels(card.in_channels)
