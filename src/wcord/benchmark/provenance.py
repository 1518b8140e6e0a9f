"""Where a number comes from: commit, machine, versions, and settings that differ from the suite's, as footnotes."""

import json
from collections.abc import Sequence
from pathlib import Path

from wcord.benchmark.entries import Entry
from wcord.benchmark.rows import Place, Row, TeacherRun
from wcord.benchmark.settings import PLACE, flat_settings, told
from wcord.checks import UsageError
from wcord.methods.build import resolved_options
from wcord.methods.options import parse_options
from wcord.report.record import Record
from wcord.training.config import DistillConfig, TrainConfig, configure


class Footnotes:
    """Letters for the ways in which runs came about, in the order in which they are met."""

    def __init__(self) -> None:
        self._letters: dict[str, str] = {}

    def mark(self, entries: Sequence[Entry]) -> str:
        """Return how many runs came about in which way: `3 a`, or `2 a, 1 b`."""
        counts: dict[str, int] = {}
        for entry in entries:
            if entry.record is not None:
                way = describe(entry, entry.record)
                letter = self._letters.setdefault(way, _letter(len(self._letters)))
                counts[letter] = counts.get(letter, 0) + 1
        return ", ".join(f"{count} {letter}" for letter, count in counts.items())

    @property
    def notes(self) -> list[tuple[str, str]]:
        """Letter and text of each."""
        return [(letter, way) for way, letter in self._letters.items()]


def describe(entry: Entry, record: Record) -> str:
    """Return commit, machine and versions of a run, and the settings in which it differs from the suite's."""
    commit, plus, changes = (record.commit or "unknown").partition("+")
    text = f"commit {commit[:7]}{plus}{changes}, {machine(record)}"
    different = differing_settings(entry, record)
    return f"{text}; other settings than the suite's: {', '.join(different)}" if different else text


def machine(record: Record) -> str:
    """Return what a run was computed with."""
    known = {name: record.environment.get(name, "unknown") for name in ("hardware", "device", "threads", "torch")}
    threads = f", threads {known['threads']}" if known["device"] == "cpu" else ""
    return f"{known['hardware']} ({known['device']}{threads}), torch {known['torch']}"


def differing_settings(entry: Entry, record: Record) -> list[str]:
    """Return the settings of a run that are not those of its row today, as `name = value`."""
    place, row = Place(out=Path()), entry.row
    try:
        wanted = flat_settings(row.config(place) if isinstance(row, TeacherRun) else row.config(place, None))
        kind = TrainConfig if isinstance(row, TeacherRun) else DistillConfig
        # Through the configuration of today, so that settings that did not exist yet stand there with their defaults.
        had = flat_settings(configure(kind, {**record.config, "out": place.out}))
    except UsageError as error:
        return [f"of another version ({error})"]
    # A seed is shown anyway, and options are compared as what they come to.
    ignored = {*PLACE, "seed", "set"}
    names = [name for name in {**wanted, **had} if name not in ignored and had.get(name) != wanted.get(name)]
    return [told(name, had.get(name)) for name in names] or _differing_options(row, record)


def _differing_options(row: Row | TeacherRun, record: Record) -> list[str]:
    """Return the options of a run's summands that are others today, by another default or another catalogue.

    Records of an earlier version do not hold them, but only what was set by hand: that is compared with what the row
    sets itself, and for the rest they stand on the options that their suite states.
    """
    if isinstance(row, TeacherRun):
        return []
    variant = row.suite.settings(row.pair, row.label)
    if not record.objective:
        given = parse_options(record.config.get("set", ()))
        known = (variant.set, row.suite.variant(row.label).set)
        return [] if given in map(parse_options, known) else [told("set", record.config.get("set", []))]
    today = json.loads(json.dumps(resolved_options(variant.method, parse_options(variant.set))))
    wanted = {f"{name}.{option}": value for name, options in today.items() for option, value in options.items()}
    had = {f"{name}.{option}": value for name, options in record.objective.items() for option, value in options.items()}
    return [told(name, had[name]) for name in had if name in wanted and had[name] != wanted[name]]


def _letter(position: int) -> str:
    """Return a, b, … z, aa, ab and so on."""
    tens, ones = divmod(position, 26)
    return (_letter(tens - 1) if tens else "") + chr(ord("a") + ones)
