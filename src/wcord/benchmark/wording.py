"""What the tables of a suite say, cell by cell, before it becomes Markdown or a page."""

from dataclasses import dataclass
from statistics import fmean

from wcord.benchmark.published import DOUBTS, Published
from wcord.benchmark.results import PairTable, SuiteTable
from wcord.benchmark.statistics import Difference
from wcord.methods.catalogue import METHODS
from wcord.report.tables import MISSING, spread

MARKS: dict[str, str] = dict(zip(DOUBTS.values(), "†‡§¶", strict=True))
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
    shown = [line.published for pair in begun for line in pair.lines if not line.missing]
    doubts = dict.fromkeys(published.doubt for published in shown if published is not None)
    notes = [_how_to_read(table, with_published=bool(sources))] if begun else []
    notes += [f"{MARKS[doubt]} {doubt}." for doubt in doubts if doubt]
    notes += [f"[{number}] {source}" for source, number in sources.items()]
    notes += [f"({letter}) {told}" for letter, told in table.notes]
    if idle := [f"{pair.pair.teacher} → {pair.pair.student}" for pair in table.pairs if not pair.begun]:
        notes.append(f"Not run yet: {', '.join(idle)}.")
    return SuiteText(table.suite.title, table.suite.protocol, texts, tuple(notes))


def _how_to_read(table: SuiteTable, *, with_published: bool) -> str:
    told = "Top-1 on the test set after the last epoch: mean ± sample standard deviation (number of seeds)."
    if with_published:
        told += " Ours − published: with the standard error of our mean."
    told += (
        f" − {table.baseline}: mean difference over common seeds, with its standard error; p of the paired t-test. "
        "Best: the epoch that was best on the test set, which flatters. Runs: number, and where they were made."
    )
    return told


def _text(pair: PairTable, table: SuiteTable, sources: dict[str, int]) -> Text:
    lines = [line for line in pair.lines if not line.missing]
    with_published = any(line.published is not None for line in lines)
    headings = ["method", "top-1 last, %"]
    headings += ["published, %", "ours − published"] if with_published else []
    headings += [f"− {table.baseline}", "p", "best, % (chosen on test)", "agreement, %", "minutes", "runs"]
    rows: list[tuple[str, ...]] = []
    for line in lines:
        told = spread([*line.top1.values()]) if line.top1 else " / ".join(dict(line.reasons))
        published = [_published(line.published, sources), _difference(line.to_published)] if with_published else []
        rows.append(
            (
                line.label,
                told,
                *published,
                _difference(line.to_baseline),
                MISSING if line.to_baseline is None or line.to_baseline.p is None else f"{line.to_baseline.p:.2g}",
                spread(line.measured("top1_best")),
                spread(line.measured("agreement"), 1),
                MISSING if not line.minutes else f"{fmean(line.minutes):.1f}",
                line.runs or MISSING,
            )
        )
    return Text(
        f"{pair.pair.teacher} → {pair.pair.student}", _teacher(pair), tuple(headings), tuple(rows), _remarks(pair)
    )


def _teacher(pair: PairTable) -> str:
    reached = " and ".join(f"{top1:.2f} %" for top1 in pair.teacher) or "not measured"
    stated = "" if pair.teacher_published is None else f" (published: {pair.teacher_published.top1:.2f} %)"
    return f"Teacher {pair.pair.teacher}: {reached}{stated}."


def _published(published: Published | None, sources: dict[str, int]) -> str:
    if published is None:
        return MISSING
    number = sources.setdefault(published.source, len(sources) + 1)
    return f"{published.top1:.2f} {MARKS.get(published.doubt, '')}[{number}]"


def _difference(difference: Difference | None) -> str:
    if difference is None:
        return MISSING
    error = "" if difference.error is None else f" ± {difference.error:.2f}"
    count = f" ({difference.n})" if difference.n > 1 else ""
    return f"{difference.value:+.2f}{error}{count}".replace("-", "−")


def _remarks(pair: PairTable) -> tuple[str, ...]:
    remarks = [f"{line.label} {status}: {reason}" for line in pair.lines for status, reason in line.reasons]
    remarks += [
        f"{line.label} ships another network than {pair.pair.student}: it does not compare."
        for line in pair.lines
        if line.top1 and any(METHODS[summand].adapt_student for summand in line.method.split("+"))
    ]
    partly = [
        f"{line.label} (seed {', '.join(map(str, line.lacking))})"
        for line in pair.lines
        if line.lacking and not line.missing
    ]
    if whole := [line.label for line in pair.lines if line.missing]:
        remarks.append(f"Missing: {', '.join(whole)}.")
    if partly:
        remarks.append(f"Missing in part: {', '.join(partly)}.")
    return tuple(remarks)
