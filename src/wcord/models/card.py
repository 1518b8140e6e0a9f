"""What a weights file says about its network: how to build it, what it recognises and what input it wants."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from wcord.checks import UsageError

METADATA_KEY = "wcord"
SEVERAL_LABELS = "several_labels"
"""Entry of a card's `extra`: true where each logit is the answer to a question of its own (sigmoid, not softmax)."""


@dataclass(frozen=True)
class ModelCard:
    """All that is needed, besides the weights, to use a network.

    Attributes:
        architecture: its name for `create_model`.
        num_classes: number of logits.
        in_channels: channels of its input.
        image_size: height and width of its own input in pixels, to which it resizes, or None where any will do.
        classes: names of the classes in the order of the logits; may be empty.
        mean: mean of each channel, in units of the [0, 1] image.
        std: standard deviation of each channel, same units.
        view: what it sees of a record, as `--view` takes it; empty: all of it.
        columns: columns of a table that it sees.
        record_shape: channels, height and width of a whole record, as the data were read before any view of them; old
            files hold it only where there was a view.
        crop_fraction: share of a resized picture's side that was kept in its middle.
        extra: anything else that JSON can hold, e.g. the accuracy reached.
        embedding: path of the module whose input is the embedding, where that was said; empty: it is found.
    """

    architecture: str
    num_classes: int
    in_channels: int = 3
    image_size: tuple[int, int] | None = None
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    view: str = ""
    columns: tuple[str, ...] = ()
    record_shape: tuple[int, int, int] | None = None
    crop_fraction: float = 1.0
    extra: Mapping[str, Any] = field(default_factory=dict)
    embedding: str = ""

    @property
    def several_labels(self) -> bool:
        """Whether each logit is the answer to a question of its own."""
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


def card_from_metadata(metadata: Mapping[str, str] | None) -> ModelCard | None:
    """Return the card that metadata hold, or None where they hold none.

    Raises:
        UsageError: there is a card, but it cannot be read.

    >>> card = ModelCard("resnet20", 10, image_size=(32, 32), mean=(0.5,) * 3, std=(0.25,) * 3)
    >>> card_from_metadata(card.to_metadata()) == card
    True
    """
    text = (metadata or {}).get(METADATA_KEY)
    if text is None:
        return None
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise TypeError(f"it holds a {type(values).__name__}")
        return _parse(values)
    except (TypeError, ValueError, KeyError) as error:
        raise UsageError(f"the model card is damaged ({error}): write the weights file again") from error


def _parse(values: dict[str, Any]) -> ModelCard:
    known = {item.name for item in fields(ModelCard)}
    # A card of a later version may say more; what is known here is enough to build the network.
    values = {key: value for key, value in values.items() if key in known}
    size, record = values.get("image_size"), values.get("record_shape")
    return ModelCard(
        architecture=str(values["architecture"]),
        num_classes=int(values["num_classes"]),
        in_channels=int(values.get("in_channels", 3)),
        image_size=None if size is None else (int(size[0]), int(size[1])),
        classes=tuple(str(name) for name in values.get("classes", ())),
        mean=tuple(float(value) for value in values.get("mean", ())),
        std=tuple(float(value) for value in values.get("std", ())),
        view=str(values.get("view", "")),
        columns=tuple(str(name) for name in values.get("columns", ())),
        record_shape=None if record is None else (int(record[0]), int(record[1]), int(record[2])),
        crop_fraction=float(values.get("crop_fraction", 1.0)),
        embedding=str(values.get("embedding", "")),
        extra=dict(values.get("extra", {})),
    )
