"""Runs and committed records give the same entries."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from wcord.benchmark.entries import entries_of_records, entries_of_runs, keep, read_committed, write_committed
from wcord.benchmark.rows import Row, TeacherRun
from wcord.benchmark.state import note_failure, note_not_applicable
from wcord.benchmark.suite import Suite
from wcord.checks import UsageError
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


Make = Callable[..., Record]


def test_what_tables_need_comes_back(tmp_path: Path, tiny: Suite, made_up: Make) -> None:
    row = Row(tiny, tiny.pairs[0], "warm", 3)
    record = made_up(row, 70.123456789, override={"lr": 0.1})
    write_committed(tmp_path / "seed3.json", row.name, "done", "", record)
    status, reason, back = read_committed(tmp_path / "seed3.json", row.name)
    assert (status, reason) == ("done", "")
    assert back is not None
    assert back.name == "tiny/resnet14-resnet8/warm"
    assert (back.seed, back.commit, back.wall_seconds, back.created) == (3, record.commit, 90.0, record.created)
    assert back.metrics["top1_last"] == 70.1235
    assert back.epochs == [
        {"epoch": 1, "test_top1": 69.1235, "loss": 1.0},
        {"epoch": 2, "test_top1": 70.1235, "loss": 0.5},
    ]
    assert back.environment == record.environment
    assert back.config["set"] == ["kd.temperature=2"]
    assert back.config["training"]["lr"] == 0.1


def test_it_is_small_and_holds_no_paths(tmp_path: Path, tiny: Suite, made_up: Make) -> None:
    row = Row(tiny, tiny.pairs[0], "kd", 0)
    record = made_up(row, 70.0)
    record.config["data"]["data"] = "parquet:/home/someone/cifar100"
    record.config["training"]["teacher_cache"] = "/home/someone/cache"
    record.config["pairing"] |= {"teacher_data": "npz:/home/someone/mnist.npz", "label_map": "/home/someone/map.csv"}
    record.config["teacher_data"] = {"data": "npz:/home/someone/mnist.npz"}
    write_committed(tmp_path / "a.json", row.name, "done", "", record)
    text = (tmp_path / "a.json").read_text()
    assert "someone" not in text
    assert "parquet:cifar100" in text
    assert "teachers/t.pth" in text
    assert '"test_top1": [69.0, 70.0]\n' in text
    assert '"loss": [1.0, 0.5],\n' in text
    assert len(text.splitlines()) < 130  # all settings, and no line for each epoch
    write_committed(tmp_path / "teacher.json", "t", "done", "", made_up(TeacherRun(tiny, "resnet14"), 80.0))
    assert read_committed(tmp_path / "teacher.json", "t")[2] is not None


def test_every_column_of_every_epoch_comes_back(tmp_path: Path, tiny: Suite, made_up: Make) -> None:
    row = Row(tiny, tiny.pairs[0], "kd", 0)
    first = {"epoch": 1, "lr": 0.05, "loss": 2.5, "train_top1": 10.0, "seconds": 1.25, "parts": {"ce": 2.0, "kd": 0.5}}
    second = {**first, "epoch": 2, "test_top1": 20.0, "diagnostics": {"mass": 1 / 3}}
    record = dataclasses.replace(made_up(row, 20.0), epochs=[first, second])
    write_committed(tmp_path / "a.json", row.name, "done", "", record)
    assert '"ce": [2.0, 2.0],\n' in (tmp_path / "a.json").read_text()
    back = read_committed(tmp_path / "a.json", row.name)[2]
    assert back is not None
    assert back.epochs == [{**first, "diagnostics": {}}, {**second, "diagnostics": {"mass": 0.333333}}]


def test_files_of_the_first_format_stay_readable(tmp_path: Path, tiny: Suite, made_up: Make) -> None:
    row = Row(tiny, tiny.pairs[0], "kd", 0)
    write_committed(tmp_path / "a.json", row.name, "done", "", made_up(row, 70.0))
    content = json.loads((tmp_path / "a.json").read_text())
    content |= {"format": 1, "test_top1": content.pop("epochs")["test_top1"]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    back = read_committed(tmp_path / "a.json", row.name)[2]
    assert back is not None
    assert back.epochs == [{"epoch": 1, "test_top1": 69.0}, {"epoch": 2, "test_top1": 70.0}]


def test_reasons_are_kept_where_there_is_no_record(tmp_path: Path) -> None:
    write_committed(tmp_path / "a.json", "tiny/a-b/fsp", "not applicable", "fsp needs equal channels", None)
    assert read_committed(tmp_path / "a.json", "x") == ("not applicable", "fsp needs equal channels", None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is damaged"),
        ("{}", "is damaged"),
        ('{"format": 9}', "has format 9, this wcord reads 2"),
        (json.dumps({"format": 1, "status": "done", "record": {"kind": "x"}, "test_top1": []}), "is damaged"),
    ],
)
def test_damage_is_told(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UsageError, match=message):
        read_committed(tmp_path / "a.json", "x")
    with pytest.raises(UsageError, match="does not exist"):
        read_committed(tmp_path / "none.json", "x")


@pytest.mark.parametrize("content", ["{}", '{"format": 2}', "notes", '{\n "status": "done"}'])
def test_only_records_are_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "seed0.json"
    for status in ("failed", "not applicable"):
        write_committed(path, "a/b/kd", status, "why", None)
    assert read_committed(path, "a/b/kd") == ("not applicable", "why", None)
    path.write_text(content)
    with pytest.raises(UsageError, match="exists and is not a record of wcord benchmark"):
        write_committed(path, "a/b/kd", "failed", "why", None)
    assert path.read_text() == content
