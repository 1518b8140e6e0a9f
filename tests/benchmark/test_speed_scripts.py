"""benchmarks/speed/step.py: each method in each form, beside kd, and the parts of a step."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from wcord.methods.catalogue import METHODS

PAIR = "resnet8:resnet8"


@pytest.fixture(autouse=True)
def small_batches(script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("steps", "profiled", "step"):
        monkeypatch.setattr(script(name), "BATCH", 8)


def written(file: Path) -> list[dict[str, object]]:
    return json.loads(file.read_text(encoding="utf-8"))["rows"]


def test_a_step_of_each_method_in_each_form(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    out = tmp_path / "step.json"
    flags = ["--pair", PAIR, "--methods", "wcord,simkd", "--repeats", "1", "--ahead", "2", "--out", str(out)]
    assert script("step").main(flags) == 0
    rows = written(out)
    names = ["kd", "wcord", "simkd"]
    assert [(row["method"], row["form"]) for row in rows] == [
        (name, form) for form in ("eager", "teacher ahead") for name in names
    ]
    by_name = {row["method"]: row for row in rows if row["form"] == "eager"}
    assert by_name["kd"]["ratio to kd"] == 1.0
    assert by_name["kd"]["MB over kd"] == 0.0
    assert float(str(by_name["wcord"]["MB over kd"])) > 51  # both banks
    assert all(float(str(row["ms"])) > 0 for row in rows)
    assert by_name["wcord"]["target"] == "≤ 1.08 × kd, ≤ 60 MB"
    assert json.loads(out.read_text())["command"].endswith("--out benchmarks/records/speed/step.json")


def test_all_means_the_catalogue_and_kd_comes_first(script: Callable[[str], ModuleType]) -> None:
    step = script("step")
    cases = step.chosen("all")
    assert set(cases) == set(METHODS)
    assert next(iter(cases)) == "kd"
    assert list(step.chosen("")) == list(step.CASES)
    assert step.chosen("crd,wcord shared") == {name: step.CASES[name] for name in ("kd", "crd", "wcord shared")}


def test_a_method_that_does_not_fit_the_pair_has_a_row_with_the_reason(
    script: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "step.json"
    flags = ["--pair", "resnet8x4:resnet8", "--methods", "fsp", "--repeats", "1", "--out", str(out)]
    assert script("step").main(flags) == 0
    assert "fsp, eager: left out: fsp needs maps of equal channels" in capsys.readouterr().out
    kd, fsp = written(out)
    assert kd["note"] == ""
    assert (fsp["method"], fsp["form"], fsp["ms"]) == ("fsp", "eager", None)
    assert str(fsp["note"]).startswith("left out: fsp needs maps of equal channels")
    assert list(kd) == list(fsp)
    assert script("gpu_tables").step_table([out]).steps.keys() == {"kd"}


def test_a_method_that_cannot_be_captured_has_a_row_with_the_reason(
    script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    step, out = script("step"), tmp_path / "step.json"
    case = step.make_case

    def refused(training: Any, form: str, whole: Any) -> Callable[[], None]:
        if form != "eager" and "crd" in training.objective.terms:
            raise step.CaptureError("it looks at values")
        return case(training, form, whole)

    monkeypatch.setattr(step, "make_case", refused)
    flags = ["--pair", PAIR, "--methods", "crd", "--repeats", "1", "--ahead", "2", "--out", str(out)]
    assert step.main(flags) == 0
    by_form = {(row["method"], row["form"]): row for row in written(out)}
    assert len(by_form) == 4
    assert by_form["crd", "teacher ahead"]["note"] == "not captured: it looks at values"
    assert by_form["crd", "teacher ahead"]["ms"] is None
    assert by_form["crd", "eager"]["note"] == by_form["kd", "teacher ahead"]["note"] == ""


def test_rows_without_a_time_are_not_in_the_table_of_the_readme(
    script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tables = script("tables")
    monkeypatch.setattr(tables, "RECORDS", tmp_path)
    rows = [{"method": "kd", "ms": 2.0, "note": ""}, {"method": "kdsvd", "ms": None, "note": "not captured: svd"}]
    told = {"title": "t", "command": "c", "cpu": "p", "versions": {"torch": "1"}, "rows": rows}
    (tmp_path / "speed").mkdir()
    (tmp_path / "speed" / "step.json").write_text(json.dumps(told))
    assert tables.speed_tables().splitlines()[2:5] == ["| method | ms |", "| :--- | :--- |", "| kd | 2 |"]
    assert "kdsvd" not in tables.speed_tables()


def test_the_parts_of_a_step_make_up_the_whole(
    script: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    assert script("step").main(["--profile", "--pair", PAIR, "--repeats", "2"]) == 0
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    table = {row[0]: row[1:] for row in cells if len(row) == 3}
    assert {
        "data",
        "teacher",
        "student",
        "term ce",
        "term kd",
        "term gckt",
        "term lckt",
        "backward",
        "optimizer",
    } <= set(table)
    assert table["term gckt"][0] == table["term kd"][1] == ""
    for column in range(2):
        parts = [float(row[column]) for name, row in table.items() if name != "whole" and row[column]]
        assert 0 < sum(parts) <= float(table["whole"][column]) + 0.1
        assert all(part >= 0 for part in parts)
