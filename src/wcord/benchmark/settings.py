"""Settings by name, and which of them belong to the place of a run and do not change what it reaches. No torch."""

from collections.abc import Mapping
from typing import Any

from wcord.training.config import DistillConfig, TrainConfig, to_settings

FOLDER = ("out", "overwrite")
"""Where a run lies."""

MACHINE = ("device", "max_time", "teacher_cache")
"""What the benchmark says to every run by itself."""

TODAY = ("data", "workers", "in_memory")
"""Settings of the data that may be others when a run is gone on with."""

PLACE = frozenset(
    (
        *FOLDER,
        *MACHINE,
        *TODAY,
        "teacher_weights",
        "teacher_data",
        "tracker",
        "checkpoint_every",
        "skip_bad_images",
        "capture",
        "teacher_ahead",
    )
)
"""Settings that do not change a result, but for the last bits of its numbers."""


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
