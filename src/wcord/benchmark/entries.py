"""The finished runs of a suite, read from their folders or from records under version control."""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, cast

from wcord.benchmark.rows import ONE_CALL, SETTINGS, TEACHERS, Row, TeacherRun
from wcord.benchmark.state import State, Status, read_state
from wcord.benchmark.suite import Suite, file_name
from wcord.bounds import read
from wcord.checks import UsageError
from wcord.marks import is_record_of_suite
from wcord.overwriting import Output, write_output
from wcord.paths import require_file
from wcord.report.record import Record
from wcord.training.run import RECORD


@dataclass(frozen=True)
class Entry:
    """A finished run.

    Attributes:
        row: the run.
        status: done, failed or not applicable.
        reason: why it failed or does not apply.
        record: its record, if it is done.
    """

    row: Row | TeacherRun
    status: Status
    reason: str = ""
    record: Record | None = None


def entries_of_runs(suite: Suite, out: Path) -> list[Entry]:
    """Return the finished runs of a suite, from the folder of the runs."""
    entries: list[Entry] = []
    for row, folder in _places(suite, out / suite.name, "seed*"):
        state = read_state(folder)
        if state.settled:
            entries.append(_entry(row, folder, state))
    return entries


def entries_of_records(suite: Suite, records: Path) -> list[Entry]:
    """Return the finished runs of a suite, from its committed records.

    Raises:
        UsageError: if a record is damaged.
    """
    places = _places(suite, records / suite.name, "seed*.json")
    return [Entry(row, *read_committed(path, row.name)) for row, path in places]


def keep(entry: Entry, records: Path) -> Path:
    """Write a run's record in its form for version control and return the file."""
    path = entry.row.folder(records)
    path = path.with_name(f"{path.name}.json")
    write_committed(path, entry.row.name, entry.status, entry.reason, entry.record)
    return path


def _entry(row: Row | TeacherRun, folder: Path, state: State) -> Entry:
    if state.status != "done":
        return Entry(row, state.status, state.reason)
    try:
        return Entry(row, "done", "", Record.from_json(folder / RECORD))
    except UsageError as error:
        return Entry(row, "failed", str(error))


def _places(suite: Suite, folder: Path, pattern: str) -> Iterator[tuple[Row | TeacherRun, Path]]:
    """Go through the teachers and rows of a suite that have a file in a folder, in the order of the suite."""
    ending = pattern.removeprefix("seed*")
    for teacher in suite.teachers:
        for training in _trainings(suite, teacher, folder / TEACHERS, ending):
            path = folder / TEACHERS / f"{training.key}{ending}"
            if path.exists():
                yield training, path
    for pair in suite.pairs:
        for label in sorted(path.name for path in (folder / pair.name).glob("*") if path.is_dir()):
            for path in sorted((folder / pair.name / label).glob(pattern)):
                seed = path.name.removesuffix(ending).removeprefix("seed")
                if seed.isdecimal():
                    yield Row(suite, pair, label, int(seed)), path


def _trainings(suite: Suite, teacher: str, folder: Path, ending: str) -> list[TeacherRun]:
    """Return the trainings of a teacher that a folder may contain."""
    if not suite.split_by_seed:
        return [TeacherRun(suite, teacher)]
    names = [path.name.removesuffix(ending).rpartition(".seed") for path in folder.glob(f"*.seed*{ending}")]
    seeds = sorted(int(seed) for name, _, seed in names if name == file_name(teacher) and seed.isdecimal())
    return [TeacherRun(suite, teacher, seed) for seed in seeds]


FORMAT, OLD_FORMAT = 2, 1
"""The old format has only the accuracy of each epoch."""

COLUMNS = ("lr", "loss", "train_top1", "test_top1", "teacher_test_top1", "seconds")
"""Measures of each epoch that records contain, beside the parts of the loss and the diagnostics."""

GROUPS = ("parts", "diagnostics")

DIGITS = 6
"""Significant digits of measures."""


COMMITTED_RECORD = Output("a record of wcord benchmark", (".json",), is_record_of_suite)


def write_committed(path: Path, row: str, status: Status, reason: str, record: Record | None) -> None:
    """Write a committed record, or the reason why a run has none."""
    content: dict[str, Any] = {"format": FORMAT, "row": row, "status": status}
    if reason:
        content["reason"] = reason
    if record is not None:
        content["record"] = _slim(record)
        content["epochs"] = _columns(record.epochs)
    write_output(path, (_text(content) + "\n").encode(), COMMITTED_RECORD, flag="the record")


def read_committed(path: Path, row: str) -> tuple[Status, str, Record | None]:
    """Return status, reason and record of a run, from its committed record.

    Raises:
        UsageError: if the file is damaged or of another format.
    """
    require_file(path, "record")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] not in (FORMAT, OLD_FORMAT):
            raise UsageError(f"it has format {content['format']}, this wcord reads {FORMAT}")
        record = None
        if "record" in content:
            old = content["format"] == OLD_FORMAT
            columns = {"test_top1": content["test_top1"]} if old else content["epochs"]
            fields = {**content["record"], "name": row, "classes": [], "epochs": _epochs(columns)}
            record = read(Record, fields, "the record")
        return cast("Status", content["status"]), content.get("reason", ""), record
    except (ValueError, LookupError, TypeError, RecursionError, AttributeError) as error:
        raise UsageError(f"record {str(path)!r} is damaged, or of another version ({error}): write it again") from None


def _columns(epochs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a list for each measure, with a value or null for each epoch."""
    columns: dict[str, Any] = {}
    for name in COLUMNS:
        values = [_short(epoch.get(name)) for epoch in epochs]
        if any(value is not None for value in values):
            columns[name] = values
    for group in GROUPS:
        names = dict.fromkeys(name for epoch in epochs for name in epoch.get(group, {}))
        if names:
            columns[group] = {name: [_short(epoch.get(group, {}).get(name)) for epoch in epochs] for name in names}
    return columns


def _epochs(columns: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the epochs of `_columns`, without the measures that it leaves out."""
    lists = [value for value in columns.values() if not isinstance(value, dict)]
    epochs: list[dict[str, Any]] = [{"epoch": number + 1} for number in range(len(lists[0]) if lists else 0)]
    for name, column in columns.items():
        for number, epoch in enumerate(epochs):
            if isinstance(column, dict):
                epoch[name] = {key: values[number] for key, values in column.items() if values[number] is not None}
            elif column[number] is not None:
                epoch[name] = column[number]
    return epochs


def _slim(record: Record) -> dict[str, Any]:
    fields = {
        name: value for name, value in dataclasses.asdict(record).items() if name not in ("name", "classes", "epochs")
    }
    measured = ("metrics", "teacher_metrics", "cost", "wall_seconds")
    return fields | {name: _short(fields[name]) for name in measured} | {"config": _portable(record.config)}


def _portable(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without the paths of one machine; files and folders are reduced to their last names."""
    return {
        name: _portable(value) if isinstance(value, dict) else _last_names(name, value)
        for name, value in config.items()
        if name not in ONE_CALL
    }


def _last_names(name: str, value: Any) -> Any:
    """Return a setting without the folders of the file that it names; weights keep the last folder.

    >>> _last_names("data", "npz:/home/me/mnist.npz"), _last_names("label_map", "maps/coarse.csv")
    ('npz:mnist.npz', 'coarse.csv')
    >>> _last_names("teacher_weights", "runs/resnet14/student.safetensors")
    'resnet14/student.safetensors'
    """
    facts = SETTINGS[name].facts if name in SETTINGS else frozenset()
    if not isinstance(value, str) or not facts & {"source", "file"}:
        return value
    kind, colon, path = value.rpartition(":") if "source" in facts else ("", "", value)
    return f"{kind}{colon}{'/'.join(PurePath(path).parts[-2 if name.endswith('weights') else -1 :])}"


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _text(value: Any, depth: int = 0) -> str:
    """Return JSON with a line for each key and each list."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False)
    indent = " " * (depth + 1)
    lines = [f"{indent}{json.dumps(key)}: {_text(item, depth + 1)}" for key, item in value.items()]
    return "{\n" + ",\n".join(lines) + f"\n{' ' * depth}}}"
