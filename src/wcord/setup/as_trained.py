"""Data as the network of a weights file saw them in training: frame, view, columns, and the samples held out from it.

Two sizes are told apart. The frame is that of the data: what whole pictures are fitted to, before any view. The size
of the network's input is the network's own, and its `Preprocess` resizes to it. A weights file holds both, and every
command that opens data for its network opens them in that frame, unless it is told another.
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
    """Return the data as the network of a weights file saw them, where the configuration does not say what is seen.

    Args:
        config: what was asked for.
        weights: the file; without a card, or without a file, only `stated` counts.
        stated: the frame that the name of the network states, for which the file has none.
    """
    card = card_in(weights)
    config = _framed(config, frame_of(card) or stated)
    if card is None:
        return config
    seen = config.input or (card.columns if has_columns(config.data) else ())
    view = card.view if config.view is None else config.view  # an empty one is said on purpose: all of it
    return replace(config, view=view or None, input=seen)


def known_of(card: ModelCard) -> Known:
    """Return what the file of a network says of the data that it was trained on."""
    return Known(card.extra.get("categories", {}), card.extra.get("formats"))


def frame_of(card: ModelCard | None) -> Frame | None:
    """Return the frame of the pictures that a network was trained on; None where it saw no pictures, or of any size."""
    if card is None or card.record is None:
        return None
    _, height, width = card.record
    return Frame(height, width, card.crop_fraction) if width > 1 else None


def _framed(config: DataConfig, frame: Frame | None) -> DataConfig:
    """Return the data in a frame, where they are pictures and the configuration does not say another."""
    if frame is None or config.image_size is not None or is_table(config.data):
        return config
    fraction = frame.fraction if config.crop_fraction == DataConfig().crop_fraction else config.crop_fraction
    return replace(config, image_size=frame.image_size, crop_fraction=fraction)


def card_in(weights: Path | None) -> ModelCard | None:
    """Return what a weights file tells; a file that is not there is complained of where its network is built.

    Raises:
        UsageError: the card is damaged, or says that a view was seen which there is not.
    """
    card = read_card(weights) if weights is not None and weights.is_file() else None
    try:
        View.parse(card.view if card is not None else "")
    except UsageError as error:
        raise UsageError(f"weights file {str(weights)!r}: the model card is damaged ({error})") from None
    return card


def open_as_seen(
    config: DataConfig, weights: Path | None, stated: Frame | None = None, *, partial: bool = False
) -> DataSet:
    """Open data as the network of a weights file sees them, grey as colour or the reverse where it takes the other.

    Args:
        config: what was asked for.
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
    """Open data as the network of a weights file saw them, with the samples held out that were held out from it.

    Where a source has no test split, which samples it was trained on depends on settings, which its file tells: of the
    same data others would hold out some that it has seen. Settings that are given are taken as they are.

    Args:
        config: what was asked for.
        weights: see `as_trained`.
        stated: see `as_trained`.

    Raises:
        UsageError: whatever is wrong with the data; text in a table that the network was not trained with; samples that
            were held out by other labels than those of the configuration.
    """
    card = card_in(weights)
    unsaid = all(getattr(config, name) == getattr(DataConfig(), name) for name in HOLDOUT)
    # A network that some were held out from may have been trained on data whose test split lacks what it sees.
    partial = card is not None and unsaid and bool(card.extra.get("cut", {}).get("holdout"))
    data = open_as_seen(config, weights, stated, partial=partial)
    if card is None:
        return data
    cut = _another_cut(card, data)
    if cut and unsaid:
        data = open_as_seen(replace(config, **{name: cut[name] for name in HOLDOUT}), weights, stated)
        if _another_cut(card, data):
            raise UsageError(
                f"the network of {str(weights)!r} was trained on data of this name with other labels, or none, or in "
                "another order, so that other samples were held out: it has seen some that would be measured now. Give "
                "other data, or --holdout to measure on these nonetheless"
            )
    require_known(data.categories, card.extra.get("categories", {}))
    require_same_format(data.formats, data.columns, card.extra.get("formats"))
    return data


def note_of_split(role: str, weights: Path | None, data: DataSet) -> list[str]:
    """Tell where the network of a weights file was trained on another split of the same data: it saw test samples."""
    card = card_in(weights)
    if card is None or not data.cut or card.extra.get("data") != data.name:
        return []
    if not card.extra.get("cut"):
        return [f"the {role} was trained on data of this name, none of them held out: it may have seen test samples"]
    cut = _another_cut(card, data)
    told = ", ".join(f"{name} = {cut[name]}" for name in HOLDOUT if name in cut)
    return [f"the {role} was trained on another split of these data ({told}): it has seen test samples"] if cut else []


def _another_cut(card: ModelCard, data: DataSet) -> dict[str, Any]:
    """Return what decided which samples were held out from a network, where it was trained on these and others were."""
    cut = card.extra.get("cut")
    if not cut or not data.cut or card.extra.get("data") != data.name:
        return {}
    if "held_out" in cut and cut["samples"] == data.cut["samples"]:
        same = cut["held_out"] == data.cut["held_out"]
    else:  # the file has grown, or is another of that name
        same = all(cut[name] == data.cut[name] for name in HOLDOUT)
    return {} if same else dict(cut)


def note_of_frame(config: DistillConfig, data: DataSet) -> list[str]:
    """Tell where a teacher is shown pictures in another frame than in its training, or a student those of strange data.

    Args:
        config: of the run.
        data: what was opened for it.
    """
    card = card_in(config.teacher_weights)
    frame = frame_of(card)
    _, height, width = base_and_view(data.of_teacher.train)[0].shape
    # An old file says only what its network's input was.
    if frame is None or card is None or card.record_shape is None or width == 1:
        return []
    used = Frame(height, width, data.of_teacher.crop_fraction)
    if used != frame:
        return [f"the teacher was trained on pictures of {frame}, and is shown pictures of {used}"]
    shared = "data" not in config.teacher_data and frame_of(card_in(config.student_weights)) is None
    if shared and config.data.image_size is None and card.extra.get("data") != data.name:
        return [f"the student is shown pictures of {frame}, as the teacher was; --image-size gives both another size"]
    return []


def seen_by_both(config: TrainConfig | DistillConfig) -> tuple[DataConfig, TeacherData | None, PairingConfig | None]:
    """Return what `open_data` takes for a run: what its network sees, what the teacher sees otherwise, and the pairing.

    Pictures that both see are in the frame of the student's weights, else of the teacher's: of their files, or as the
    names of pretrained weights state it.
    """
    stated = student_spec(config).frame
    if isinstance(config, TrainConfig):
        return as_trained(config.data, config.weights, stated), None, None
    teacher_stated = teacher_spec(config).frame
    data, teacher = as_trained(config.data, config.student_weights, stated), taught_as_trained(config, teacher_stated)
    if "data" not in teacher:
        data = _framed(data, frame_of(card_in(config.teacher_weights)) or teacher_stated)
    return data, teacher, config.pairing


def taught_as_trained(config: DistillConfig, stated: Frame | None = None) -> TeacherData:
    """Return what the teacher sees otherwise: its settings, else those of its weights file or its name."""
    teacher = {"data": config.data.data, **config.teacher_data}
    seen = as_trained(DataConfig(**teacher), config.teacher_weights, stated)
    names = ("view", "input", *(("image_size", "crop_fraction") if "data" in config.teacher_data else ()))
    changes = {name: value for name in names if (value := getattr(seen, name)) != getattr(DataConfig(), name)}
    return {**config.teacher_data, **changes}


def in_their_channels(config: TrainConfig | DistillConfig, data: DataSet) -> DataSet:
    """Return a run's data with grey pictures shown as colour, or the reverse, to a network whose weights want that."""
    if isinstance(config, TrainConfig):
        return _in_channels(data, config.weights)
    own, taught = _in_channels(data, config.student_weights), _in_channels(data.of_teacher, config.teacher_weights)
    if data.teacher is None and own is data and taught is data:
        return data
    return replace(own, teacher=taught)


def _in_channels(data: DataSet, weights: Path | None) -> DataSet:
    card = card_in(weights)
    return data if card is None else data.in_channels(card.in_channels)
