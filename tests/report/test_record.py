"""Records go to JSON and come back, whole or not at all, and wrong ones are told."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from wcord.checks import UsageError
from wcord.report.record import Record


def record(**changes: Any) -> Record:
    values: dict[str, Any] = {
        "name": "run", "kind": "distill", "method": "kd", "student": "resnet8", "teacher": "resnet20",
        "data": "digits", "seed": 0, "config": {"training": {"seed": 0}}, "num_classes": 2, "classes": ["a", "b"],
        "epochs": [{"epoch": 1, "loss": 2.0, "parts": {"kd": 1.0}, "test_top1": 80.0}],
        "metrics": {"top1_last": 80.0, "top1_best": 80.0}, "cost": {"student": {"parameters": 10}},
        "environment": {"torch": "2"}, "wall_seconds": 1.5,
    }  # fmt: skip
    return Record(**(values | changes))


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    first = record()
    first.to_json(tmp_path / "record.json")
    assert Record.from_json(tmp_path / "record.json") == first
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_values_that_are_not_finite_become_null(tmp_path: Path) -> None:
    record(metrics={"top1_last": math.nan}).to_json(tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["metrics"]["top1_last"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": 1}, "has unknown fields: extra"),
        ({"seed": "one"}, "field seed has the wrong type"),
        ({"schema_version": 99}, "has schema version 99"),
        ({"kind": "trial"}, "unknown kind of run 'trial'"),
    ],
)
def test_wrong_records_are_told(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    record().to_json(tmp_path / "r.json")
    content = json.loads((tmp_path / "r.json").read_text()) | change
    (tmp_path / "r.json").write_text(json.dumps(content))
    with pytest.raises(UsageError, match=message):
        Record.from_json(tmp_path / "r.json")


def test_missing_and_damaged_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        Record.from_json(tmp_path / "none.json")
    (tmp_path / "r.json").write_text("{")
    with pytest.raises(UsageError, match="is not valid JSON"):
        Record.from_json(tmp_path / "r.json")
