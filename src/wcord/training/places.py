"""Files that a run's settings name by relative paths, found again when it is gone on with from another folder."""

import dataclasses
import json
from pathlib import Path
from typing import Any, TypeVar

from wcord.training.config import DistillConfig, TrainConfig, setting_values

Config = TypeVar("Config", bound=TrainConfig | DistillConfig)

FOLDERS = ("audiofolder", "hub", "imagefolder", "npz", "parquet", "table")
"""Kinds of sources with a path after the colon; of the hub, a data set that lies in a folder."""
DATA = ("data", "teacher_data")
"""Settings that name a source of data."""
FILES = ("label_map", "class_weights")
"""Settings of text that may name a file; all others that name one are paths."""

FREE = ("out", "overwrite", "device", "max_time", "workers", "in_memory")
"""Settings that do not change what a run computes."""


def lasting(config: DistillConfig | TrainConfig) -> dict[str, Any]:
    """Return the settings that a run keeps to its end, as JSON holds them; what files hold is compared by itself."""
    values = {
        name: value
        for name, value in setting_values(config).items()
        if name not in (*FREE, *DATA, *FILES) and not isinstance(value, Path)
    }
    return json.loads(json.dumps(values))


def as_started(config: Config, folder: Path) -> tuple[Config, list[str]]:
    """Return a configuration with the relative paths that lead somewhere from the folder where the run was started.

    Other paths stay as they are, and so are looked for in the present folder.

    Args:
        config: the settings of the run.
        folder: where it was started.

    Returns:
        The configuration, and a line on each path that was found there.
    """
    if folder == Path.cwd():
        return config, []
    notes: list[str] = []
    return _as_started(config, folder, notes), notes


def _as_started(config: Any, folder: Path, notes: list[str]) -> Any:
    changes: dict[str, Any] = {}
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            changes[item.name] = _as_started(value, folder, notes)
        elif item.name != "out" and (found := _found(item.name, value, folder)) is not None:
            changes[item.name] = found
            flag = item.name.replace("_", "-")
            notes.append(f"--{flag}: {str(found)!r} is used, as the run was started in {str(folder)!r}")
    return dataclasses.replace(config, **changes)


def _found(name: str, value: object, folder: Path) -> str | Path | None:
    """Return a setting as an absolute path below a folder; None where it names nothing there, or nothing relative."""
    if isinstance(value, Path):
        return folder / value if _is_there(value, folder) else None
    if not isinstance(value, str):
        return None
    if name in FILES:
        return str(folder / value) if _is_there(Path(value), folder) else None
    if name not in DATA:
        return None
    kind, _, place = value.partition(":")
    before, at, last = place.rpartition("@")
    if kind == "torchvision" and at:
        return f"{kind}:{before}@{folder / last}" if _is_there(Path(last), folder) else None
    return f"{kind}:{folder / place}" if kind in FOLDERS and place and _is_there(Path(place), folder) else None


def _is_there(path: Path, folder: Path) -> bool:
    return not path.is_absolute() and (folder / path).exists()
