"""The runs of a suite: names, folders, configurations and recipes. Imports no torch."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tomli_w

from wcord import checks
from wcord.benchmark.suite import Pair, Suite, file_name
from wcord.checks import UsageError
from wcord.data.config import DataConfig
from wcord.scope import scopes
from wcord.training.config import (
    UNSAVED,
    DistillConfig,
    TrainConfig,
    TrainingConfig,
    configure,
    flatten,
    plain,
    setting_names,
    setting_values,
    to_settings,
)
from wcord.training.run import STUDENT

SETTINGS = scopes(TrainConfig, DistillConfig)

PLACE = frozenset(name for name, affects in SETTINGS.items() if affects.scope != "result")
"""Settings that do not change a result beyond the last bits of its numbers."""

TODAY = frozenset(name for name in PLACE if "fixed" not in SETTINGS[name].facts)
"""Those of them that may change when a run is resumed."""

ONE_CALL = frozenset(
    name
    for name, affects in SETTINGS.items()
    if (affects.may_change and affects.scope == "call") or "output" in affects.facts
)
"""Settings of one call and its folders, left out of committed records and printed recipes."""

FLAGS = {*ONE_CALL, "device"}
"""Settings that `wcord benchmark` sets for every run."""

TEACHERS = "teachers"
"""Folder of the teachers' runs beside those of the pairs."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Output folder, data source, device and overrides of a suite's runs.

    Attributes:
        out: folder with a folder for each suite.
        data: the data source; None: the suite's.
        teacher_data: the teacher's data source, if it differs from the student's; None: the suite's.
        device: the device.
        override: settings by name that replace the suite's.
    """

    out: Path
    data: str | None = None
    teacher_data: str | None = None
    device: str = "auto"
    override: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One run of a suite: a pair, a method (or a variant's name) and a seed."""

    suite: Suite
    pair: Pair
    label: str
    seed: int

    @property
    def name(self) -> str:
        """Name of the row and of its folder: `crd13/resnet56-resnet20/wcord+kd`."""
        return f"{self.suite.name}/{self.pair.name}/{self.label}"

    def folder(self, out: Path) -> Path:
        """Return the run's folder."""
        return out / self.suite.name / self.pair.name / self.label / f"seed{self.seed}"

    @property
    def teacher(self) -> "TeacherRun":
        """The training of its teacher, if the suite trains it."""
        return TeacherRun(self.suite, self.pair.teacher, self.seed if self.suite.split_by_seed else 0)

    def config(self, place: Place, teacher_weights: Path | None) -> DistillConfig:
        """Return the run's configuration."""
        variant = self.suite.settings(self.pair, self.label)
        values: dict[str, object] = {
            "teacher": self.pair.teacher,
            "teacher_weights": teacher_weights,
            "student": self.pair.student,
            "method": variant.method,
            "set": variant.set,
            "seed": self.seed,
            "out": self.folder(place.out),
            **flatten(DistillConfig, {"training": variant.training}),
        }
        if self.suite.split_by_seed:
            values["split_seed"] = self.seed
            # Leaving out splits with a weak teacher would select splits by their test samples.
            values["allow_weak_teacher"] = True
        if place.teacher_data is not None:
            values["teacher_data"] = place.teacher_data
        if self.suite.share_teacher_outputs:
            values["teacher_cache"] = place.out / "teacher_cache"
        shared = _shared(DistillConfig, self.suite, place) | flatten(DistillConfig, self.suite.distill)
        return configure(DistillConfig, {**shared, **values, **place.override})


@dataclass(frozen=True)
class TeacherRun:
    """The training of a teacher, shared by all rows, or by those of its seed if splits depend on the seed."""

    suite: Suite
    model: str
    seed: int = 0

    @property
    def key(self) -> str:
        """Name among the suite's teachers: `resnet14x2`, or `mlp64x2.seed3` if splits depend on the seed."""
        return file_name(self.model) + (f".seed{self.seed}" if self.suite.split_by_seed else "")

    @property
    def name(self) -> str:
        """Name of the training and of its folder: `mini/teachers/resnet14x2`."""
        return f"{self.suite.name}/{TEACHERS}/{self.key}"

    def folder(self, out: Path) -> Path:
        """Return the run's folder."""
        return out / self.suite.name / TEACHERS / self.key

    def weights(self, out: Path) -> Path:
        """Return the file of the trained weights."""
        return self.folder(out) / STUDENT

    def config(self, place: Place) -> TrainConfig:
        """Return the run's configuration.

        Raises:
            UsageError: if the suite does not train its teachers.
        """
        if self.suite.teacher is None:
            raise UsageError(f"suite {self.suite.name} trains no teachers: add --teachers ({self.suite.checkpoints})")
        values: dict[str, object] = {"model": self.model, "out": self.folder(place.out), "seed": self.seed}
        if self.suite.split_by_seed:
            values["split_seed"] = self.seed
        if place.teacher_data is not None:
            place = replace(place, data=place.teacher_data)
        known = setting_names(TrainConfig)
        override = {name: value for name, value in place.override.items() if name in known}
        shared = _shared(TrainConfig, self.suite, place) | flatten(TrainConfig, self.suite.teacher)
        return configure(TrainConfig, {**shared, **values, **override})


def choose(
    suite: Suite,
    *,
    pairs: Sequence[str] = (),
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> list[Row]:
    """Return the selected runs: all pairs and methods with the first seed, then with the next.

    Args:
        suite: the suite.
        pairs: `teacher:student` or the pairs' folder names; default: all of the suite.
        methods: methods or variants; default: the suite's list.
        seeds: seeds; default: the suite's.

    Raises:
        UsageError: on an unknown name, with the nearest one.
    """
    by_name = {pair.flag: pair for pair in suite.pairs} | {pair.name: pair for pair in suite.pairs}
    for pair in pairs:
        checks.require_choice(f"pair of {suite.name}", pair, by_name)
    for label in methods:
        suite.variant(label)
    selected = dict.fromkeys(by_name[pair] for pair in pairs) if pairs else suite.pairs
    labels = dict.fromkeys(methods or suite.methods)
    return [
        Row(suite, pair, label, seed)
        for seed in dict.fromkeys(seeds or suite.seeds)
        for pair in selected
        for label in labels
    ]


def _shared(kind: type, suite: Suite, place: Place) -> dict[str, Any]:
    """Return the settings of all runs of a suite by name, so that those of a run can replace them."""
    data = suite.data if place.data is None else {**suite.data, "data": place.data}
    return flatten(kind, {"data": data, "training": {**suite.training, "device": place.device}})


def find_row(suite: Suite, name: str) -> Row | TeacherRun:
    """Return a run by its row's name, optionally preceded by the suite's name and followed by a seed.

    Raises:
        UsageError: on a malformed name or an unknown part.
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

    Settings of one machine, such as the folder, are omitted; they are flags.
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
        UsageError: on a malformed setting, or one that is not of the data or the training.
    """
    fixed = {"data", "seed", *FLAGS}  # they have flags, or the suite sets them
    known = [name for kind in (DataConfig, TrainingConfig) for name in setting_names(kind) if name not in fixed]
    overrides: dict[str, object] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not (equals and name and value):
            raise UsageError(f"override {setting!r} is not of the form NAME=VALUE: write precision=bf16, say")
        checks.require_choice("setting to override", name.strip(), known)
        try:
            overrides[name.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            overrides[name.strip()] = value.strip()
    return overrides


def flat_settings(config: TrainConfig | DistillConfig) -> dict[str, Any]:
    """Return name → plain value of all settings of a configuration, without its tables.

    `data` is the source. A setting whose value is None is left out.
    """
    return plain({name: value for name, value in setting_values(config).items() if name not in UNSAVED})


def format_setting(name: str, value: object) -> str:
    """Return a setting as text.

    >>> format_setting("compile", True), format_setting("set", []), format_setting("lr", None)
    ('compile = true', 'set = none', 'lr = default')
    """
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, list):
        text = " ".join(map(str, value)) or "none"
    else:
        text = "default" if value is None else str(value)
    return f"{name} = {text}"
