"""What is kept of a record comes back, without the paths of a machine, in few lines."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from wcord.benchmark.committed import read_committed, write_committed
from wcord.benchmark.rows import Row, TeacherRun
from wcord.benchmark.suite import Suite
from wcord.checks import UsageError
from wcord.report.record import Record

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
    assert back.epochs == [{"epoch": 1, "test_top1": 69.1235}, {"epoch": 2, "test_top1": 70.1235}]
    assert back.environment == record.environment
    assert back.config["set"] == ["kd.temperature=2"]
    assert back.config["training"]["lr"] == 0.1


def test_it_is_small_and_holds_no_paths(tmp_path: Path, tiny: Suite, made_up: Make) -> None:
    row = Row(tiny, tiny.pairs[0], "kd", 0)
    record = made_up(row, 70.0)
    record.config["data"]["data"] = "parquet:/home/someone/cifar100"
    record.config["training"]["teacher_cache"] = "/home/someone/cache"
    write_committed(tmp_path / "a.json", row.name, "done", "", record)
    text = (tmp_path / "a.json").read_text()
    assert "someone" not in text
    assert "parquet:cifar100" in text
    assert "teachers/t.pth" in text
    assert '"test_top1": [69.0, 70.0]\n' in text
    assert len(text.splitlines()) < 100
    write_committed(tmp_path / "teacher.json", "t", "done", "", made_up(TeacherRun(tiny, "resnet14"), 80.0))
    assert read_committed(tmp_path / "teacher.json", "t")[2] is not None


def test_reasons_are_kept_where_there_is_no_record(tmp_path: Path) -> None:
    write_committed(tmp_path / "a.json", "tiny/a-b/fsp", "not applicable", "fsp needs equal channels", None)
    assert read_committed(tmp_path / "a.json", "x") == ("not applicable", "fsp needs equal channels", None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is damaged"),
        ("{}", "is damaged"),
        ('{"format": 9}', "has format 9, this wcord reads 1"),
        (json.dumps({"format": 1, "status": "done", "record": {"kind": "x"}, "test_top1": []}), "is damaged"),
    ],
)
def test_damage_is_told(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UsageError, match=message):
        read_committed(tmp_path / "a.json", "x")
    with pytest.raises(UsageError, match="does not exist"):
        read_committed(tmp_path / "none.json", "x")
