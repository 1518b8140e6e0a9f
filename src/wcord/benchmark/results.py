"""From entries to what a table says of each row, as numbers: the same for Markdown, CSV and HTML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wcord.benchmark.entries import Entry
from wcord.benchmark.provenance import Footnotes
from wcord.benchmark.published import Published, find_published, read_published
from wcord.benchmark.rows import Row, TeacherRun
from wcord.benchmark.statistics import Difference, against_number, paired
from wcord.benchmark.suite import Pair, Suite


@dataclass(frozen=True)
class Line:
    """A row of a table.

    Attributes:
        label: method or variant.
        method: the method itself.
        lacking: seeds of the suite that have no settled run.
        entries: its settled runs.
        top1: seed → accuracy of the last epoch, in percent.
        published: what others reached.
        to_published: our mean minus theirs.
        to_baseline: paired difference to the baseline's row.
        runs: how many runs came about in which way, by the letters of the footnotes.
    """

    label: str
    method: str
    lacking: tuple[int, ...] = ()
    entries: tuple[Entry, ...] = ()
    top1: Mapping[int, float] = field(default_factory=dict)
    published: Published | None = None
    to_published: Difference | None = None
    to_baseline: Difference | None = None
    runs: str = ""

    @property
    def reasons(self) -> tuple[tuple[str, str], ...]:
        """Status and reason of the runs that gave no number, each once."""
        return tuple(dict.fromkeys((entry.status, entry.reason) for entry in self.entries if entry.record is None))

    @property
    def missing(self) -> bool:
        """Whether no run has been settled."""
        return not self.entries

    def measured(self, name: str) -> tuple[float, ...]:
        """Return a metric of all seeds."""
        found = (entry.record.metrics.get(name) for entry in self.entries if entry.record is not None)
        return tuple(float(value) for value in found if value is not None)

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
        teacher: accuracies of the teachers' weights that were used, in percent.
        teacher_published: what others' teacher reached.
    """

    pair: Pair
    lines: tuple[Line, ...]
    teacher: tuple[float, ...]
    teacher_published: Published | None

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
        teachers: the trainings of the teachers.
    """

    suite: Suite
    baseline: str
    pairs: tuple[PairTable, ...]
    notes: tuple[tuple[str, str], ...]
    teachers: tuple[Entry, ...]


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
    teachers = tuple(entry for entry in entries if isinstance(entry.row, TeacherRun))
    pairs = tuple(_pair_table(suite, pair, entries, against, notes) for pair in suite.pairs)
    return SuiteTable(suite, against, pairs, tuple(notes.notes), teachers)


def _pair_table(suite: Suite, pair: Pair, entries: Sequence[Entry], baseline: str, notes: Footnotes) -> PairTable:
    table = {} if suite.published is None else read_published(suite.published)
    by_label: dict[str, list[Entry]] = {label: [] for label in suite.methods}
    for entry in entries:
        if isinstance(entry.row, Row) and entry.row.pair == pair:
            by_label.setdefault(entry.row.label, []).append(entry)
    reached = {label: _top1(found) for label, found in by_label.items()}
    lines: list[Line] = []
    for label, found in by_label.items():
        # A variant is not what was published under the name of its method.
        published = None if label in suite.variants else find_published(table, pair.teacher, pair.student, label)
        lines.append(
            Line(
                label=label,
                method=suite.variant(label).method,
                lacking=tuple(seed for seed in suite.seeds if seed not in [entry.row.seed for entry in found]),
                entries=tuple(found),
                top1=reached[label],
                published=published,
                to_published=None if published is None else against_number([*reached[label].values()], published.top1),
                to_baseline=None if label == baseline else paired(reached[label], reached.get(baseline, {})),
                runs=notes.mark(found),
            )
        )
    records = [entry.record for found in by_label.values() for entry in found if entry.record is not None]
    teacher = [round(record.teacher_metrics["top1"], 2) for record in records if record.teacher_metrics is not None]
    return PairTable(
        pair, tuple(lines), tuple(dict.fromkeys(teacher)), table.get((pair.teacher, pair.student, "Teacher"))
    )


def _top1(entries: Sequence[Entry]) -> dict[int, float]:
    return {entry.row.seed: float(entry.record.metrics["top1_last"]) for entry in entries if entry.record is not None}
