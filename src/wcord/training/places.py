"""Files in a run's settings: located when the run resumes from another folder, and protected while it needs them."""

import importlib.util
import json
from pathlib import Path
from typing import Any, TypeVar

from wcord.checks import UsageError
from wcord.data.sources.registry import path_in
from wcord.files import sha256
from wcord.scope import Affects, scopes
from wcord.training.config import DistillConfig, TrainConfig, changed, setting_values

Config = TypeVar("Config", bound=TrainConfig | DistillConfig)

SETTINGS = scopes(TrainConfig, DistillConfig)


def lasting(config: DistillConfig | TrainConfig) -> dict[str, Any]:
    """Return the settings that a run cannot change, as JSON values; contents of files are compared elsewhere."""
    values = {name: value for name, value in setting_values(config).items() if _lasts(SETTINGS[name])}
    return json.loads(json.dumps(values))


def _lasts(affects: Affects) -> bool:
    return not affects.may_change and not affects.facts & {"source", "file", "output"}


def as_started(config: Config, folder: Path) -> tuple[Config, list[str]]:
    """Return a configuration with its relative paths resolved in the folder where the run was started, if they exist.

    Other paths are unchanged, and so refer to the current folder.

    Args:
        config: the settings of the run.
        folder: folder where it was started.

    Returns:
        The configuration, and a line on each resolved path.

    Raises:
        UsageError: it names code in that folder, which is not on Python's path.
    """
    if folder == Path.cwd():
        return config, []
    values = setting_values(config)
    for name, value in values.items():
        if "code" in SETTINGS[name].facts:
            _require_code(name, str(value), folder)
    changes = {name: path for name, value in values.items() if (path := _resolved(name, value, folder)) is not None}
    changes.pop("out", None)
    lines = [f"--{name.replace('_', '-')}: {str(path)!r}" for name, path in changes.items()]
    return changed(config, changes), [f"{line} is used, as the run was started in {str(folder)!r}" for line in lines]


def digests_of_files(config: TrainConfig | DistillConfig) -> dict[str, str]:
    """Return setting → digest of each file that a text setting names."""
    values = setting_values(config).items()
    named = {name: Path(value) for name, value in values if isinstance(value, str) and "file" in SETTINGS[name].facts}
    return {name: sha256(path) for name, path in named.items() if path.is_file()}


def needed(config: TrainConfig | DistillConfig) -> list[tuple[str, Path]]:
    """Return the files and folders that a run reads, each with its flag."""
    named = [(name, _path_in(name, value)) for name, value in setting_values(config).items() if name != "out"]
    return [(f"--{name.replace('_', '-')}", place[1]) for name, place in named if place and place[1].exists()]


def _require_code(name: str, value: str, folder: Path) -> None:
    module, colon, _ = value.partition(":")
    top = module.partition(".")[0]
    if not colon or not top or not _holds(folder, top) or _holds(Path.cwd(), top):
        return
    if importlib.util.find_spec(top) is None:
        raise UsageError(
            f"--{name} {value} is code in {str(folder)!r}, where the run was started: resume from that folder, or name "
            "it in the environment variable PYTHONPATH"
        )


def _holds(folder: Path, module: str) -> bool:
    return (folder / f"{module}.py").is_file() or (folder / module).is_dir()


def _resolved(name: str, value: object, folder: Path) -> str | Path | None:
    """Return a setting with its relative path resolved in a folder; None if it has none, or it does not exist there."""
    named = _path_in(name, value)
    if named is None or named[1].is_absolute() or not (folder / named[1]).exists():
        return None
    before, path = named
    return folder / path if isinstance(value, Path) else f"{before}{folder / path}"


def _path_in(name: str, value: object) -> tuple[str, Path] | None:
    """Return the path in a setting, and the text before it; None without a path."""
    if isinstance(value, Path):
        return "", value
    if not isinstance(value, str):
        return None
    if "file" in SETTINGS[name].facts:
        return "", Path(value)
    if "source" not in SETTINGS[name].facts:
        return None
    named = path_in(value)
    return None if named is None else (named[0], Path(named[1]))
