"""Runs as rows for pages and the terminal: one per configuration, over its seeds, and one per teacher."""

import json
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from wcord.checks import UsageError
from wcord.evaluation.chance import UNBALANCED
from wcord.methods.catalogue import METHODS
from wcord.report.record import Record
from wcord.scope import scopes
from wcord.terminal import plain
from wcord.training.config import DistillConfig, TrainConfig, flatten

MISSING = "–"
_SETTINGS = scopes(TrainConfig, DistillConfig)
_ONE_RUN_ONLY = {"seed"} | {name for name, of in _SETTINGS.items() if of.may_change or "output" in of.facts}
"""Settings that may differ between runs of one configuration."""


@dataclass(frozen=True)
class ResultRow:
    """One configuration, or a teacher.

    Attributes:
        run: name of the run, or the common part of its seeds' names.
        method: the method.
        student: the network.
        cost: parameters, macs and latency_ms, if measured.
        measures: metric of a record, or train_top1 → its value for each seed.
        is_teacher: whether this is a teacher.
        is_adapted: whether a method adds parts to this teacher, which its costs count and its measures are with.
        num_classes: number of classes.
        at_chance: whether the student of any seed is at chance.
        unsettled: whether the student of any seed was saved with running statistics that may not fit its weights.
    """

    run: str
    method: str
    student: str
    cost: Mapping[str, float]
    measures: Mapping[str, tuple[float, ...]]
    is_teacher: bool = False
    is_adapted: bool = False
    num_classes: int = 0
    at_chance: bool = False
    unsettled: bool = False

    def values(self, measure: str) -> tuple[float, ...]:
        """Return a measure for each seed, empty if not measured."""
        return self.measures.get(measure, ())

    @property
    def parameters(self) -> float | None:
        """Number of parameters."""
        return self.cost.get("parameters")

    @property
    def top1(self) -> float | None:
        """Mean top-1 of the last epoch."""
        return statistics.fmean(self.values("top1_last")) if self.values("top1_last") else None

    @property
    def unbalanced(self) -> bool:
        """Whether the commonest class has far more than its share, so that top-1 is not informative."""
        return any(share * self.num_classes >= 100 * UNBALANCED for share in self.values("commonest"))


def group(records: Sequence[Record]) -> list[list[int]]:
    """Return the positions of the records, grouped by configuration (all settings but the seed), in order."""
    groups: dict[str, list[int]] = {}
    for position, record in enumerate(records):
        groups.setdefault(_configuration(record), []).append(position)
    return list(groups.values())


def rows(records: Sequence[Record]) -> list[ResultRow]:
    """Return one row per teacher, then one per configuration, in the order of the records."""
    teachers: dict[tuple[object, ...], ResultRow] = {}
    for row in map(teacher_row, records):
        if row is not None:
            # Without the latency, which differs between runs and would split one teacher into several rows.
            key = (row.run, row.method, row.student, row.parameters, row.values("top1_last"), row.values("map_last"))
            teachers.setdefault(key, row)
    return [*teachers.values(), *(group_row([records[i] for i in positions]) for positions in group(records))]


def group_row(records: Sequence[Record]) -> ResultRow:
    """Return the row of several seeds of one configuration."""
    first, last_epochs = records[0], [record.epochs[-1] for record in records if record.epochs]
    names = dict.fromkeys(name for record in records for name in record.metrics)
    return ResultRow(
        run=group_name([record.name for record in records]),
        method=first.method,
        student=first.student,
        cost=first.cost.get("student") or {},
        measures={name: _numbers([record.metrics.get(name) for record in records]) for name in names}
        | {"train_top1": _numbers([epoch.get("train_top1") for epoch in last_epochs])},
        num_classes=first.num_classes,
        at_chance=any(record.metrics.get("at_chance") for record in records),
        unsettled=any("unsettled_layers" in (record.metrics.get("norm_statistics") or {}) for record in records),
    )


def teacher_row(record: Record) -> ResultRow | None:
    """Return the row of a record's teacher, or None if there was none."""
    if record.teacher is None:
        return None
    metrics = record.teacher_metrics or {}
    named = {"top1_last": metrics.get("top1", metrics.get("top1_last")), "map_last": metrics.get("map")}
    measures = {name: _numbers([value]) for name, value in {**metrics, **named}.items()}
    adapted = any(name in METHODS and METHODS[name].adapt_teacher is not None for name in record.method.split("+"))
    return ResultRow(
        run="teacher, adapted" if adapted else "teacher",
        method=record.method if adapted else MISSING,
        student=record.teacher,
        cost=record.cost.get("teacher") or {},
        measures={name: tuple(round(x, 4 if name == "ece" else 2) for x in xs) for name, xs in measures.items()},
        is_teacher=True,
        is_adapted=adapted,
        num_classes=record.num_classes,
    )


def _numbers(values: Sequence[object]) -> tuple[float, ...]:
    return tuple(float(value) for value in values if isinstance(value, int | float))


def group_name(names: Sequence[str]) -> str:
    """Return the common part of the names of several seeds.

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


_MEASURES = {
    "top-1 last, %": ("top1_last", 2, {"one class"}),
    "top-1 best, % (chosen on test)": ("top1_best", 2, {"one class"}),
    "train top-1, % (last epoch, augmented)": ("train_top1", 2, {"one class"}),
    "balanced accuracy, %": ("balanced", 2, {"unbalanced"}),
    "macro-F1, %": ("macro_f1", 2, {"unbalanced", "several labels"}),
    "commonest class, %": ("commonest", 2, {"unbalanced"}),
    "top-5, %": ("top5", 2, {"one class"}),
    "ECE": ("ece", 3, {"one class"}),
    "agreement, %": ("agreement", 1, {"one class"}),
    "mAP last, %": ("map_last", 2, {"several labels"}),
    "mAP best, % (chosen on test)": ("map_best", 2, {"several labels"}),
    "micro-F1, %": ("micro_f1", 2, {"several labels"}),
}
"""Heading → measure, digits and the kinds of data that it applies to. ECE is a fraction, all others are percentages."""
_COLUMNS: dict[str, Callable[[ResultRow], str]] = {
    "run": lambda row: row.run,
    "method": lambda row: row.method,
    "network": lambda row: row.student,
    "parameters": lambda row: counted(row.parameters),
    "MACs": lambda row: counted(row.cost.get("macs")),
    "latency, ms": lambda row: MISSING if row.cost.get("latency_ms") is None else f"{row.cost['latency_ms']:.2f}",
}
TEXT_COLUMNS = 3
"""The first columns are text, flush left; numbers follow."""


def headings(table_rows: Sequence[ResultRow]) -> tuple[str, ...]:
    """Return the headings of a table, without measures that apply to no row."""
    data = set()
    if any(row.unbalanced for row in table_rows):
        data.add("unbalanced")
    if any(row.values("map_last") for row in table_rows):
        data.add("several labels")
    if "several labels" not in data or any(row.values("top1_last") for row in table_rows):
        data.add("one class")
    return (*_COLUMNS, *(name for name, (_, _, shown_for) in _MEASURES.items() if shown_for & data))


def cells(row: ResultRow, names: Sequence[str]) -> list[str]:
    """Return the text of a row, one cell per heading."""
    return [_COLUMNS[name](row) if name in _COLUMNS else _measured(row, *_MEASURES[name][:2]) for name in names]


def _measured(row: ResultRow, measure: str, digits: int) -> str:
    return spread(row.values(measure), digits)


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
"""Columns that fit into 80 characters → their short headings."""
_TERMINAL_UNBALANCED = {"MACs": ("balanced accuracy, %", "bal."), "ECE": ("macro-F1, %", "F1")}
"""Column → its replacement and heading for unbalanced classes."""
_TERMINAL_SEVERAL = {
    "top-1 last, %": ("mAP last, %", "mAP"),
    "top-1 best, % (chosen on test)": ("mAP best, % (chosen on test)", "best*"),
    "ECE": ("macro-F1, %", "macro-F1"),
    "agreement, %": ("micro-F1, %", "micro-F1"),
}
"""Column → its replacement and heading for samples with several labels."""


def terminal_table(table_rows: Sequence[ResultRow], title: str | None = None) -> Table:
    """Return the main columns as a table for a terminal of 80 characters or more."""
    columns, caption = dict(_TERMINAL_COLUMNS), "top-1 in %, last epoch; * chosen on the test set"
    if any(row.unbalanced for row in table_rows):
        columns = dict(_TERMINAL_UNBALANCED.get(name, (name, heading)) for name, heading in columns.items())
        shares = sorted({f"{share:.2f}" for row in table_rows for share in row.values("commonest")})
        caption += f"\nbal.: balanced accuracy; F1: macro-F1; the commonest class alone: {' or '.join(shares)} %"
    elif any(row.values("map_last") for row in table_rows) and not any(row.values("top1_last") for row in table_rows):
        columns = dict(_TERMINAL_SEVERAL.get(name, (name, heading)) for name, heading in columns.items())
        caption = f"mAP{caption.removeprefix('top-1')}"
    table = Table(title=title, box=SIMPLE_HEAD, caption=caption)
    for number, heading in enumerate(columns.values()):
        table.add_column(heading, justify="left" if number < TEXT_COLUMNS else "right", overflow="fold")
    for row in table_rows:
        shown = cells(row, tuple(columns))
        table.add_row(*map(plain, shown), style="dim" if row.is_teacher else None)
    return table


def _configuration(record: Record) -> str:
    config = _settings(record.config)
    configuration = [record.kind, record.method, record.student, record.teacher, record.data, config]
    return json.dumps(configuration, sort_keys=True, default=str)


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
