"""What the tables of a suite say, cell by cell, before it becomes Markdown or a page."""

from dataclasses import dataclass
from statistics import fmean

from wcord.benchmark.published import DOUBTS, Published
from wcord.benchmark.results import Group, PairTable, SuiteTable
from wcord.benchmark.statistics import Difference
from wcord.methods.catalogue import METHODS
from wcord.report.tables import MISSING, spread

MARKS: dict[str, str] = dict(zip(DOUBTS.values(), "†‡§‖¶", strict=True))
"""Why a published number is not confirmed → the mark that it bears."""


@dataclass(frozen=True)
class Text:
    """A pair's table in words.

    Attributes:
        title: teacher and student.
        teacher: a sentence on the teacher.
        headings: of the columns; the first holds names, the others numbers.
        rows: a cell for each heading.
        remarks: what has to be said below.
    """

    title: str
    teacher: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class SuiteText:
    """The tables of a suite in words: one for each pair that has begun, and the notes that they share."""

    title: str
    protocol: str
    texts: tuple[Text, ...]
    notes: tuple[str, ...]


def put_in_words(table: SuiteTable) -> SuiteText:
    """Return what the tables of a suite say."""
    sources: dict[str, int] = {}
    begun = [pair for pair in table.pairs if pair.begun]
    texts = tuple(_text(pair, table, sources) for pair in begun)
    shown = [one for pair in begun for one in (pair.teacher_published, *(line.published for line in pair.lines))]
    doubts = dict.fromkeys(published.doubt for published in shown if published is not None)
    with_best = any(map(_with_best, begun))
    notes = [_how_to_read(table, with_published=bool(sources), with_best=with_best)] if begun else []
    notes += [f"{MARKS[doubt]} {doubt}." for doubt in doubts if doubt]
    notes += [f"[{number}] {source}" for source, number in sources.items()]
    notes += [f"({letter}) {told}" for letter, told in table.notes]
    if idle := [f"{pair.pair.teacher} → {pair.pair.student}" for pair in table.pairs if not pair.begun]:
        notes.append(f"Not run yet: {', '.join(idle)}.")
    if table.left_out:
        notes.append(f"Left out, since the suite does not know these rows: {', '.join(table.left_out)}.")
    return SuiteText(table.suite.title, table.suite.protocol, texts, tuple(notes))


def _how_to_read(table: SuiteTable, *, with_published: bool, with_best: bool) -> str:
    told = "Top-1 on the evaluation split after the last epoch: mean ± sample standard deviation (number of seeds)."
    if with_published:
        told += " Ours − published: with the standard error of our mean."
    told += f" − {table.baseline}: mean difference over common seeds, with its standard error; p of the paired t-test"
    if table.suite.overlap:
        told += ", both corrected for the samples that splits share (Nadeau and Bengio 2003)"
    told += ". Best: the epoch that was best on the test set, which flatters." if with_best else "."
    return told + (
        " On the diagonal: mass of the transport plan that stays with its own sample, in the last epoch. Runs: number, "
        "and where they were made."
    )


def _with_best(pair: PairTable) -> bool:
    """Return whether runs were evaluated more than once, so that one of their epochs was best."""
    records = (entry.record for line in pair.lines for entry in line.entries if entry.record is not None)
    return any(sum("test_top1" in epoch for epoch in record.epochs) > 1 for record in records)


def _text(pair: PairTable, table: SuiteTable, sources: dict[str, int]) -> Text:
    teacher = _teacher(pair, table, sources)
    with_published = any(line.published is not None for line in pair.lines)
    headings = ["method", "top-1 last, %"]
    headings += ["published, %", "ours − published"] if with_published else []
    with_plans = any(line.diagonal for line in pair.lines)
    headings += [f"− {table.baseline}", "p"]
    with_best = _with_best(pair)
    headings += ["best, % (chosen on test)"] if with_best else []
    headings += ["agreement, %"]
    headings += ["on the diagonal, %"] if with_plans else []
    headings += ["minutes", "runs"]
    rows: list[tuple[str, ...]] = []
    for line in pair.lines:
        n = len(line.top1)
        statuses = dict.fromkeys(status for status, _ in line.reasons)
        told = spread([*line.top1.values()]) if n else " / ".join(statuses) or "missing"
        published = [_published(line.published, sources), _difference(line.to_published, n)] if with_published else []
        rows.append(
            (
                line.name,
                told,
                *published,
                _difference(line.to_baseline, n),
                MISSING if line.to_baseline is None or line.to_baseline.p is None else f"{line.to_baseline.p:.2g}",
                *([spread(line.measured("top1_best"))] if with_best else []),
                spread(line.measured("agreement"), 1),
                *([spread(line.diagonal, 1)] if with_plans else []),
                MISSING if not line.minutes else f"{fmean(line.minutes):.1f}",
                line.runs or MISSING,
            )
        )
    return Text(f"{pair.pair.teacher} → {pair.pair.student}", teacher, tuple(headings), tuple(rows), _remarks(pair))


def _teacher(pair: PairTable, table: SuiteTable, sources: dict[str, int]) -> str:
    """Return what the teachers reached, what was published, and where the suite's own training was made."""
    name = pair.pair.teacher
    used = [f"{top1} %{f' ({weights})' if weights else ''}" for top1, weights in pair.teacher.items()]
    stated = "" if pair.teacher_published is None else f"; published: {_published(pair.teacher_published, sources)} %"
    told = f"Teacher {name}: {' and '.join(used) or 'not measured'}{stated}."
    entries, mark = table.teachers.get(name, ((), ""))
    for entry in entries:
        if entry.record is None:
            return f"{told} Its training {entry.status}: {entry.reason}."
    records = [entry.record for entry in entries if entry.record is not None]
    if not records:
        return told
    top1 = spread([float(record.metrics["top1_last"]) for record in records])
    minutes = fmean(record.wall_seconds for record in records) / 60
    return f"{told} Trained by the suite to {top1} % in {minutes:.1f} minutes ({mark})."


def _published(published: Published | None, sources: dict[str, int]) -> str:
    if published is None:
        return MISSING
    number = sources.setdefault(published.source, len(sources) + 1)
    others = sorted({f"{top1:.2f}" for top1, _ in published.others} - {f"{published.top1:.2f}"})
    more = f", others {'–'.join(dict.fromkeys((others[0], others[-1])))}" if others else ""
    return f"{published.top1:.2f} {MARKS.get(published.doubt, '')}[{number}]{more}"


def _difference(difference: Difference | None, n: int) -> str:
    if difference is None:
        return MISSING
    error = "" if difference.error is None else f" ± {difference.error:.2f}"
    count = f" ({difference.n})" if difference.n > 1 or difference.n != n else ""
    return f"{difference.value:+.2f}{error}{count}".replace("-", "−")


def _remarks(pair: PairTable) -> tuple[str, ...]:
    named: dict[tuple[str, str, tuple[int, ...]], list[str]] = {}
    for line in pair.lines:
        for (status, reason), seeds in line.reasons.items():
            named.setdefault((status, reason, seeds), []).append(line.name)
    remarks = [
        f"{', '.join(names)} {status} (seed {', '.join(map(str, seeds))}): {reason}"
        for (status, reason, seeds), names in named.items()
    ]
    remarks += [
        f"Rows marked {mark}: {_other(group, pair.main)}; compared only among themselves."
        for mark, group in pair.groups.items()
    ]
    remarks += [
        f"{line.name} ships another network than {pair.pair.student}: it does not compare."
        for line in pair.lines
        if line.top1 and any(METHODS[summand].adapt_student for summand in line.method.split("+"))
    ]
    remarks += [
        f"{line.name} is at chance (seed {', '.join(map(str, seeds))}): differences from it say nothing of the method."
        for line in pair.lines
        if (seeds := line.at_chance)
    ]
    partly = [
        f"{line.name} (seed {', '.join(map(str, line.lacking))})"
        for line in pair.lines
        if line.lacking and not line.missing
    ]
    if partly:
        remarks.append(f"Missing in part: {', '.join(partly)}.")
    return tuple(remarks)


def _other(group: Group, main: Group) -> str:
    told = [", ".join(group.settings)] if group.settings else []
    if group.teacher != main.teacher:
        told.append(f"a teacher of {MISSING if group.teacher is None else f'{group.teacher:.2f} %'}")
    return " and ".join(told) or "others"
