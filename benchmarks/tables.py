"""Write the generated tables of the documents from the catalog, the suites and the committed records.

    python benchmarks/tables.py

A document holds a table between `<!-- NAME: begin … -->` and `<!-- NAME: end -->`, where NAME is a key of `TABLES`.
"""

import json
import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from math import isnan
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from wcord.benchmark.entries import Entry, entries_of_records
from wcord.benchmark.results import Line, PairTable, SuiteTable, machine, tabulate
from wcord.benchmark.statistics import Difference, paired
from wcord.benchmark.suite import Suite, read_suite, suite_names
from wcord.benchmark.tables import code, markdown, markdown_table
from wcord.methods.catalogue import METHODS, MethodInfo, is_reconstruction
from wcord.report.tables import MISSING, spread

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "benchmarks" / "records"
DOCUMENTS = ("README.md", "benchmarks/README.md", "docs/**/*.md")
HEADLINE = ("mini", "mini_hard")
CONFIRMED = {
    "mini": ("ce", "kd", "lskd", "crd", "crd-std", "gckt", "lckt", "lckt-a", "wcord", "wcord-a",
             "crd+kd", "crd-std+kd", "wcord+kd", "wcord-a+kd"),
    "mini_hard": ("ce", "kd", "crd", "crd-std", "wcord", "wcord-a", "crd+kd", "crd-std+kd", "wcord+kd", "wcord-a+kd"),
}  # fmt: skip
"""Suite → rows with runs on fresh seeds."""
FRESH_SEEDS = {"mini": (3, 4, 5, 6, 7), "mini_hard": (0, 1, 2, 3, 4)}
"""Suite → seeds that were run once, after all choices."""
BASELINES = ("crd", "crd-std", "crd+kd", "crd-std+kd")
TASKS = ("privileged", "crossmodal", "crossdomain", "classes")
"""Prefixes of the suites in which teacher and student have different inputs or classes."""
TASK_ROWS = ("kd", "crd", "wcord", "wcord-a", "wcord+kd")
ORDER = ("mini", "mini_hard", "cifar100_60", "crd13", "strong", "imagenet")
"""Suites in the order of the documents; others follow by name."""

RECONSTRUCTIONS = (
    "**Reconstructions.** Their authors published no code, and their papers leave open what [Six related systems]"
    "(systems.md) names; no value of the authors could be compared."
)


def methods_table() -> str:
    """Return the table of methods, and that of reconstructions below it."""
    published = _methods_table({name: info for name, info in METHODS.items() if not info.reconstruction})
    reconstructions = {name: info for name, info in METHODS.items() if info.reconstruction}
    if not reconstructions:
        return published
    return f"{published}\n{RECONSTRUCTIONS}\n\n{_methods_table(reconstructions)}"


def _methods_table(methods: Mapping[str, MethodInfo]) -> str:
    lines = [
        {
            "method": code(name),
            "what it is": info.title,
            "weight": f"{info.weight:g}",
            "needs": info.needs,
            "from": f"{info.paper} {info.year}",
            "checked against": info.checked,
        }
        for name, info in methods.items()
    ]
    return markdown_table(pd.DataFrame(lines), texts=6)


def headline_tables() -> str:
    """Return the accuracy of each method under both mini protocols, best first."""
    return "\n".join(_headline_table(_table(name)) for name in HEADLINE)


def _headline_table(table: SuiteTable) -> str:
    (pair,) = table.pairs
    rows = _rows(pair).values()
    best_first = sorted((row for row in rows if row.top1), key=lambda row: -fmean(row.top1.values()))
    baseline = f"− {code(table.baseline)}"
    cells = [
        {
            "method": code(row.name),
            "top-1, %": spread([*row.top1.values()]),
            baseline: _difference(row.to_baseline),
        }
        for row in best_first
    ]
    unfit = [row.name for row in rows if len(row.runs) and not row.top1]
    rebuilt = [code(row.name) for row in rows if row.top1 and is_reconstruction(row.method)]
    idle = [row.label for row in rows if row.runs.empty]
    return "\n".join(
        [
            f"### {table.suite.title}\n",
            f"{pair.pair.teacher} ({max(pair.teacher, key=float)} %) → {pair.pair.student}, 30 epochs, all 10,000 test "
            "images, last epoch: mean ± standard deviation (number of seeds; one if not stated); mean difference to "
            f"`{table.baseline}` over common seeds ± its standard error.\n",
            markdown_table(pd.DataFrame(cells)),
            *(
                [f"Not applicable to this pair: {', '.join(unfit)} (see what they [need](methods.md)).\n"]
                if unfit
                else []
            ),
            *([f"Reconstructions, not their authors' method: {', '.join(rebuilt)}.\n"] if rebuilt else []),
            *([f"Not run yet: {', '.join(idle)}.\n"] if idle else []),
        ]
    )


def tasks_table() -> str:
    """Return the gain over labels alone where teacher and student have different inputs or classes."""
    lines = []
    for table in _tables():
        if table.suite.name.startswith(TASKS) and table.pairs[0].started:
            rows = _rows(table.pairs[0])
            compare = partial(_compare, rows, overlap=table.suite.overlap)
            lines.append(
                {
                    "task": table.suite.title,
                    "teacher, %": next(iter(table.pairs[0].teacher), MISSING),
                    "labels alone, %": spread([*rows["ce"].top1.values()]),
                    **{code(label): _difference(compare(label, "ce")) for label in TASK_ROWS},
                    "`wcord` − `crd`": _difference(compare("wcord", "crd")),
                }
            )
    return markdown_table(pd.DataFrame(lines))


def _compare(rows: Mapping[str, Line], label: str, baseline: str, *, overlap: float = 0.0) -> Difference | None:
    if label not in rows or label == baseline:
        return None
    return paired(rows[label].top1, rows[baseline].top1, overlap=overlap)


def confirmation_tables() -> str:
    """Return rows on seeds that no choice was based on, beside each of their baselines, under both mini protocols."""
    parts = []
    for name, labels in CONFIRMED.items():
        rows = _rows(_table(name).pairs[0])
        top1 = {label: {s: v for s, v in rows[label].top1.items() if s in FRESH_SEEDS[name]} for label in labels}
        lines = [
            {
                "method": code(label),
                "top-1 last, %": spread([*top1[label].values()]),
                **{f"− {b}": _tested(None if b == label else paired(top1[label], top1[b])) for b in BASELINES},
            }
            for label in labels
        ]
        parts.append(f"### {_table(name).suite.title}\n\n{markdown_table(pd.DataFrame(lines))}")
    return "\n".join(parts)


def results_tables() -> str:
    """Return the tables of all suites with a finished run."""
    return "\n".join(markdown(table, level=3) for table in _tables() if any(pair.started for pair in table.pairs))


def transfer_tables() -> str:
    """Return the accuracies of probes on frozen students: a table for each file of `wcord probe --out`."""
    return "\n".join(map(_transfer_table, sorted((RECORDS / "transfer").glob("*.json")))) or "Not measured yet.\n"


def _transfer_table(path: Path) -> str:
    results: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    probes = list(results[0]["top1"])
    runs = pd.DataFrame([r | {probe: _mean(top1) for probe, top1 in r["top1"].items()} for r in results])
    runs = runs.set_index("seed")
    student = results[-1]["architecture"]
    base = runs[(runs["architecture"] == student) & (runs["method"] == "ce")]
    lines = []
    for (network, method), group in runs.groupby(["architecture", "method"], sort=False):
        line = [network, code(str(method))]
        for probe in probes:
            compares = network == student and method != "ce"
            difference = paired(group[probe].to_dict(), base[probe].to_dict()) if compares else None
            line += [spread(group[probe].tolist()), _tested(difference)]
        lines.append(line)
    columns = ["network", "method", *(name for probe in probes for name in (f"{probe}, %", "− ce"))]
    cells = markdown_table(pd.DataFrame(lines, columns=columns), texts=2)
    return f"### {path.stem}\n\n{results[0]['data']}: {results[0]['note']}.\n\n{cells}"


def _mean(value: float | dict[str, float]) -> float:
    """Return the accuracy of a probe, the mean over draws for a few-shot one."""
    return value["mean"] if isinstance(value, dict) else value


def speed_tables(folder: str = "speed") -> str:
    parts = []
    for path in sorted((RECORDS / folder).glob("*.json")):
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        measured = [row for row in result["rows"] if row.get("ms", "") is not None]
        # Only rows without a time have a note.
        cells = pd.DataFrame(measured, dtype=object).drop(columns="note", errors="ignore").map(_cell)
        title = f"**{result['title']}** (`{result['command']}`; {result['cpu']}, torch {result['versions']['torch']})"
        parts.append(f"{title}\n\n{markdown_table(cells, texts=len(cells.columns))}")
    return "\n".join(parts)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "" if isnan(value) else f"{value:.4g}"
    return "" if value is None else str(value)


def suites_text() -> str:
    return "\n".join(_about(table.suite) for table in _tables())


def _about(suite: Suite) -> str:
    every = METHODS.keys() <= set(suite.methods)
    rows = ["every method by itself"] if every else []
    rows += [code(label) for label in suite.methods if not (every and label in METHODS)]
    teachers = f"from `--teachers`{f' ({suite.checkpoints})' if suite.checkpoints else ''}"
    lines = [
        f"### {suite.name}\n",
        f"{suite.title}. {suite.protocol}\n",
        f"- Pairs: {', '.join(f'{pair.teacher} → {pair.student}' for pair in suite.pairs)}",
        f"- Rows: {', '.join(rows)}; baseline `{suite.baseline}`",
        f"- Seeds: {', '.join(map(str, suite.seeds))}",
        f"- Teachers: {teachers if suite.teacher is None else f'trained by the suite, or {teachers}'}",
        f"- Runs: {_machines(_entries(suite.name))}\n",
    ]
    return "\n".join(lines)


def _machines(entries: list[Entry]) -> str:
    hours: dict[str, list[float]] = {}
    for entry in entries:
        if entry.record is not None:
            hours.setdefault(machine(entry.record), []).append(entry.record.wall_seconds / 3600)
    parts = [f"{len(runs)} on {place}, {sum(runs):.1f} h" for place, runs in hours.items()]
    counts = {status: sum(e.status == status for e in entries) for status in ("failed", "not applicable")}
    return "; ".join([*parts, *(f"{count} {status}" for status, count in counts.items() if count)]) or "none yet"


def _tables() -> list[SuiteTable]:
    names = sorted(suite_names(), key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    return [_table(name) for name in names]


@cache
def _entries(suite: str) -> list[Entry]:
    return entries_of_records(read_suite(suite), RECORDS)


@cache
def _table(suite: str) -> SuiteTable:
    return tabulate(read_suite(suite), _entries(suite))


def _rows(pair: PairTable) -> dict[str, Line]:
    """Return the rows under the pair's main conditions, by label."""
    return {line.label: line for line in pair.lines if not line.mark}


def _difference(difference: Difference | None) -> str:
    return MISSING if difference is None else str(difference)


def _tested(difference: Difference | None) -> str:
    p = "" if difference is None or difference.p is None else f" (p {difference.p:.2g})"
    return _difference(difference) + p


TABLES: dict[str, Callable[[], str]] = {
    "methods": methods_table,
    "tasks": tasks_table,
    "headline": headline_tables,
    "speed": speed_tables,
    "suites": suites_text,
    "confirmation": confirmation_tables,
    "results": results_tables,
    "transfer": transfer_tables,
    "speed_gpu": partial(speed_tables, "speed/gpu"),
}


def fill(text: str) -> str:
    """Return a document with its tables brought up to date."""
    pattern = re.compile(rf"(<!-- ({'|'.join(TABLES)}): begin[^>]*-->\n).*?(<!-- \2: end -->)", re.DOTALL)
    return pattern.sub(lambda block: f"{block[1]}\n{TABLES[block[2]]()}\n{block[3]}", text)


def generated() -> dict[Path, str]:
    """Return each document with its tables brought up to date."""
    paths = sorted(path for pattern in DOCUMENTS for path in ROOT.glob(pattern))
    return {path: fill(path.read_text(encoding="utf-8")) for path in paths}


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
