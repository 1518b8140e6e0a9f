"""Data as the network of a weights file saw them in training: its view, its columns, the samples held out from it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from wcord.checks import UsageError
from wcord.data.choice import CUT
from wcord.data.config import DataConfig, PairingConfig
from wcord.data.samples import require_known
from wcord.data.sources import has_columns, open_data
from wcord.data.split import DataSet
from wcord.models.card import ModelCard
from wcord.models.weights import read_card
from wcord.training.config import DistillConfig


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
