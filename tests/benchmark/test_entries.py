"""Runs and committed records give the same entries."""

from collections.abc import Callable
from pathlib import Path

from wcord.benchmark.entries import entries_of_records, entries_of_runs, keep
from wcord.benchmark.rows import Row, TeacherRun
from wcord.benchmark.state import note_failure, note_not_applicable
from wcord.benchmark.suite import Suite
from wcord.report.record import Record


def test_runs_are_kept_and_read_back(tmp_path: Path, tiny: Suite, made_up: Callable[..., Record]) -> None:
    out, records = tmp_path / "out", tmp_path / "records"
    teacher = TeacherRun(tiny, "resnet14")
    made_up(teacher, 80.0).to_json(teacher.folder(out) / "record.json")
    for label, seed, top1 in (("kd", 0, 70.0), ("kd", 1, 71.0), ("lskd", 10, 72.0)):
        row = Row(tiny, tiny.pairs[0], label, seed)
        made_up(row, top1).to_json(row.folder(out) / "record.json")
    note_failure(Row(tiny, tiny.pairs[0], "ce", 0).folder(out), "step 1: ce became NaN")
    note_not_applicable(Row(tiny, tiny.pairs[0], "at", 0).folder(out), "no maps")
    (Row(tiny, tiny.pairs[0], "ce", 1).folder(out)).mkdir()  # begun by no one yet
    (out / "tiny" / "resnet14-resnet8" / "kd" / ".seed0.lock").touch()
    (out / "tiny" / "tables.md").touch()

    found = entries_of_runs(tiny, out)
    told = [(entry.row.name, entry.row.seed, entry.status, entry.reason) for entry in found]
    assert told == [
        ("tiny/teachers/resnet14", 0, "done", ""),
        ("tiny/resnet14-resnet8/at", 0, "not applicable", "no maps"),
        ("tiny/resnet14-resnet8/ce", 0, "failed", "step 1: ce became NaN"),
        ("tiny/resnet14-resnet8/kd", 0, "done", ""),
        ("tiny/resnet14-resnet8/kd", 1, "done", ""),
        ("tiny/resnet14-resnet8/lskd", 10, "done", ""),
    ]
    paths = [keep(entry, records) for entry in found]
    assert paths[0] == records / "tiny/teachers/resnet14.json"
    assert paths[-1] == records / "tiny/resnet14-resnet8/lskd/seed10.json"
    again = entries_of_records(tiny, records)
    assert [(entry.row.name, entry.row.seed, entry.status, entry.reason) for entry in again] == told
    assert [entry.record.metrics["top1_last"] for entry in again if entry.record] == [80.0, 70.0, 71.0, 72.0]


def test_nothing_gives_nothing(tmp_path: Path, tiny: Suite) -> None:
    assert entries_of_runs(tiny, tmp_path) == entries_of_records(tiny, tmp_path) == []
