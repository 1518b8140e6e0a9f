"""Write the generated tables of docs/ from catalog, suites and committed records."""

import json
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from wcord.benchmark.entries import Entry, entries_of_records
from wcord.benchmark.provenance import machine
from wcord.benchmark.results import PairTable, limited, tabulate
from wcord.benchmark.statistics import Difference, paired
from wcord.benchmark.suite import Suite
from wcord.benchmark.suite_file import read_suite, suite_names
from wcord.benchmark.tables import markdown
from wcord.benchmark.wording import put_in_words
from wcord.methods.catalogue import METHODS
from wcord.report.tables import spread

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "benchmarks" / "records"
HEADLINE, HARDER = "mini", "mini_hard"
CONFIRMED = ("ce", "kd", "lskd", "crd", "crd-std", "gckt", "lckt", "lckt-a", "wcord", "wcord-a",
             "crd+kd", "crd-std+kd", "wcord+kd", "wcord-a+kd")  # fmt: skip
FRESH_SEEDS = (3, 4, 5, 6, 7)
"""Seeds of the headline suite that were run once, after all choices, for these rows."""
HARDER_SEEDS = (0, 1, 2, 3, 4)
"""Of the harder suite no run took part in a choice."""
BASELINES = ("crd", "crd-std", "crd+kd", "crd-std+kd")
TASKS = ("privileged", "crossmodal", "crossdomain", "classes")
"""How the names of suites begin in which teacher and student see or know different things."""
TASK_ROWS = ("kd", "crd", "wcord", "wcord-a", "wcord+kd")
ORDER = ("mini", "mini_hard", "cifar100_60", "crd13", "strong", "imagenet")
"""Suites as a reader meets them; others follow by name."""


def methods_table() -> str:
    lines = ["| method | what it is | weight | needs | from | checked against |", "|---|---|---|---|---|---|"]
    lines += [
        f"| `{name}` | {info.title} | {info.weight:g} | {info.needs} | {info.paper} {info.year} | {info.checked} |"
        for name, info in METHODS.items()
    ]
    return "\n".join(lines) + "\n"


def headline_tables() -> str:
    """Return what the methods reach under both mini protocols, best first, for the project's README."""
    return "\n".join(_headline_table(read_suite(name)) for name in (HEADLINE, HARDER))


def _headline_table(suite: Suite) -> str:
    table = tabulate(suite, entries_of_records(suite, RECORDS))
    (pair,) = table.pairs
    own = [line for line in pair.lines if not line.mark]
    reached = sorted((line for line in own if line.top1), key=lambda line: -fmean(line.top1.values()))
    lines = [
        f"### {suite.title}\n",
        f"{pair.pair.teacher} ({_teacher_top1(pair)} %) → {pair.pair.student}, 30 epochs, all 10,000 test images, last "
        "epoch: mean ± standard deviation (seeds; none told: one run); mean difference to "
        f"`{table.baseline}` over common seeds ± its standard error.\n",
        f"| method | top-1, % | − `{table.baseline}` |",
        "|:---|---:|---:|",
        *(f"| `{line.name}` | {spread([*line.top1.values()])} | {_with_error(line.to_baseline)} |" for line in reached),
        "",
    ]
    unfit = [line.name for line in own if not line.top1 and not line.missing]
    lines += [f"Not applicable to this pair: {', '.join(unfit)} (they need equal channels).\n"] if unfit else []
    idle = [line.label for line in own if line.missing]
    lines += [f"Not run yet: {', '.join(idle)}.\n"] if idle else []
    return "\n".join(lines)


def _teacher_top1(pair: PairTable) -> str:
    return max(pair.teacher, key=float)


def _with_error(difference: Difference | None) -> str:
    if difference is None:
        return "–"
    error = "" if difference.error is None else f" ± {difference.error:.2f}"
    return f"{difference.value:+.2f}".replace("-", "−") + error


def tasks_table() -> str:
    """Return what is gained over labels alone where teacher and student see or know different things."""
    names = " | ".join(f"`{label}`" for label in TASK_ROWS)
    lines = [
        f"| task | teacher, % | labels alone, % | {names} | `wcord` − `crd` |",
        f"|:---|---:|---:|{'---:|' * len(TASK_ROWS)}---:|",
    ]
    for suite, found in _suites():
        if suite.name.startswith(TASKS) and found:
            (pair,), (beside_crd,) = (tabulate(suite, found, baseline=label).pairs for label in ("ce", "crd"))
            by_label = {line.label: line for line in pair.lines if not line.mark}
            gained = [by_label[label].to_baseline if label in by_label else None for label in TASK_ROWS]
            gained += [line.to_baseline for line in beside_crd.lines if line.label == "wcord" and not line.mark]
            teacher, alone = next(iter(pair.teacher), "–"), spread([*by_label["ce"].top1.values()])
            lines.append(f"| {suite.title} | {teacher} | {alone} | {' | '.join(map(_with_error, gained))} |")
    return "\n".join(lines) + "\n"


def confirmation_tables() -> str:
    """Return rows on seeds that took part in no choice, beside each of their baselines, under both mini protocols."""
    headline, harder = read_suite(HEADLINE), read_suite(HARDER)
    return "\n".join(
        f"### {suite.title}\n\n{_beside_baselines(suite, rows, seeds)}"
        for suite, rows, seeds in ((headline, CONFIRMED, FRESH_SEEDS), (harder, harder.methods, HARDER_SEEDS))
    )


def _beside_baselines(suite: Suite, rows: Sequence[str], seeds: Sequence[int]) -> str:
    suite, found = limited(suite, entries_of_records(suite, RECORDS), methods=rows, seeds=seeds)
    by_baseline = {
        baseline: {
            line.label: line
            for pair in tabulate(suite, found, baseline=baseline).pairs
            for line in pair.lines
            if not line.mark  # a row's runs of other settings stand on a line of their own
        }
        for baseline in BASELINES
    }
    lines = [
        f"| method | top-1 last, % | {' | '.join(f'− {baseline}' for baseline in BASELINES)} |",
        f"|:---|{'---:|' * (1 + len(BASELINES))}",
    ]
    for label in rows:
        cells = [_against(by_label[label].to_baseline) for by_label in by_baseline.values()]
        reached = spread([*by_baseline[BASELINES[0]][label].top1.values()])
        lines.append(f"| `{label}` | {reached} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _against(difference: Difference | None) -> str:
    if difference is None:
        return "–"
    p = "" if difference.p is None else f" (p {difference.p:.2g})"
    return _with_error(difference) + p


def results_table() -> str:
    """Return all rows of all suites of which something has been run, missing ones included."""
    parts = [markdown(put_in_words(tabulate(suite, found)), level=3) for suite, found in _suites() if found]
    return "\n".join(parts)


def transfer_table() -> str:
    """Return what frozen students know of other data: a table for each file that `wcord probe --out` wrote."""
    parts = []
    for path in sorted((RECORDS / "transfer").glob("*.json")):
        found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        probes = list(found[0]["top1"])
        by_network: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
        for values in found:
            by_network.setdefault((values["architecture"], values["method"]), {})[values["seed"]] = values["top1"]
        student = found[-1]["architecture"]
        plain = by_network.get((student, "ce"), {})
        parts += [
            f"### {path.stem}\n",
            f"{found[0]['data']}: {found[0]['note']}.\n",
            "| network | method |" + "".join(f" {probe}, % | − ce |" for probe in probes),
            "|:---|:---|" + "---:|---:|" * len(probes),
        ]
        for (architecture, method), by_seed in by_network.items():
            cells = ""
            for probe in probes:
                reached = {seed: _mean(values[probe]) for seed, values in by_seed.items()}
                base = {seed: _mean(values[probe]) for seed, values in plain.items()}
                compares = architecture == student and method != "ce"
                cells += f" {spread([*reached.values()])} | {_against(paired(reached, base) if compares else None)} |"
            parts.append(f"| {architecture} | `{method}` |{cells}")
        parts.append("")
    return "\n".join(parts) or "Not measured yet.\n"


def _mean(value: float | dict[str, float]) -> float:
    """Return the accuracy of a probe, of few shots its mean over draws."""
    return value["mean"] if isinstance(value, dict) else value


def speed_table(folder: str = "speed") -> str:
    parts = []
    for path in sorted((RECORDS / folder).glob("*.json")):
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        measured = [row for row in found["rows"] if row.get("ms", "") is not None]
        columns = [column for column in measured[0] if column != "note"]  # it is of the rows without a time
        parts += [
            f"**{found['title']}** (`{found['command']}`; {found['cpu']}, torch {found['versions']['torch']})\n",
            f"| {' | '.join(columns)} |",
            "|" + "---|" * len(columns),
            *(f"| {' | '.join(_cell(row[c]) for c in columns)} |" for row in measured),
            "",
        ]
    return "\n".join(parts)


def suites_text() -> str:
    return "\n".join(_about(suite, found) for suite, found in _suites())


def _suites() -> list[tuple[Suite, list[Entry]]]:
    names = sorted(suite_names(), key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    return [(suite, entries_of_records(suite, RECORDS)) for suite in map(read_suite, names)]


def _about(suite: Suite, found: list[Entry]) -> str:
    pairs = ", ".join(f"{pair.teacher} → {pair.student}" for pair in suite.pairs)
    every = METHODS.keys() <= set(suite.methods)
    rows = ["every method by itself"] if every else []
    rows += [f"`{label}`" for label in suite.methods if not (every and label in METHODS)]
    lines = [
        f"### {suite.name}\n",
        f"{suite.title}. {suite.protocol}\n",
        f"- Pairs: {pairs}",
        f"- Rows: {', '.join(rows)}; baseline `{suite.baseline}`",
        f"- Seeds: {', '.join(map(str, suite.seeds))}",
        f"- Teachers: {_teachers(suite)}",
        f"- Run: {_where(found)}\n",
    ]
    return "\n".join(lines)


def _teachers(suite: Suite) -> str:
    given = f"given by `--teachers` ({suite.checkpoints})" if suite.checkpoints else "given by `--teachers`"
    if suite.teacher is None:
        return given
    return f"trained, or {given}"


def _where(found: list[Entry]) -> str:
    places: dict[str, list[Entry]] = {}
    for entry in found:
        if entry.record is not None:
            places.setdefault(machine(entry.record), []).append(entry)
    told = [
        f"{len(runs)} runs on {place}, {sum(run.record.wall_seconds for run in runs if run.record) / 3600:.1f} h"
        for place, runs in places.items()
    ]
    told += [f"{count} {status}" for status in ("failed", "not applicable") if (count := _count(found, status))]
    return "; ".join(told) or "not yet"


def _count(found: list[Entry], status: str) -> int:
    return sum(entry.status == status for entry in found)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def fill(text: str, name: str, content: str) -> str:
    pattern = re.compile(rf"(<!-- {name}: begin[^>]*-->\n).*?(<!-- {name}: end -->)", re.DOTALL)
    return pattern.sub(lambda found: f"{found[1]}\n{content}\n{found[2]}", text)


def generated() -> dict[Path, str]:
    """Return the files that hold generated parts, as they should be."""
    contents = {
        "methods.md": {"methods": methods_table},
        "results.md": {"tasks": tasks_table, "results": headline_tables},
        "all_results.md": {
            "confirmation": confirmation_tables,
            "results": results_table,
            "transfer": transfer_table,
        },
        "suites.md": {"suites": suites_text},
        "speed.md": {"speed": speed_table, "speed_gpu": partial(speed_table, "speed/gpu")},
    }
    files: dict[Path, str] = {}
    for page, parts in contents.items():
        path = ROOT / "docs" / page
        files[path] = path.read_text(encoding="utf-8")
        for name, part in parts.items():
            files[path] = fill(files[path], name, part())
    return files


def main() -> None:
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
