"""benchmarks/speed/step.py: each method in each form, beside kd, and the parts of a step."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

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


def test_a_method_that_does_not_fit_the_pair_is_left_out(
    script: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    assert script("step").main(["--pair", "resnet8x4:resnet8", "--methods", "fsp", "--repeats", "1"]) == 0
    said = capsys.readouterr().out
    assert "fsp: left out: fsp needs maps of equal channels" in said


def test_the_parts_of_a_step_make_up_the_whole(
    script: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    assert script("step").main(["--profile", "--pair", PAIR, "--repeats", "2"]) == 0
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    table = {row[0]: row[1:] for row in cells if len(row) == 3}
    assert {"data", "teacher", "student", "term ce", "term kd", "term wcord", "backward", "optimizer"} <= set(table)
    assert table["term wcord"][0] == table["term kd"][1] == ""
    for column in range(2):
        parts = [float(row[column]) for name, row in table.items() if name != "whole" and row[column]]
        assert 0 < sum(parts) <= float(table["whole"][column]) + 0.1
        assert all(part >= 0 for part in parts)
