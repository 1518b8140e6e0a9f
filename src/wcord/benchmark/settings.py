"""Settings by name, and which of them belong to the place of a run and do not change what it reaches. No torch."""

from collections.abc import Mapping
from typing import Any

from wcord.scope import scopes
from wcord.training.config import DistillConfig, TrainConfig, to_settings

SETTINGS = scopes(TrainConfig, DistillConfig)

PLACE = frozenset(name for name, affects in SETTINGS.items() if affects.scope != "result")
"""Settings that do not change a result, but for the last bits of its numbers."""

TODAY = frozenset(name for name in PLACE if "fixed" not in SETTINGS[name].facts)
"""Of these, the ones that may change when a run is resumed."""

ONE_CALL = frozenset(
    name
    for name, affects in SETTINGS.items()
    if (affects.may_change and affects.scope == "call") or "output" in affects.facts
)
"""Settings of one call and its folders, which no committed record or printed recipe holds."""


def flat_settings(config: TrainConfig | DistillConfig) -> dict[str, Any]:
    """Return name → plain value of all settings of a configuration, without its tables.

    The name `data` is that of the source; a setting that stands on its default of None is not there.
    """
    flat: dict[str, Any] = {}
    for name, value in to_settings(config).items():
        flat |= value if isinstance(value, Mapping) else {name: value}
    return flat


def told(name: str, value: object) -> str:
    """Return a setting as one reads it.

    >>> told("compile", True), told("set", []), told("lr", None)
    ('compile = true', 'set = none', 'lr = default')
    """
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, list):
        text = " ".join(map(str, value)) or "none"
    else:
        text = "default" if value is None else str(value)
    return f"{name} = {text}"
