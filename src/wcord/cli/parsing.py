"""From a command's arguments to its settings: defaults, then a recipe, then the options."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from wcord.bounds import File
from wcord.checks import UsageError
from wcord.cli.console import OUT
from wcord.cli.help import help_text
from wcord.cli.values import option_name, read_values
from wcord.scope import declared_settings, tables
from wcord.training.config import BESIDE_A_TEACHER, configure, flatten, read_recipe, setting_names

Settings = TypeVar("Settings")


def parse(
    kind: type[Settings], command: str, arguments: list[str], *, positional: str = "", note: str = ""
) -> Settings:
    """Return the settings of a command, or print its help and exit.

    Where the settings have tables, a recipe can hold them (`--recipe`); options override it.

    Args:
        kind: the dataclass that declares them.
        command: what calls it, such as `train` or `train --resume RUN`.
        arguments: what follows it.
        positional: the setting that takes the words without an option, if any.
        note: what the help says below its first sentence.

    Raises:
        UsageError: an unknown option or setting, a wrong value, a recipe that cannot be read, a missing setting.
        SystemExit: after the help.
    """
    if "--help" in arguments or "-h" in arguments:
        OUT.print(help_text(kind, command, positional=positional, note=note), soft_wrap=True)
        raise SystemExit(0)
    places = declared_settings(kind)
    hints = {name: places[BESIDE_A_TEACHER.get(name, name)] for name in setting_names(kind)}
    if tables(kind):
        hints["recipe"] = File
    values = read_values(arguments, hints, command=command, positional=positional)
    path: Path | None = values.pop("recipe", None)
    settings = ({} if path is None else flatten(kind, read_recipe(path))) | flatten(kind, values)
    _require_all(kind, command, settings, positional)
    return configure(cast(Any, kind), settings)


def _require_all(kind: type, command: str, settings: Mapping[str, object], positional: str) -> None:
    """Raise where a setting without a default is missing."""
    for item in dataclasses.fields(kind):
        if item.default is item.default_factory is dataclasses.MISSING and item.name not in settings:
            name = item.name.upper() if item.name == positional else option_name(item.name)
            more = ", or a --recipe that holds it" if tables(kind) else ""
            raise UsageError(f"missing {name}: give it{more}; see wcord {command} --help")
