"""Runs as rows: seeds of one configuration grouped, the teacher beside them, for terminal, Markdown and CSV."""

import csv
import io
import json
import re
import statistics
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from wcord.checks import UsageError
from wcord.evaluation.chance import UNBALANCED
from wcord.report.record import Record
from wcord.scope import scopes
from wcord.terminal import markdown_cell, plain
from wcord.training.config import DistillConfig, TrainConfig, flatten

MISSING = "–"
_SETTINGS = scopes(TrainConfig, DistillConfig)
_ONE_RUN_ONLY = {"seed"} | {name for name, of in _SETTINGS.items() if of.may_change or "output" in of.facts}
"""Settings that may differ between runs of one configuration."""


@dataclass(frozen=True)
class Row:
    """One configuration, or a teacher, with one value per seed in each measure (none where it was not measured).

    Top-1 (on the test split and, over the last epoch, in training), top-5, balanced accuracy, macro-F1, the share of
    the commonest class and agreement are in percent, latency in milliseconds, the calibration error a fraction.
    Where samples have several labels, mean average precision and F1 scores, in percent, stand instead.
    `at_chance` and `unsettled` tell whether a student of any seed knows nothing of the data, or was saved with running
    statistics of normalization layers that may not fit its weights.
    """

    run: str
    method: str
    student: str
    parameters: float | None
    macs: float | None
    latency_ms: float | None
    top1_last: tuple[float, ...] = ()
    top1_best: tuple[float, ...] = ()
    train_top1: tuple[float, ...] = ()
    top5: tuple[float, ...] = ()
    balanced: tuple[float, ...] = ()
    macro_f1: tuple[float, ...] = ()
    commonest: tuple[float, ...] = ()
    ece: tuple[float, ...] = ()
    agreement: tuple[float, ...] = ()
    map_last: tuple[float, ...] = ()
    map_best: tuple[float, ...] = ()
    micro_f1: tuple[float, ...] = ()
    is_teacher: bool = False
    num_classes: int = 0
    at_chance: bool = False
    unsettled: bool = False

    @property
    def unbalanced(self) -> bool:
        """Whether the commonest class has far more than its share, so that top-1 says little."""
        return any(share * self.num_classes >= 100 * UNBALANCED for share in self.commonest)

    @property
    def top1(self) -> float | None:
        """Mean top-1 of the last epoch."""
        return statistics.fmean(self.top1_last) if self.top1_last else None


def group(records: Sequence[Record]) -> list[list[int]]:
    """Return the positions of the records, those of one configuration (all but the seed) together, in order."""
    groups: dict[str, list[int]] = {}
    for position, record in enumerate(records):
        groups.setdefault(_configuration(record), []).append(position)
    return list(groups.values())


def rows(records: Sequence[Record]) -> list[Row]:
    """Return one row per configuration, preceded by one per teacher, in the order of the records."""
    found: list[Row] = []
    for row in map(teacher_row, records):
        if row is not None and _who(row) not in map(_who, found):
            found.append(row)
    return [*found, *(group_row([records[i] for i in positions]) for positions in group(records))]


def group_row(records: Sequence[Record]) -> Row:
    """Return the row of several seeds of one configuration."""
    first = records[0]
    cost = first.cost.get("student") or {}
    return Row(
        run=group_name([record.name for record in records]),
        method=first.method,
        student=first.student,
        parameters=cost.get("parameters"),
        macs=cost.get("macs"),
        latency_ms=cost.get("latency_ms"),
        top1_last=_values(records, "top1_last"),
        top1_best=_values(records, "top1_best"),
        train_top1=tuple(
            float(record.epochs[-1]["train_top1"])
            for record in records
            if record.epochs and record.epochs[-1].get("train_top1") is not None
        ),
        top5=_values(records, "top5"),
        balanced=_values(records, "balanced"),
        macro_f1=_values(records, "macro_f1"),
        commonest=_values(records, "commonest"),
        ece=_values(records, "ece"),
        agreement=_values(records, "agreement"),
        map_last=_values(records, "map_last"),
        map_best=_values(records, "map_best"),
        micro_f1=_values(records, "micro_f1"),
        num_classes=first.num_classes,
        at_chance=any(record.metrics.get("at_chance") for record in records),
        unsettled=any("unsettled_layers" in (record.metrics.get("norm_statistics") or {}) for record in records),
    )


def teacher_row(record: Record) -> Row | None:
    """Return the row of a record's teacher, or None where there was none."""
    if record.teacher is None:
        return None
    cost, metrics = record.cost.get("teacher") or {}, record.teacher_metrics or {}
    top1 = metrics.get("top1", metrics.get("top1_last"))
    return Row(
        run="teacher",
        method=MISSING,
        student=record.teacher,
        parameters=cost.get("parameters"),
        macs=cost.get("macs"),
        latency_ms=cost.get("latency_ms"),
        top1_last=() if top1 is None else (round(top1, 2),),
        top5=_rounded(metrics, "top5"),
        balanced=_rounded(metrics, "balanced"),
        macro_f1=_rounded(metrics, "macro_f1"),
        commonest=_rounded(metrics, "commonest"),
        ece=_rounded(metrics, "ece", 4),
        map_last=_rounded(metrics, "map"),
        micro_f1=_rounded(metrics, "micro_f1"),
        is_teacher=True,
        num_classes=record.num_classes,
    )


def _rounded(metrics: dict[str, Any], name: str, digits: int = 2) -> tuple[float, ...]:
    return () if metrics.get(name) is None else (round(metrics[name], digits),)


def _who(row: Row) -> tuple[Any, ...]:
    # Latency is timed anew in every run: by it, one teacher would become several.
    return row.student, row.parameters, row.top1_last, row.map_last


def group_name(names: Sequence[str]) -> str:
    """Return what the names of several seeds share.

    >>> group_name(["r20_kd_seed0", "r20_kd_seed1"]), group_name(["a", "b"]), group_name(["r20"])
    ('r20_kd', 'a …', 'r20')
    """
    if len(set(names)) == 1:
        return names[0]
    stems = {re.sub(r"[-_. /]*(seed|s)?[-_. =]*\d+$", "", name) for name in names}
    return stems.pop() if len(stems) == 1 else f"{names[0]} …"


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return one value, or the mean ± sample standard deviation (number) of several.

    >>> spread([72.0]), spread([72.0, 73.0, 74.0], 1), spread([])
    ('72.00', '73.0 ± 1.0 (3)', '–')
    """
    if not values:
        return MISSING
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.fmean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f} ({len(values)})"


def counted(number: float | None) -> str:
    """Return a count in millions, or in thousands where it is small.

    >>> counted(278_324), counted(40_820_000), counted(8_034), counted(None)
    ('0.28 M', '40.8 M', '8.0 k', '–')
    """
    if number is None:
        return MISSING
    if number < 1e5:
        return f"{number / 1e3:.1f} k"
    return f"{number / 1e6:.2f} M" if number < 1e7 else f"{number / 1e6:.1f} M"


_COLUMNS: dict[str, Callable[[Row], str]] = {
    "run": lambda row: row.run,
    "method": lambda row: row.method,
    "network": lambda row: row.student,
    "parameters": lambda row: counted(row.parameters),
    "MACs": lambda row: counted(row.macs),
    "latency, ms": lambda row: MISSING if row.latency_ms is None else f"{row.latency_ms:.2f}",
    "top-1 last, %": lambda row: spread(row.top1_last),
    "top-1 best, % (chosen on test)": lambda row: spread(row.top1_best),
    "train top-1, % (last epoch, as augmented)": lambda row: spread(row.train_top1),
    "balanced accuracy, %": lambda row: spread(row.balanced),
    "macro-F1, %": lambda row: spread(row.macro_f1),
    "commonest class, %": lambda row: spread(row.commonest),
    "top-5, %": lambda row: spread(row.top5),
    "ECE": lambda row: spread(row.ece, 3),
    "agreement, %": lambda row: spread(row.agreement, 1),
    "mAP last, %": lambda row: spread(row.map_last),
    "mAP best, % (chosen on test)": lambda row: spread(row.map_best),
    "micro-F1, %": lambda row: spread(row.micro_f1),
}
MACRO_F1 = "macro-F1, %"
_OF_UNBALANCED = ("balanced accuracy, %", MACRO_F1, "commonest class, %")
"""Columns that say little where classes are balanced."""
_OF_SEVERAL = ("mAP last, %", "mAP best, % (chosen on test)", "micro-F1, %")
"""Columns for samples with several labels, with macro-F1."""
_OF_ONE_CLASS = (
    "top-1 last, %", "top-1 best, % (chosen on test)", "train top-1, % (last epoch, as augmented)", "top-5, %", "ECE",
    "agreement, %",
)  # fmt: skip
"""Columns for samples of one class each."""
TEXT_COLUMNS = 3
"""The first columns hold text and are set flush left; numbers follow."""


def headings(table_rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the headings of a table: those of balance, and of several labels a sample, only where a row has these."""
    unbalanced, several = any(row.unbalanced for row in table_rows), any(row.map_last for row in table_rows)
    left_out = set() if unbalanced else set(_OF_UNBALANCED)
    if several:
        left_out -= {MACRO_F1}
        left_out |= set() if any(row.top1_last for row in table_rows) else set(_OF_ONE_CLASS)
    else:
        left_out |= set(_OF_SEVERAL)
    return tuple(name for name in _COLUMNS if name not in left_out)


def cells(row: Row, names: Sequence[str]) -> list[str]:
    """Return the text of a row, one cell per heading."""
    return [_COLUMNS[name](row) for name in names]


_TERMINAL_COLUMNS = {
    "run": "run",
    "method": "method",
    "network": "network",
    "parameters": "params",
    "MACs": "MACs",
    "top-1 last, %": "top-1",
    "top-1 best, % (chosen on test)": "best*",
    "ECE": "ECE",
    "agreement, %": "agree",
}
"""What fits into 80 columns, and how it is headed there."""
_TERMINAL_UNBALANCED = {"MACs": ("balanced accuracy, %", "bal."), "ECE": ("macro-F1, %", "F1")}
"""What stands in for a column where classes are unbalanced."""
_TERMINAL_SEVERAL = {
    "top-1 last, %": ("mAP last, %", "mAP"),
    "top-1 best, % (chosen on test)": ("mAP best, % (chosen on test)", "best*"),
    "ECE": (MACRO_F1, "macro-F1"),
    "agreement, %": ("micro-F1, %", "micro-F1"),
}
"""What stands in for a column where samples have several labels."""


def terminal_table(table_rows: Sequence[Row], title: str | None = None) -> Table:
    """Return a table for a terminal of 80 columns or more: what matters most, and what `best*` means."""
    columns, caption = dict(_TERMINAL_COLUMNS), "top-1 in %, last epoch; * chosen on the test set"
    if any(row.unbalanced for row in table_rows):
        columns = dict(_TERMINAL_UNBALANCED.get(name, (name, heading)) for name, heading in columns.items())
        shares = sorted({f"{share:.2f}" for row in table_rows for share in row.commonest})
        caption += f"\nbal.: balanced accuracy; F1: macro-F1; the commonest class alone: {' or '.join(shares)} %"
    elif any(row.map_last for row in table_rows) and not any(row.top1_last for row in table_rows):
        columns = dict(_TERMINAL_SEVERAL.get(name, (name, heading)) for name, heading in columns.items())
        caption = f"mAP{caption.removeprefix('top-1')}"
    table = Table(title=title, box=SIMPLE_HEAD, caption=caption)
    for number, heading in enumerate(columns.values()):
        table.add_column(heading, justify="left" if number < TEXT_COLUMNS else "right", overflow="fold")
    for row in table_rows:
        shown = cells(row, tuple(columns))
        table.add_row(*map(plain, shown), style="dim" if row.is_teacher else None)
    return table


def markdown(table_rows: Sequence[Row]) -> str:
    """Return a Markdown table, ending with a line break."""
    names = headings(table_rows)
    rule = [":---"] * TEXT_COLUMNS + ["---:"] * (len(names) - TEXT_COLUMNS)
    lines = [list(names), rule, *(list(map(markdown_cell, cells(row, names))) for row in table_rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def csv_text(table_rows: Sequence[Row]) -> str:
    """Return comma-separated values: plain numbers, mean, standard deviation and number of seeds; empty if missing."""
    out = io.StringIO()
    measures = (
        "top1_last", "top1_best", "train_top1", "balanced", "macro_f1", "commonest", "top5", "ece", "agreement"
    )  # fmt: skip
    if any(row.map_last for row in table_rows):
        measures += ("map_last", "map_best", "micro_f1")
    plain = ("run", "method", "student", "is_teacher", "parameters", "macs", "latency_ms")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*plain, *(f"{name}{part}" for name in measures for part in ("_mean", "_std", "_n"))])
    for row in table_rows:
        numbers: list[Any] = []
        for name in measures:
            values: tuple[float, ...] = getattr(row, name)
            mean = statistics.fmean(values) if values else None
            deviation = statistics.stdev(values) if len(values) > 1 else None
            numbers += [mean, deviation, len(values)]
        writer.writerow([*(getattr(row, name) for name in plain), *numbers])
    return out.getvalue()


def _configuration(record: Record) -> str:
    told = [record.kind, record.method, record.student, record.teacher, record.data, _settings(record.config)]
    return json.dumps(told, sort_keys=True, default=str)


def _settings(config: Any) -> Any:
    """Return what runs of one configuration share, by flat name: earlier versions had some settings in other tables."""
    with suppress(UsageError):  # of another version
        config = flatten(TrainConfig if "model" in config else DistillConfig, config)
    return _without_run(config)


def _without_run(config: Any) -> Any:
    if not isinstance(config, dict):
        return config
    kept = {key: _without_run(value) for key, value in config.items() if key not in _ONE_RUN_ONLY}
    return {key: value for key, value in kept.items() if value not in (None, [], ())}


def _values(records: Sequence[Record], name: str) -> tuple[float, ...]:
    found = (record.metrics.get(name) for record in records)
    return tuple(float(value) for value in found if value is not None)
