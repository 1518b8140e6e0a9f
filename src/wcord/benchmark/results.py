"""From entries to what a table says of each row, as numbers: the same for Markdown, CSV and HTML."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

from wcord.benchmark.entries import Entry
from wcord.benchmark.published import Published, Table, find_published, read_published
from wcord.benchmark.rows import PLACE, Place, Row, TeacherRun, flat_settings, told
from wcord.benchmark.statistics import Difference, against_number, paired
from wcord.benchmark.suite import Pair, Suite
from wcord.checks import UsageError
from wcord.methods.build import resolved_options
from wcord.methods.options import parse_options
from wcord.report.record import Record
from wcord.report.tables import spread
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
    # A seed is shown anyway, a teacher that was allowed to be weak taught as any other, and options are compared as
    # what they come to.
    moot = {*PLACE, "seed", "allow_weak_teacher", "set"}
    names = [name for name in {**wanted, **had} if name not in moot and had.get(name) != wanted.get(name)]
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


@dataclass(frozen=True)
class Group:
    """Runs that may be pooled and compared: they share settings, beside those of their rows, and a teacher.

    Attributes:
        settings: the settings in which they differ from the suite's, as `name = value`.
        teacher: accuracy of the teacher's weights, in percent; None where it was not measured.
    """

    settings: tuple[str, ...] = ()
    teacher: float | None = None


@dataclass(frozen=True)
class Line:
    """A row of a table: runs of one group.

    Attributes:
        label: method or variant.
        method: the method itself.
        mark: stars, where the runs are not of the pair's main group.
        lacking: seeds of the suite that have no settled run, where it has fewer runs than the suite asks for.
        entries: its settled runs.
        top1: seed → accuracy of the last epoch, in percent.
        published: what others reached.
        to_published: our mean minus theirs.
        to_baseline: paired difference to the baseline's row.
        runs: how many runs came about in which way, by the letters of the footnotes.
    """

    label: str
    method: str
    mark: str = ""
    lacking: tuple[int, ...] = ()
    entries: tuple[Entry, ...] = ()
    top1: Mapping[int, float] = field(default_factory=dict)
    published: Published | None = None
    to_published: Difference | None = None
    to_baseline: Difference | None = None
    runs: str = ""

    @property
    def name(self) -> str:
        """What the row is called in a table."""
        return f"{self.label} {self.mark}".rstrip()

    @property
    def reasons(self) -> Mapping[tuple[str, str], tuple[int, ...]]:
        """Status and reason of the runs that gave no number → their seeds."""
        found: dict[tuple[str, str], tuple[int, ...]] = {}
        for entry in self.entries:
            if entry.record is None:
                reason = (entry.status, entry.reason)
                found[reason] = (*found.get(reason, ()), entry.row.seed)
        return found

    @property
    def missing(self) -> bool:
        """Whether no run has been settled."""
        return not self.entries

    def measured(self, name: str) -> tuple[float, ...]:
        """Return a metric of all seeds."""
        found = (entry.record.metrics.get(name) for entry in self.entries if entry.record is not None)
        return tuple(float(value) for value in found if value is not None)

    @property
    def at_chance(self) -> tuple[int, ...]:
        """Seeds whose students know nothing of their data."""
        return tuple(e.row.seed for e in self.entries if e.record is not None and e.record.metrics.get("at_chance"))

    @property
    def diagonal(self) -> tuple[float, ...]:
        """Mass that the transport plan kept on its diagonal in the last epoch, in percent, where it was logged."""
        records = [entry.record for entry in self.entries if entry.record is not None and entry.record.epochs]
        found = ((record.epochs[-1].get("diagnostics") or {}).get("diagonal_mass") for record in records)
        return tuple(100 * float(value) for value in found if value is not None)

    @property
    def minutes(self) -> tuple[float, ...]:
        """Training time of each run."""
        return tuple(entry.record.wall_seconds / 60 for entry in self.entries if entry.record is not None)


@dataclass(frozen=True)
class PairTable:
    """All rows of a pair, with its teacher.

    Attributes:
        pair: teacher and student.
        lines: rows in the order of the suite, those that it does not list behind.
        teacher: accuracy of each teacher's weights that were used, in percent, as text → the end of their path; where
            splits go by seed, their mean and deviation.
        teacher_published: what others' teacher reached.
        groups: the groups of runs beside the main one, by their marks.
        main: the main group.
    """

    pair: Pair
    lines: tuple[Line, ...]
    teacher: Mapping[str, str]
    teacher_published: Published | None
    groups: Mapping[str, Group] = field(default_factory=dict)
    main: Group = Group()

    @property
    def begun(self) -> bool:
        """Whether any row has a settled run."""
        return any(not line.missing for line in self.lines)


@dataclass(frozen=True)
class SuiteTable:
    """What is known of a suite.

    Attributes:
        suite: the suite.
        baseline: the row that the others are compared with.
        pairs: a table for each pair.
        notes: the footnotes, letter and text.
        teachers: the trainings of each teacher, by name, with their mark of the footnotes.
        left_out: rows of which there are runs and which the suite does not know.
    """

    suite: Suite
    baseline: str
    pairs: tuple[PairTable, ...]
    notes: tuple[tuple[str, str], ...]
    teachers: Mapping[str, tuple[Sequence[Entry], str]]
    left_out: tuple[str, ...] = ()


def tabulate(suite: Suite, entries: Sequence[Entry], *, baseline: str | None = None) -> SuiteTable:
    """Return the tables of a suite.

    Args:
        suite: the suite.
        entries: its settled runs.
        baseline: row to compare with; default: the suite's.

    Raises:
        UsageError: on an unknown baseline.
    """
    against = baseline or suite.baseline
    suite.variant(against)
    notes = Footnotes()
    known = [entry for entry in entries if isinstance(entry.row, Row) and suite.knows(entry.row.label)]
    unknown = [entry.row for entry in entries if isinstance(entry.row, Row) and not suite.knows(entry.row.label)]
    pairs = tuple(_pair_table(suite, pair, known, against, notes) for pair in suite.pairs)
    trainings: dict[str, list[Entry]] = {}
    for entry in entries:
        if isinstance(entry.row, TeacherRun):
            trainings.setdefault(entry.row.model, []).append(entry)
    teachers = {model: (made, notes.mark(made)) for model, made in trainings.items()}
    left_out = tuple(dict.fromkeys(row.name for row in unknown))
    return SuiteTable(suite, against, pairs, tuple(notes.notes), teachers, left_out)


def limited(
    suite: Suite, entries: Sequence[Entry], *, methods: Sequence[str] = (), seeds: Sequence[int] = ()
) -> tuple[Suite, list[Entry]]:
    """Return a suite and its runs with some rows and seeds only; none named: all."""
    kept = [
        entry
        for entry in entries
        if isinstance(entry.row, TeacherRun)
        or ((not methods or entry.row.label in methods) and (not seeds or entry.row.seed in seeds))
    ]
    some = replace(suite, methods=tuple(methods) or suite.methods, seeds=tuple(seeds) or suite.seeds)
    return some, kept


def _pair_table(suite: Suite, pair: Pair, entries: Sequence[Entry], baseline: str, notes: Footnotes) -> PairTable:
    table = {} if suite.published is None else read_published(suite.published)
    by_label: dict[str, list[Entry]] = {label: [] for label in suite.methods}
    for entry in entries:
        if isinstance(entry.row, Row) and entry.row.pair == pair:
            by_label.setdefault(entry.row.label, []).append(entry)
    marks = _marks([entry for found in by_label.values() for entry in found])
    base = {mark: _top1(found) for mark, found in _by_mark(by_label.get(baseline, []), marks).items()}
    lines = [
        _line(suite, pair, label, mark, found, table, base.get(mark, {}) if label != baseline else None, notes)
        for label, all_of_it in by_label.items()
        for mark, found in _by_mark(all_of_it, marks).items()
    ]
    records = [entry.record for found in by_label.values() for entry in found if entry.record is not None]
    measured = [(top1, record) for record in records if (top1 := teacher_top1(record)) is not None]
    teacher = {f"{top1:.2f}": _weights(record) for top1, record in measured}
    if suite.split_by_seed and measured:
        by_seed = {record.seed: top1 for top1, record in measured}
        teacher = {spread([*by_seed.values()]): "one for each seed"}
    groups = {mark: group for group, mark in marks.items() if mark}
    main = next((group for group, mark in marks.items() if not mark), Group())
    stated = table.get((pair.teacher, pair.student, "Teacher"))
    return PairTable(pair, tuple(lines), teacher, stated, groups, main)


def _line(
    suite: Suite,
    pair: Pair,
    label: str,
    mark: str,
    found: Sequence[Entry],
    table: Table,
    base: Mapping[int, float] | None,
    notes: Footnotes,
) -> Line:
    # A variant is not what was published under the name of its method.
    published = None if label in suite.variants else find_published(table, pair.teacher, pair.student, label)
    reached = _top1(found)
    seeds = [entry.row.seed for entry in found]
    complete = mark or len(seeds) >= len(suite.seeds)
    return Line(
        label=label,
        method=suite.variant(label).method,
        mark=mark,
        lacking=() if complete else tuple(seed for seed in suite.seeds if seed not in seeds),
        entries=tuple(found),
        top1=reached,
        published=published,
        to_published=None if published is None else against_number([*reached.values()], published.top1),
        to_baseline=None if base is None else paired(reached, base, overlap=suite.overlap),
        runs=notes.mark(found),
    )


def _marks(entries: Sequence[Entry]) -> dict[Group, str]:
    """Return group → mark: none for the main group, the largest of the suite's own settings, and stars for others."""
    sizes: dict[Group, int] = {}
    for entry in entries:
        if entry.record is not None:
            sizes[_group(entry, entry.record)] = sizes.get(_group(entry, entry.record), 0) + 1
    usual = max(sizes, key=lambda group: sizes[group], default=Group()).teacher
    own = [group for group in sizes if not group.settings]
    main = max(own, key=lambda group: sizes[group], default=Group((), usual))
    others = [group for group in sizes if group != main]
    return {main: ""} | {group: "*" * number for number, group in enumerate(others, start=1)}


def _by_mark(entries: Sequence[Entry], marks: Mapping[Group, str]) -> dict[str, list[Entry]]:
    """Return mark → runs, the main group first; runs without a number are told with the first line of their row."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.record is not None:
            found.setdefault(marks[_group(entry, entry.record)], []).append(entry)
    ordered = {mark: found[mark] for mark in sorted(found, key=len)} or {"": []}
    next(iter(ordered.values())).extend(entry for entry in entries if entry.record is None)
    return ordered


def _group(entry: Entry, record: Record) -> Group:
    # Where each seed has a teacher of its own, runs of one seed are compared, and those have the same.
    teacher = None if entry.row.suite.split_by_seed else teacher_top1(record)
    return Group(tuple(differing_settings(entry, record)), teacher)


def teacher_top1(record: Record) -> float | None:
    """Return the accuracy of a run's teacher, rounded as it is told."""
    top1 = (record.teacher_metrics or {}).get("top1")
    return None if top1 is None else round(float(top1), 2)


def _weights(record: Record) -> str:
    weights = record.config.get("teacher_weights")
    return "" if weights is None else "/".join(PurePath(weights).parts[-2:])


def _top1(entries: Sequence[Entry]) -> dict[int, float]:
    return {entry.row.seed: float(entry.record.metrics["top1_last"]) for entry in entries if entry.record is not None}
