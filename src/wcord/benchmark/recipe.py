"""One row as a recipe, for whoever wants to run it alone. Imports no torch."""

import tomllib
from collections.abc import Iterable

import tomli_w

from wcord import checks
from wcord.benchmark.rows import TEACHERS, Place, Row, TeacherRun, choose
from wcord.benchmark.settings import ONE_CALL
from wcord.benchmark.suite import Suite, file_name
from wcord.checks import UsageError
from wcord.data.config import DataConfig
from wcord.training.config import TrainingConfig, setting_names, to_settings

FLAGS = {*ONE_CALL, "device"}
"""Settings that `wcord benchmark` gives to every run itself."""


def find_row(suite: Suite, name: str) -> Row | TeacherRun:
    """Return a row by its name, with or without the suite's before it and a seed behind.

    Raises:
        UsageError: on a name of another form, or an unknown part.
    """
    parts = name.removeprefix(f"{suite.name}/").split("/")
    seed = suite.seeds[0]
    if len(parts) == 3 and parts[2].removeprefix("seed").isdecimal():
        seed = int(parts.pop().removeprefix("seed"))
    if len(parts) != 2:
        raise UsageError(f"a row is named {suite.name}/TEACHER-STUDENT/METHOD or …/METHOD/seed1, received {name!r}")
    if parts[0] == TEACHERS:
        teachers = {file_name(teacher): teacher for teacher in suite.teachers}
        checks.require_choice(f"teacher of {suite.name}", parts[1], teachers)
        return TeacherRun(suite, teachers[parts[1]], seed if suite.split_by_seed else 0)
    return choose(suite, pairs=[parts[0]], methods=[parts[1]], seeds=[seed])[0]


def recipe(row: Row | TeacherRun, place: Place) -> str:
    """Return a run's settings as TOML for `wcord distill --recipe` (a teacher's: `wcord train --recipe`).

    What belongs to one place only, such as its folder, is left to flags.
    """
    settings = to_settings(row.config(place) if isinstance(row, TeacherRun) else row.config(place, None))
    for name in FLAGS:
        settings.pop(name, None)
        settings["training"].pop(name, None)
    if not has_data(row.suite, place):
        settings["data"].pop("data", None)
    return tomli_w.dumps(settings)


def has_data(suite: Suite, place: Place) -> bool:
    """Return whether the data source is known."""
    return place.data is not None or "data" in suite.data


def parse_overrides(settings: Iterable[str]) -> dict[str, object]:
    """Return name → value of settings written as in a recipe.

    >>> parse_overrides(["precision=bf16", "compile=true", "epochs=2"])
    {'precision': 'bf16', 'compile': True, 'epochs': 2}

    Raises:
        UsageError: where a setting has another form, or is none of the data's or the training's.
    """
    fixed = {"data", "seed", *FLAGS}  # they have flags, or the suite sets them
    known = [name for kind in (DataConfig, TrainingConfig) for name in setting_names(kind) if name not in fixed]
    found: dict[str, object] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not (equals and name and value):
            raise UsageError(f"override {setting!r} is not of the form NAME=VALUE: write precision=bf16, say")
        checks.require_choice("setting to override", name.strip(), known)
        try:
            found[name.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[name.strip()] = value.strip()
    return found
