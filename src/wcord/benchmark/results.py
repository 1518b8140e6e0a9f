"""From finished runs to the lines of a table, as numbers: the same for Markdown, CSV and HTML."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import pandas as pd

from wcord.benchmark.entries import Entry
from wcord.benchmark.published import Published, find_published, read_published
from wcord.benchmark.rows import PLACE, Place, Row, TeacherRun, flat_settings, format_setting
from wcord.benchmark.statistics import Difference, against_number, paired
from wcord.benchmark.suite import Pair, Suite
from wcord.checks import UsageError
from wcord.methods.build import resolved_options
from wcord.methods.options import parse_options
from wcord.report.record import Record
from wcord.report.tables import spread
from wcord.training.config import DistillConfig, TrainConfig, configure

Frame = Any
"""A pandas DataFrame: its type stubs do not follow `frame[name]`."""


class Conditions(NamedTuple):
    """What runs must share to be pooled and compared.

    Attributes:
        settings: the settings that differ from the suite's, as `name = value`.
        teacher: accuracy of the teacher's weights, in percent; None if it was not measured.
    """

    settings: tuple[str, ...] = ()
    teacher: float | None = None


class Footnotes:
    """A letter for each provenance, in the order of first use."""

    def __init__(self) -> None:
        self._letters: dict[str, str] = {}

    def mark(self, provenances: Iterable[str]) -> str:
        """Return the number of runs of each provenance: `3 a`, or `2 a, 1 b`."""
        counts = Counter(self._letters.setdefault(text, _letter(len(self._letters))) for text in provenances)
        return ", ".join(f"{count} {letter}" for letter, count in counts.items())

    @property
    def notes(self) -> tuple[tuple[str, str], ...]:
        """Letter and text of each."""
        return tuple((letter, text) for text, letter in self._letters.items())


def provenance(record: Record, settings: Sequence[str] = ()) -> str:
    """Return commit, machine and versions of a run, and the settings in which it differs from the suite's."""
    commit, plus, changes = (record.commit or "unknown").partition("+")
    text = f"commit {commit[:7]}{plus}{changes}, {machine(record)}"
    return f"{text}; settings that differ from the suite's: {', '.join(settings)}" if settings else text


def machine(record: Record) -> str:
    """Return the hardware and the version of torch that computed a run."""
    known = {name: record.environment.get(name, "unknown") for name in ("hardware", "device", "threads", "torch")}
    threads = f", threads {known['threads']}" if known["device"] == "cpu" else ""
    return f"{known['hardware']} ({known['device']}{threads}), torch {known['torch']}"


def differing_settings(entry: Entry, record: Record) -> list[str]:
    """Return the settings of a run that differ from its row's current ones, as `name = value`."""
    place, row = Place(out=Path()), entry.row
    try:
        current = flat_settings(row.config(place) if isinstance(row, TeacherRun) else row.config(place, None))
        kind = TrainConfig if isinstance(row, TeacherRun) else DistillConfig
        # Read as a configuration, so that settings newer than the record have their defaults.
        recorded = flat_settings(configure(kind, {**record.config, "out": place.out}))
    except UsageError as error:
        return [f"of another version ({error})"]
    # The seed has its own column, a teacher that was allowed to be weak teaches like any other, and options are
    # compared by their resolved values.
    ignored = {*PLACE, "seed", "set"}
    names = [n for n in {**current, **recorded} if n not in ignored and recorded.get(n) != current.get(n)]
    return [format_setting(name, recorded.get(name)) for name in names] or _differing_options(row, record)


def _differing_options(row: Row | TeacherRun, record: Record) -> list[str]:
    """Return the options of a run's terms whose current value differs, by a new default or a new catalog.

    Records of earlier versions contain only the options that were set. They are compared with those of the row, with
    and without the suite's for the pair.
    """
    if isinstance(row, TeacherRun):
        return []
    variant = row.suite.settings(row.pair, row.label)
    if not record.objective:
        explicit = parse_options(record.config.get("set", ()))
        same = explicit in (parse_options(variant.set), parse_options(row.suite.variant(row.label).set))
        return [] if same else [format_setting("set", record.config.get("set", []))]
    current = _flat_options(json.loads(json.dumps(resolved_options(variant.method, parse_options(variant.set)))))
    recorded = _flat_options(record.objective)
    return [format_setting(n, value) for n, value in recorded.items() if n in current and value != current[n]]


def _flat_options(options: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{term}.{name}": value for term, values in options.items() for name, value in values.items()}


def _letter(position: int) -> str:
    """Return a, b, … z, aa, ab and so on."""
    tens, ones = divmod(position, 26)
    return (_letter(tens - 1) if tens else "") + chr(ord("a") + ones)


@dataclass(frozen=True)
class Line:
    """A row of a table: runs of one method, or variant, on one pair under the same conditions.

    Attributes:
        label: method or variant.
        method: the method.
        mark: empty for runs under the pair's main conditions, else stars.
        lacking: seeds of the suite without a finished run, if there are fewer runs than the suite has seeds.
        runs: its finished runs, as in `run_frame`; failed ones are last.
        published: the published number.
        to_published: our mean minus the published number.
        to_baseline: paired difference to the baseline's row.
        provenance: number of runs for each footnote: `2 a, 1 b`.
    """

    label: str
    method: str
    mark: str
    lacking: tuple[int, ...]
    runs: Frame
    published: Published | None
    to_published: Difference | None
    to_baseline: Difference | None
    provenance: str

    @property
    def name(self) -> str:
        """Name of the row in a table."""
        return f"{self.label} {self.mark}".rstrip()

    @property
    def top1(self) -> dict[int, float]:
        """Seed → accuracy after the last epoch, in percent."""
        return _by_seed(self.runs, "top1_last")

    @property
    def reasons(self) -> dict[tuple[str, str], tuple[int, ...]]:
        """Status and reason of the runs without a number → their seeds."""
        failed = self.runs[self.runs["top1_last"].isna()]
        return {key: tuple(seeds) for key, seeds in failed.groupby(["status", "reason"], sort=False)["seed"]}

    def values(self, measure: str) -> list[float]:
        """Return a measure of all runs that have it."""
        return self.runs[measure].dropna().astype(float).tolist()


@dataclass(frozen=True)
class PairTable:
    """All rows of a pair, with its teacher.

    Attributes:
        pair: teacher and student.
        lines: rows in the order of the suite, then those that the suite does not list.
        teacher: accuracy of each file of teacher's weights, in percent, as text → the end of its path; where splits
            depend on the seed, mean and deviation.
        teacher_published: published accuracy of the teacher.
        conditions: mark → conditions of the rows with this mark.
    """

    pair: Pair
    lines: tuple[Line, ...]
    teacher: Mapping[str, str]
    teacher_published: Published | None
    conditions: Mapping[str, Conditions]

    @property
    def started(self) -> bool:
        """Whether any row has a finished run."""
        return any(len(line.runs) for line in self.lines)


@dataclass(frozen=True)
class SuiteTable:
    """All results of a suite.

    Attributes:
        suite: the suite.
        baseline: the row that the others are compared with.
        pairs: a table for each pair.
        notes: the footnotes, letter and text.
        teachers: name → runs that trained this teacher, and their footnotes.
        left_out: rows that have runs but are not defined by the suite.
    """

    suite: Suite
    baseline: str
    pairs: tuple[PairTable, ...]
    notes: tuple[tuple[str, str], ...]
    teachers: Mapping[str, tuple[Sequence[Entry], str]]
    left_out: tuple[str, ...]


def tabulate(suite: Suite, entries: Sequence[Entry], *, baseline: str | None = None) -> SuiteTable:
    """Return the tables of a suite.

    Args:
        suite: the suite.
        entries: its finished runs.
        baseline: row to compare with; default: the suite's.

    Raises:
        UsageError: on an unknown baseline.
    """
    against = baseline or suite.baseline
    suite.variant(against)
    notes = Footnotes()
    runs = run_frame(entries)
    known = runs["label"].map(suite.knows).astype(bool)
    pairs = tuple(_pair_table(suite, p, runs[known & (runs["pair"] == p)], against, notes) for p in suite.pairs)
    trainings: dict[str, list[Entry]] = {}
    for entry in entries:
        if isinstance(entry.row, TeacherRun):
            trainings.setdefault(entry.row.model, []).append(entry)
    teachers = {model: (trained, notes.mark(_provenances(trained))) for model, trained in trainings.items()}
    left_out = tuple(dict.fromkeys(runs.loc[~known, "row"]))
    return SuiteTable(suite, against, pairs, notes.notes, teachers, left_out)


def limited(
    suite: Suite, entries: Sequence[Entry], *, methods: Sequence[str] = (), seeds: Sequence[int] = ()
) -> tuple[Suite, list[Entry]]:
    """Return a suite and its runs restricted to some rows and seeds; default: all."""
    selected = [
        entry
        for entry in entries
        if isinstance(entry.row, TeacherRun)
        or ((not methods or entry.row.label in methods) and (not seeds or entry.row.seed in seeds))
    ]
    return replace(suite, methods=tuple(methods) or suite.methods, seeds=tuple(seeds) or suite.seeds), selected


METRICS = ("top1_last", "top1_best", "top5", "ece", "agreement", "at_chance")
COLUMNS = (
    "pair", "row", "label", "seed", "status", "reason", *METRICS, "diagonal_mass", "evaluations", "minutes",
    "conditions", "teacher_top1", "teacher_weights", "commit", "hardware", "provenance",
)  # fmt: skip


def run_frame(entries: Iterable[Entry]) -> Frame:
    """Return a table with a line for each finished run of a row, without numbers where it has no record."""
    lines = [_run(entry.row, entry) for entry in entries if isinstance(entry.row, Row)]
    return pd.DataFrame(lines, columns=COLUMNS, dtype=object)


def _run(row: Row, entry: Entry) -> dict[str, Any]:
    run = {"pair": row.pair, "row": row.name, "label": row.label, "seed": row.seed}
    run |= {"status": entry.status, "reason": entry.reason}
    record = entry.record
    if record is None:
        return run
    # Where splits depend on the seed, each seed has its own teacher, and runs of one seed are compared.
    teacher = _teacher_top1(record)
    conditions = Conditions(tuple(differing_settings(entry, record)), None if row.suite.split_by_seed else teacher)
    diagnostics = (record.epochs[-1].get("diagnostics") if record.epochs else None) or {}
    mass = diagnostics.get("diagonal_mass")
    weights = record.config.get("teacher_weights")
    return run | {
        **{name: record.metrics.get(name) for name in METRICS},
        "diagonal_mass": None if mass is None else 100 * float(mass),
        "evaluations": sum("test_top1" in epoch for epoch in record.epochs),
        "minutes": record.wall_seconds / 60,
        "conditions": conditions,
        "teacher_top1": teacher,
        "teacher_weights": "" if weights is None else "/".join(PurePath(weights).parts[-2:]),
        "commit": record.commit or "unknown",
        "hardware": str(record.environment.get("hardware")),
        "provenance": provenance(record, conditions.settings),
    }


def _provenances(entries: Iterable[Entry]) -> list[str]:
    return [provenance(e.record, differing_settings(e, e.record)) for e in entries if e.record is not None]


def _pair_table(suite: Suite, pair: Pair, runs: Frame, baseline: str, notes: Footnotes) -> PairTable:
    published = {} if suite.published is None else read_published(suite.published)
    marks = _marks(runs["conditions"].dropna())
    runs = runs.assign(mark=[marks.get(conditions) for conditions in runs["conditions"]])
    parts = [
        (label, mark, part)
        for label in dict.fromkeys([*suite.methods, *runs["label"]])
        for mark, part in _by_mark(runs[runs["label"] == label])
    ]
    base = {mark: _by_seed(part, "top1_last") for label, mark, part in parts if label == baseline}
    lines = []
    for label, mark, part in parts:
        # A published number of a method is not one of its variants.
        number = None if label in suite.variants else find_published(published, pair.teacher, pair.student, label)
        reached = _by_seed(part, "top1_last")
        lacking = (
            [] if mark or len(part) >= len(suite.seeds) else [s for s in suite.seeds if s not in set(part["seed"])]
        )
        to_baseline = None if label == baseline else paired(reached, base.get(mark, {}), overlap=suite.overlap)
        lines.append(
            Line(
                label=label,
                method=suite.variant(label).method,
                mark=mark,
                lacking=tuple(lacking),
                runs=part,
                published=number,
                to_published=None if number is None else against_number([*reached.values()], number.top1),
                to_baseline=to_baseline,
                provenance=notes.mark(part["provenance"].dropna()),
            )
        )
    teacher = {
        f"{run.teacher_top1:.2f}": run.teacher_weights for run in runs.dropna(subset="teacher_top1").itertuples()
    }
    if suite.split_by_seed and teacher:
        teacher = {spread([*_by_seed(runs, "teacher_top1").values()]): "one for each seed"}
    stated = published.get((pair.teacher, pair.student, "Teacher"))
    return PairTable(pair, tuple(lines), teacher, stated, {mark: conditions for conditions, mark in marks.items()})


def _marks(conditions: Iterable[Conditions]) -> dict[Conditions, str]:
    """Return conditions → mark: none for the most frequent ones with the suite's settings, stars for others."""
    sizes = Counter(conditions)
    usual = max(sizes, key=sizes.__getitem__, default=Conditions()).teacher
    main = max((c for c in sizes if not c.settings), key=sizes.__getitem__, default=Conditions((), usual))
    return {main: ""} | {other: "*" * n for n, other in enumerate((c for c in sizes if c != main), start=1)}


def _by_mark(runs: Frame) -> list[tuple[str, Frame]]:
    """Return mark and runs of each line of a row; runs without a number belong to the first line."""
    if not len(runs):
        return [("", runs)]
    runs = runs.sort_values("mark", kind="stable", na_position="last")
    first = next(iter(runs["mark"].dropna()), "")
    return [*runs.groupby(runs["mark"].fillna(first))]


def _by_seed(runs: Frame, measure: str) -> dict[int, float]:
    measured = runs.dropna(subset=measure)
    return dict(zip(measured["seed"].tolist(), measured[measure].astype(float).tolist(), strict=True))


def _teacher_top1(record: Record) -> float | None:
    """Return the accuracy of a run's teacher with the digits that tables show."""
    top1 = (record.teacher_metrics or {}).get("top1")
    return None if top1 is None else round(float(top1), 2)
