"""The tables of a suite as files: Markdown, comma-separated values and a page."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wcord.benchmark.page import page
from wcord.benchmark.results import Line, PairTable, SuiteTable
from wcord.benchmark.statistics import Difference, deviation, mean
from wcord.benchmark.wording import SuiteText, put_in_words
from wcord.marks import comment, is_page_of, is_table, is_text_of
from wcord.overwriting import Output, require_writable, write_output
from wcord.terminal import printable


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
