"""The tables of a suite as files: Markdown, comma-separated values and a page with a figure for each pair."""

import importlib.resources
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from wcord.benchmark.published import DOUBTS, Published
from wcord.benchmark.results import Conditions, Frame, Line, PairTable, SuiteTable
from wcord.benchmark.statistics import Difference, deviation, mean
from wcord.marks import comment, generator, is_page_of, is_table, is_text_of
from wcord.methods.catalogue import METHODS, is_reconstruction
from wcord.overwriting import Output, require_writable, write_output
from wcord.report import canvas
from wcord.report.tables import MISSING, spread
from wcord.terminal import printable

MARKS: dict[str, str] = dict(zip(DOUBTS.values(), "†‡§‖¶", strict=True))
"""Why a published number is not confirmed → its mark in tables."""

LINE_HEIGHT = 0.3
"""Height of a row in a figure, in inches."""


def _or_older(marked: Callable[[Path], bool]) -> Callable[[Path], bool]:
    """Return a test that also accepts files of earlier versions, which only the table beside them identifies."""
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
    contents = {
        "tables.md": f"{comment('benchmark')}\n\n{markdown(table)}",
        "tables.html": page(table),
        "tables.csv": csv_text(table),
    }
    for name, content in contents.items():
        write_output(folder / name, content.encode(), TABLES[name], flag="the suite's file")
    return [folder / name for name in TABLES]


def require_tables(folder: Path) -> None:
    """Raise if a suite's tables would replace other files.

    Raises:
        UsageError: naming the first of them.
    """
    for name, output in TABLES.items():
        require_writable(folder / name, output, flag="the suite's file")


def markdown(table: SuiteTable, *, level: int = 1) -> str:
    """Return the tables as Markdown, with a title of this level."""
    text = describe(table)
    parts = [f"{'#' * level} {text['title']}", text["protocol"]]
    for pair in text["pairs"]:
        cells = pair["cells"].map(escaped)
        cells["method"] = pair["cells"]["method"].map(code)
        parts += [f"{'#' * (level + 1)} {pair['title']}", pair["teacher"], markdown_table(cells).rstrip()]
        parts += ["\n".join(f"- {escaped(remark)}" for remark in pair["remarks"])] if pair["remarks"] else []
    if text["notes"]:
        parts.append("  \n".join(map(escaped, text["notes"])))
    return "\n\n".join(parts) + "\n"


def markdown_table(cells: Frame, *, texts: int = 1) -> str:
    """Return a Markdown table from a table of strings.

    Args:
        cells: the strings.
        texts: number of leading columns that are set flush left; the others are numbers.
    """
    rule = [":---"] * texts + ["---:"] * (len(cells.columns) - texts)
    return "".join(f"| {' | '.join(row)} |\n" for row in (cells.columns, rule, *cells.itertuples(index=False)))


def csv_text(table: SuiteTable) -> str:
    """Return a line for each row of each pair, missing ones included: plain numbers, empty if not measured."""
    lines = [_numbers(table, pair, line) for pair in table.pairs for line in pair.lines]
    return pd.DataFrame(lines, dtype=object).to_csv(index=False, lineterminator="\n")


def page(table: SuiteTable) -> str:
    """Return the tables as one self-contained HTML page."""
    template = importlib.resources.files("wcord.benchmark").joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    figures = [_figure(pair, number) for number, pair in enumerate(_started(table))]
    # Figures come from matplotlib; all other text is escaped.
    return environment.from_string(template).render(
        generator=Markup(generator("benchmark")), suite=describe(table), figures=figures, svg=Markup, code=_html_code
    )


def describe(table: SuiteTable) -> dict[str, Any]:
    """Return what the tables show, as text.

    Returns:
        title, protocol, notes (footnotes below the tables), and pairs: for each pair with a finished run its title,
        teacher (a sentence), cells (a table of strings), remarks (sentences below), published (whether a row with
        runs has a published number).
    """
    started, sources = _started(table), _Sources()
    pairs = [
        {
            "title": f"{pair.pair.teacher} → {pair.pair.student}",
            "teacher": _teacher(pair, table, sources),
            "cells": _cells(pair, table.baseline, sources),
            "remarks": _remarks(pair),
            "published": any(line.published is not None for line in pair.lines if line.top1),
        }
        for pair in started
    ]
    notes = [_legend(table, [pair["cells"].columns for pair in pairs])] if pairs else []
    shown = [
        number for pair in started for number in (pair.teacher_published, *(line.published for line in _lines(pair)))
    ]
    notes += [f"{MARKS[doubt]} {doubt}." for doubt in dict.fromkeys(n.doubt for n in shown if n is not None) if doubt]
    notes += [f"[{number}] {source}" for source, number in sources.items()]
    notes += [f"({letter}) {text}" for letter, text in table.notes]
    if idle := [f"{pair.pair.teacher} → {pair.pair.student}" for pair in table.pairs if not pair.started]:
        notes.append(f"Not run yet: {', '.join(idle)}.")
    if table.left_out:
        notes.append(f"Left out, because the suite does not define these rows: {', '.join(table.left_out)}.")
    return {"title": table.suite.title, "protocol": table.suite.protocol, "pairs": pairs, "notes": notes}


class _Sources(dict[str, int]):
    """Source → its number among the notes."""

    def cell(self, published: Published | None) -> str:
        if published is None:
            return MISSING
        number = self.setdefault(published.source, len(self) + 1)
        others = sorted({f"{top1:.2f}" for top1, _ in published.others} - {f"{published.top1:.2f}"})
        span = f", others {'–'.join(dict.fromkeys((others[0], others[-1])))}" if others else ""
        return f"{published.top1:.2f} {MARKS.get(published.doubt, '')}[{number}]{span}"


def _started(table: SuiteTable) -> list[PairTable]:
    return [pair for pair in table.pairs if pair.started]


def _lines(pair: PairTable) -> list[Line]:
    """Return the rows with a finished run."""
    return [line for line in pair.lines if len(line.runs)]


def _cells(pair: PairTable, baseline: str, sources: _Sources) -> Frame:
    cells = pd.DataFrame(
        {
            "method": line.name,
            "top-1 last, %": spread([*line.top1.values()]) if line.top1 else _statuses(line),
            "published, %": sources.cell(line.published),
            "ours − published": _difference(line.to_published, line),
            f"− {baseline}": _difference(line.to_baseline, line),
            "p": MISSING if line.to_baseline is None or line.to_baseline.p is None else f"{line.to_baseline.p:.2g}",
            "best, % (chosen on test)": spread(line.values("top1_best")),
            "agreement, %": spread(line.values("agreement"), 1),
            "on the diagonal, %": spread(line.values("diagonal_mass"), 1),
            "minutes": f"{fmean(line.values('minutes')):.1f}" if line.top1 else MISSING,
            "runs": line.provenance or MISSING,
        }
        for line in _lines(pair)
    )
    shown = {
        "published, %": any(line.published is not None for line in _lines(pair)),
        "ours − published": any(line.published is not None for line in _lines(pair)),
        # Runs that were evaluated only once have no best epoch.
        "best, % (chosen on test)": any(max(line.values("evaluations"), default=0) > 1 for line in pair.lines),
        "on the diagonal, %": any(line.values("diagonal_mass") for line in pair.lines),
    }
    return cells.drop(columns=[name for name, has_content in shown.items() if not has_content])


def _statuses(line: Line) -> str:
    return " / ".join(dict.fromkeys(line.runs["status"])) or "missing"


def _difference(difference: Difference | None, line: Line) -> str:
    if difference is None:
        return MISSING
    return f"{difference} ({difference.n})" if difference.n > 1 or difference.n != len(line.top1) else str(difference)


def _legend(table: SuiteTable, columns: Sequence[Iterable[str]]) -> str:
    """Return how to read the columns."""
    present = {name for names in columns for name in names}
    text = "Top-1 on the evaluation split after the last epoch: mean ± sample standard deviation (number of seeds)."
    if "published, %" in present:
        text += " Ours − published: with the standard error of our mean."
    text += f" − {table.baseline}: mean difference over common seeds ± its standard error; p of the paired t-test"
    if table.suite.overlap:
        text += ", both corrected for the samples that splits share (Nadeau and Bengio 2003)"
    if "best, % (chosen on test)" in present:
        text += ". Best: the best epoch, chosen on the test set and therefore optimistic"
    return text + (
        ". On the diagonal: mass of the transport plan in the last epoch that joins a sample to itself. Runs: their "
        "number, by the footnote that says where they were made."
    )


def _teacher(pair: PairTable, table: SuiteTable, sources: _Sources) -> str:
    """Return the accuracy of the teachers, the published one, and that of the suite's own training."""
    name = pair.pair.teacher
    measured = [f"{top1} %{f' ({weights})' if weights else ''}" for top1, weights in pair.teacher.items()]
    published = "" if pair.teacher_published is None else f"; published: {sources.cell(pair.teacher_published)} %"
    text = f"Teacher {name}: {' and '.join(measured) or 'not measured'}{published}."
    entries, footnote = table.teachers.get(name, ((), ""))
    for entry in entries:
        if entry.record is None:
            return f"{text} Its training {_state(entry.status)}: {entry.reason}."
    records = [entry.record for entry in entries if entry.record is not None]
    if not records:
        return text
    top1 = spread([float(record.metrics["top1_last"]) for record in records])
    minutes = fmean(record.wall_seconds for record in records) / 60
    return f"{text} Trained by the suite to {top1} % in {minutes:.1f} minutes ({footnote})."


def _state(status: str) -> str:
    return status if status == "failed" else f"is {status}"


def _remarks(pair: PairTable) -> list[str]:
    names: dict[tuple[str, str, tuple[int, ...]], list[str]] = {}
    for line in pair.lines:
        for (status, reason), seeds in line.reasons.items():
            names.setdefault((status, reason, seeds), []).append(line.name)
    remarks = [
        f"{', '.join(who)} {status} ({_seeds(seeds)}): {reason}" for (status, reason, seeds), who in names.items()
    ]
    remarks += [
        f"Rows marked {mark}: {_differing(conditions, pair.conditions[''])}; compared only with each other."
        for mark, conditions in pair.conditions.items()
        if mark
    ]
    remarks += [
        f"{line.name} ships a network other than {pair.pair.student} and is not comparable."
        for line in pair.lines
        if line.top1 and any(METHODS[term].adapt_student for term in line.method.split("+"))
    ]
    rebuilt = [line.name for line in pair.lines if line.top1 and is_reconstruction(line.method)]
    remarks += [f"Reconstructions, not their authors' method: {', '.join(rebuilt)}."] if rebuilt else []
    at_chance = {line.name: line.runs.loc[line.runs["at_chance"].eq(True), "seed"] for line in pair.lines}
    remarks += [
        f"{name} is at chance ({_seeds(seeds)}): a difference from it says nothing about the method."
        for name, seeds in at_chance.items()
        if len(seeds)
    ]
    partly = [f"{line.name} ({_seeds(line.lacking)})" for line in pair.lines if line.lacking and len(line.runs)]
    remarks += [f"Missing in part: {', '.join(partly)}."] if partly else []
    missing = [line.name for line in pair.lines if not len(line.runs)]
    return [*remarks, f"Not run yet: {', '.join(missing)}."] if missing else remarks


def _seeds(seeds: Iterable[int]) -> str:
    return f"seed {', '.join(map(str, seeds))}"


def _differing(conditions: Conditions, main: Conditions) -> str:
    parts = [", ".join(conditions.settings)] if conditions.settings else []
    if conditions.teacher != main.teacher:
        parts.append(f"a teacher of {MISSING if conditions.teacher is None else f'{conditions.teacher:.2f} %'}")
    return " and ".join(parts)


def _figure(pair: PairTable, number: int) -> str:
    """Draw each row's seeds, their mean and the published number; empty if no row has a number."""
    lines = sorted((line for line in pair.lines if line.top1), key=_mean)
    if not lines:
        return ""
    figure, (ax,) = canvas.new_figure(2 * canvas.HALF, 0.9 + LINE_HEIGHT * len(lines))
    for height, line in enumerate(lines):
        seeds = [*line.top1.values()]
        ax.plot(seeds, [height] * len(seeds), "o", color=canvas.RUN_COLORS[0], alpha=0.5, markersize=5)
        ax.plot([_mean(line)], [height], "|", color=canvas.TEXT, markersize=14, markeredgewidth=2)
        if line.published is not None:
            faint = 0.45 if line.published.doubt else 1.0
            ax.plot([line.published.top1], [height], "D", color=canvas.RUN_COLORS[1], alpha=faint, markersize=5)
    ax.set_yticks(range(len(lines)), [printable(line.name) for line in lines])
    ax.set_ylim(-0.6, len(lines) - 0.4)
    canvas.label(ax, x="test top-1 after the last epoch, %")
    return canvas.svg(figure, f"pair{number}")


def _mean(line: Line) -> float:
    return fmean(line.top1.values())


def _numbers(table: SuiteTable, pair: PairTable, line: Line) -> dict[str, Any]:
    """Return a row's numbers by the names of the CSV's columns."""
    values = [*line.top1.values()]
    conditions, published = pair.conditions.get(line.mark, Conditions()), line.published
    to_published, to_baseline = line.to_published, line.to_baseline
    return {
        "suite": table.suite.name,
        "teacher": pair.pair.teacher,
        "student": pair.pair.student,
        "row": line.label,
        "method": line.method,
        "other_settings": "; ".join(conditions.settings),
        "teacher_top1": conditions.teacher,
        "status": _statuses(line),
        "reason": " / ".join(dict.fromkeys(reason for _, reason in line.reasons)),
        "seeds": " ".join(map(str, line.top1)),
        "top1_mean": mean(values),
        "top1_std": deviation(values),
        "n": len(values),
        "published": None if published is None else published.top1,
        "published_source": None if published is None else published.source,
        "published_doubt": None if published is None else published.doubt,
        "to_published": None if to_published is None else to_published.value,
        "to_published_error": None if to_published is None else to_published.error,
        "baseline": table.baseline,
        "to_baseline": None if to_baseline is None else to_baseline.value,
        "to_baseline_error": None if to_baseline is None else to_baseline.error,
        "to_baseline_p": None if to_baseline is None else to_baseline.p,
        "to_baseline_n": None if to_baseline is None else to_baseline.n,
        "best_on_test_mean": mean(line.values("top1_best")),
        **{
            f"{name}_mean": mean(line.values(name)) for name in ("top5", "ece", "agreement", "diagonal_mass", "minutes")
        },
        "commits": " ".join(dict.fromkeys(line.runs["commit"].dropna())),
        "hardware": " / ".join(dict.fromkeys(line.runs["hardware"].dropna())),
    }


def code(name: str) -> str:
    """Return a name set as code in a cell of a Markdown table."""
    return f"`{printable(name).replace('`', chr(39)).replace('|', chr(92) + '|')}`"


def escaped(text: str) -> str:
    """Return a text in which Markdown finds no cell border and no emphasis."""
    return text.replace("|", "\\|").replace("*", "\\*")


def _html_code(text: str) -> Markup:
    """Return a text with the parts between backticks set as code."""
    parts = [escape(part) for part in text.split("`")]
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))
