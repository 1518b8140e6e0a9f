"""What a weights file says about its network: how to build it, its classes and its input."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from wcord.bounds import Bounds, Deviation, Mean, Side, Text, convert, read
from wcord.checks import LARGEST_COUNT, UsageError, shown

METADATA_KEY = "wcord"
SEVERAL_LABELS = "several_labels"
"""Entry of a card's `extra`: true if each logit answers a separate question (sigmoid, not softmax)."""
LONGEST_NAME = 1000
"""Characters of an architecture, a view or a path of a module: no real one comes near."""

Word = Annotated[str, Text(rf"(?s).{{0,{LONGEST_NAME}}}", f"at most {LONGEST_NAME} characters", may_be_empty=True)]
Count = Annotated[int, Bounds(0, LARGEST_COUNT)]
Channels = Annotated[int, Bounds(1, LARGEST_COUNT)]


@dataclass(frozen=True)
class ModelCard:
    """Everything needed to use a network, except its weights.

    Attributes:
        architecture: its name for `create_model`.
        num_classes: number of logits.
        in_channels: channels of its input.
        image_size: height and width of its own input in pixels, to which it resizes, or None if any size suits.
        classes: names of the classes in the order of the logits; may be empty.
        mean: mean of each channel, in units of the [0, 1] image.
        std: standard deviation of each channel, same units.
        view: what it sees of a record, as `--view` takes it; empty: all of it.
        columns: columns of a table that it sees.
        record_shape: channels, height and width of a whole record, as the data were read before any view of them; old
            files hold it only where there was a view.
        crop_fraction: share of a resized picture's side that was kept in its middle.
        extra: anything else that JSON can hold, e.g. the accuracy reached.
        embedding: path of the module whose input is the embedding, if it was set; empty: detected.
    """

    architecture: Word
    num_classes: Count
    in_channels: Channels = 3
    image_size: tuple[Side, Side] | None = None
    classes: tuple[str, ...] = ()
    mean: Mean = ()
    std: Deviation = ()
    view: Word = ""
    columns: tuple[str, ...] = ()
    record_shape: tuple[Channels, Side, Side] | None = None
    crop_fraction: Annotated[float, Bounds(above=0, high=1)] = 1.0
    extra: Mapping[str, Any] = field(default_factory=dict)
    embedding: Word = ""

    @property
    def several_labels(self) -> bool:
        """Whether each logit answers a separate question."""
        return bool(self.extra.get(SEVERAL_LABELS))

    @property
    def record(self) -> tuple[int, int, int] | None:
        """Channels, height and width of a whole record, or None where any size will do."""
        if self.record_shape is not None or self.image_size is None:
            return self.record_shape
        return (self.in_channels, *self.image_size)

    def to_metadata(self) -> dict[str, str]:
        """Return the card as the metadata of a safetensors file, which maps strings to strings."""
        values = vars(self) | {"extra": dict(self.extra)}
        return {METADATA_KEY: json.dumps(values, ensure_ascii=False)}


EXTRA: dict[str, Any] = {
    SEVERAL_LABELS: bool,
    "sounds": bool,
    "categories": dict,
    "cut": dict,
    "data": str,
    "method": str,
    "teacher": str | None,
    "seed": int,
    "top1_last": float | None,
    "map_last": float | None,
}
"""Entries of `extra` that are used, and what they are; others may be anything."""
CUT: dict[str, Any] = {"split_seed": int, "holdout": float, "group_by": str | None, "samples": int, "held_out": str}
"""Entries of `extra`'s `cut`, see `DataSet.cut`; the first three are always there."""


def card_from_metadata(metadata: Mapping[str, str] | None) -> ModelCard | None:
    """Return the card that metadata hold, or None where they hold none.

    Raises:
        UsageError: there is a card, but it cannot be read, or holds what no card can.

    >>> card = ModelCard("resnet20", 10, image_size=(32, 32), mean=(0.5,) * 3, std=(0.25,) * 3)
    >>> card_from_metadata(card.to_metadata()) == card
    True
    """
    text = (metadata or {}).get(METADATA_KEY)
    if text is None:
        return None
    try:
        values = json.loads(text)
        return _parse(values)
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError as error:  # UsageErrors are ValueErrors
        reason = str(error)
    raise UsageError(f"the model card is damaged ({reason}): write the weights file again")


def _parse(values: object) -> ModelCard:
    # A newer card may hold more; what is known here is enough to build the network.
    card = read(ModelCard, values, "the card", newer=True)
    _require_extra(card.extra)
    _require_lengths(card)
    return card


def _require_extra(extra: Mapping[str, Any]) -> None:
    _require_types("extra", extra, EXTRA)
    cut = extra.get("cut") or {}
    _require_types("extra.cut", cut, CUT)
    lacking = [name for name in ("split_seed", "holdout", "group_by") if cut and name not in cut]
    if lacking or ("held_out" in cut) != ("samples" in cut):
        raise UsageError(f"extra.cut lacks {lacking[0] if lacking else 'samples or held_out'}")
    for column, texts in (extra.get("categories") or {}).items():
        convert(f"extra.categories[{shown(column)}]", texts, tuple[str, ...])


def _require_types(place: str, values: Mapping[str, object], hints: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if name in hints and not (isinstance(value, float) and hints[name] == float | None):  # of NaN nothing depends
            convert(f"{place}.{name}", value, hints[name])


def _require_lengths(card: ModelCard) -> None:
    """Raise where the numbers of a card contradict each other."""
    expected: dict[str, tuple[Sequence[object], int, str]] = {
        "classes": (card.classes, card.num_classes, "num_classes"),
        "mean": (card.mean, card.in_channels, "in_channels"),
        "std": (card.std, card.in_channels, "in_channels"),
    }
    for name, (values, count, other) in expected.items():
        if len(values) not in (0, count):
            raise UsageError(f"{name} has {len(values)} entries, but {other} is {count}")
    if bool(card.mean) != bool(card.std):
        raise UsageError("mean and std go together: it holds one of them")
