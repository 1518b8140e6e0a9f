"""The tables of a suite as files: Markdown, comma-separated values and a page."""

import csv
import importlib.resources
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from wcord.benchmark.published import DOUBTS, Published
from wcord.benchmark.results import Group, Line, PairTable, SuiteTable
from wcord.benchmark.statistics import Difference, deviation, mean
from wcord.marks import comment, generator, is_page_of, is_table, is_text_of
from wcord.methods.catalogue import METHODS
from wcord.overwriting import Output, require_writable, write_output
from wcord.report import canvas
from wcord.report.tables import MISSING, spread
from wcord.terminal import printable

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
        published = (
            [_published(line.published, sources), _difference_cell(line.to_published, n)] if with_published else []
        )
        rows.append(
            (
                line.name,
                told,
                *published,
                _difference_cell(line.to_baseline, n),
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


def _difference_cell(difference: Difference | None, n: int) -> str:
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


LINE_HEIGHT = 0.3
"""Inches that a row of a figure takes."""


def page(text: SuiteText, table: SuiteTable) -> str:
    """Return the page."""
    begun = [pair for pair in table.pairs if pair.begun]
    template = importlib.resources.files("wcord.benchmark").joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        generator=Markup(generator("benchmark")),
        suite=text,
        pairs=[
            (one, _figure(pair, number), any(line.published is not None for line in pair.lines if line.top1))
            for number, (one, pair) in enumerate(zip(text.texts, begun, strict=True))
        ],
        svg=Markup,  # the drawings are ours; everything else is escaped
        code=_code_in_html,
    )


def _code_in_html(text: str) -> Markup:
    """Return text with what stands between backticks set as code."""
    parts = [escape(part) for part in text.split("`")]
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))


def _figure(pair: PairTable, number: int) -> str:
    """Draw each row's seeds, their mean and what was published; empty where no row has a number."""
    lines = sorted((line for line in pair.lines if line.top1), key=_mean)
    if not lines:
        return ""
    figure, (ax,) = canvas.new_figure(2 * canvas.HALF, 0.9 + LINE_HEIGHT * len(lines))
    for height, line in enumerate(lines):
        seeds = [*line.top1.values()]
        ax.plot(seeds, [height] * len(seeds), "o", color=canvas.RUN_COLOURS[0], alpha=0.5, markersize=5)
        ax.plot([_mean(line)], [height], "|", color=canvas.TEXT, markersize=14, markeredgewidth=2)
        if line.published is not None:
            faint = 0.45 if line.published.doubt else 1.0
            ax.plot([line.published.top1], [height], "D", color=canvas.RUN_COLOURS[1], alpha=faint, markersize=5)
    ax.set_yticks(range(len(lines)), [printable(line.name) for line in lines])
    ax.set_ylim(-0.6, len(lines) - 0.4)
    canvas.label(ax, x="test top-1 after the last epoch, %")
    return canvas.svg(figure, f"pair{number}")


def _mean(line: Line) -> float:
    return fmean(line.top1.values())


def _or_older(marked: Callable[[Path], bool]) -> Callable[[Path], bool]:
    """Return what also knows files of earlier versions, which only the table beside them tells."""
    return lambda path: marked(path) or is_table(path.with_name("tables.csv"))


TABLES = {
    "tables.md": Output("a table of wcord benchmark", (".md",), _or_older(is_text_of("benchmark"))),
    "tables.csv": Output("a table of wcord benchmark", (".csv",), is_table),
    "tables.html": Output("a page of wcord benchmark", (".html",), _or_older(is_page_of("benchmark"))),
}


def write_tables(table: SuiteTable, folder: Path) -> list[Path]:
    """Write tables.md, tables.csv and tables.html into a folder and return their paths.

    Raises:
        UsageError: as `require_tables`.
    """
    require_tables(folder)
    text = put_in_words(table)
    contents = {
        "tables.md": f"{comment('benchmark')}\n\n{markdown(text)}",
        "tables.html": page(text, table),
        "tables.csv": csv_text(table),
    }
    for name, content in contents.items():
        write_output(folder / name, content.encode(), TABLES[name], flag="the suite's file")
    return [folder / name for name in TABLES]


def require_tables(folder: Path) -> None:
    """Raise where a suite's tables would replace other files.

    Raises:
        UsageError: naming the first of them.
    """
    for name, output in TABLES.items():
        require_writable(folder / name, output, flag="the suite's file")


def markdown(text: SuiteText, *, level: int = 1) -> str:
    """Return the tables as Markdown, headed by a title of a level."""
    parts = [f"{'#' * level} {text.title}", text.protocol]
    for one in text.texts:
        rule = [":---", *(["---:"] * (len(one.headings) - 1))]
        lines = [list(one.headings), rule, *([_code(row[0]), *map(_escaped, row[1:])] for row in one.rows)]
        parts += [f"{'#' * (level + 1)} {one.title}", one.teacher]
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
        parts += ["\n".join(f"- {_escaped(remark)}" for remark in one.remarks)] if one.remarks else []
    if text.notes:
        parts.append("  \n".join(map(_escaped, text.notes)))
    return "\n\n".join(parts) + "\n"


def csv_text(table: SuiteTable) -> str:
    """Return a line for each row of each pair, missing ones included: plain numbers, empty where there is none."""
    out = io.StringIO()
    lines = [_values(table, pair, line) for pair in table.pairs for line in pair.lines]
    writer = csv.DictWriter(out, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def _values(table: SuiteTable, pair: PairTable, line: Line) -> dict[str, Any]:
    values = [*line.top1.values()]
    group = pair.groups.get(line.mark, pair.main)
    published = line.published
    records = [entry.record for entry in line.entries if entry.record is not None]
    statuses = [entry.status for entry in line.entries]
    return {
        "suite": table.suite.name,
        "teacher": pair.pair.teacher,
        "student": pair.pair.student,
        "row": line.label,
        "method": line.method,
        "other_settings": "; ".join(group.settings),
        "teacher_top1": group.teacher,
        "status": " / ".join(dict.fromkeys(statuses)) or "missing",
        "reason": " / ".join(dict.fromkeys(reason for _, reason in line.reasons)),
        "seeds": " ".join(map(str, line.top1)),
        "top1_mean": mean(values),
        "top1_std": deviation(values),
        "n": len(values),
        "published": None if published is None else published.top1,
        "published_source": None if published is None else published.source,
        "published_doubt": None if published is None else published.doubt,
        **_difference("to_published", line.to_published),
        "baseline": table.baseline,
        **_difference("to_baseline", line.to_baseline),
        "to_baseline_p": None if line.to_baseline is None else line.to_baseline.p,
        "to_baseline_n": None if line.to_baseline is None else line.to_baseline.n,
        "best_on_test_mean": mean(line.measured("top1_best")),
        **{f"{name}_mean": mean(line.measured(name)) for name in ("top5", "ece", "agreement")},
        "diagonal_mass_mean": mean(line.diagonal),
        "minutes_mean": mean(line.minutes),
        "commits": " ".join(dict.fromkeys(record.commit or "unknown" for record in records)),
        "hardware": " / ".join(dict.fromkeys(str(record.environment.get("hardware")) for record in records)),
    }


def _difference(name: str, difference: Difference | None) -> dict[str, float | None]:
    if difference is None:
        return {name: None, f"{name}_error": None}
    return {name: difference.value, f"{name}_error": difference.error}


def _code(name: str) -> str:
    """Return a name set as code, in which only the ends of the code and of the cell mean anything."""
    return f"`{printable(name).replace('`', chr(39)).replace('|', chr(92) + '|')}`"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")
