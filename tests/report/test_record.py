import json
import math
import subprocess
from pathlib import Path

import pytest

from wcord.checks import RunError, UsageError
from wcord.report.record import Record, describe_environment, working_commit


def made_up(**changes):
    fields = {
        "name": "r8",
        "kind": "distill",
        "method": "wcord+kd",
        "student": "resnet8",
        "teacher": "resnet56",
        "data": "digits",
        "seed": 3,
        "config": {"training": {"lr": 0.05, "seed": 3}, "out": Path("runs/r8")},
        "num_classes": 2,
        "classes": ["left", "right"],
        "epochs": [{"epoch": 1, "loss": 2.5, "parts": {"kd": 1.0}, "test_top1": 50.0}],
        "metrics": {"top1_last": 50.0},
        "teacher_metrics": {"top1": 75.0},
        "cost": {"student": {"parameters": 10}, "teacher": None},
        "environment": describe_environment(),
        "wall_seconds": 12,
        "notes": ["a note – with a dash"],
    } | changes
    return Record(**fields)


def test_a_record_survives_the_file(tmp_path):
    record = made_up(config={"lr": 0.05})
    record.to_json(tmp_path / "record.json")
    assert Record.from_json(tmp_path / "record.json") == record
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_the_file_is_standard_json(tmp_path):
    made_up(metrics={"nll": math.inf, "top1_last": math.nan}).to_json(tmp_path / "record.json")
    content = json.loads((tmp_path / "record.json").read_text(), parse_constant=pytest.fail)
    assert content["metrics"] == {"nll": None, "top1_last": None}
    assert content["config"]["out"] == "runs/r8"


def change(path, edit):
    made_up().to_json(path)
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c.pop("seed"), "or of a newer wcord: the record lacks seed; evaluate or train the run again"),
        (lambda c: c.update(color=1), "or of a newer wcord: unknown entry of the record 'color'"),
        (lambda c: c.update(schema_version=7), "has schema version 7, this wcord reads 1: use the wcord that wrote it"),
        (lambda c: c.update(epochs="many"), "epochs must be a list, received 'many'"),
        (lambda c: c.update(teacher=4), "teacher must be text, received 4"),
        (lambda c: c.update(wall_seconds=None), "wall_seconds must lie between 0 and 1e.30, received None"),
        (lambda c: c.update(kind="distil"), "kind must be one of train, distill, received 'distil'"),
    ],
)
def test_a_wrong_field_is_named(tmp_path, edit, message):
    change(tmp_path / "record.json", edit)
    with pytest.raises(UsageError, match=message):
        Record.from_json(tmp_path / "record.json")


@pytest.mark.parametrize(
    ("text", "message"), [("{", "is not valid JSON"), ("[1]", "the record must be a table, received")]
)
def test_a_damaged_file_is_refused(tmp_path, text, message):
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(UsageError, match=message):
        Record.from_json(tmp_path / "record.json")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"record .*record.json' does not exist"):
        Record.from_json(tmp_path / "record.json")


def test_a_failed_write_leaves_the_old_record(tmp_path):
    made_up(seed=1).to_json(tmp_path / "record.json")
    with pytest.raises(TypeError):
        made_up(seed=2, config={"lr": object()}).to_json(tmp_path / "record.json")
    assert Record.from_json(tmp_path / "record.json").seed == 1
    with pytest.raises(RunError, match="cannot write"):
        made_up().to_json(tmp_path / "record.json" / "below" / "record.json")


def test_the_commit_is_that_of_the_folder(tmp_path):
    assert working_commit(tmp_path) is None
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "file").write_text("1")
    for command in (["init", "-q"], ["add", "file"], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    commit = working_commit(tmp_path)
    assert commit is not None
    assert len(commit) == 40
    (tmp_path / "file").write_text("2")
    assert working_commit(tmp_path) == f"{commit}+changes"
