"""Rows of runs: the teacher once, seeds together as mean ± std, what is missing shown as missing."""

import csv
import io
import statistics
from typing import Any

from wcord.report.record import Record
from wcord.report.tables import csv_text, markdown, rows, spread


def run(name: str, method: str, seed: int, top1: float, **changes: Any) -> Record:
    values: dict[str, Any] = {
        "name": name, "kind": "distill", "method": method, "student": "resnet8", "teacher": "resnet20",
        "data": "digits", "seed": seed, "config": {"method": method, "out": name, "training": {"seed": seed}},
        "num_classes": 2, "classes": ["a", "b"], "epochs": [],
        "metrics": {"top1_last": top1, "top1_best": top1 + 1}, "teacher_metrics": {"top1": 98.0},
        "cost": {"student": {"parameters": 77_800}, "teacher": {"parameters": 270_000}},
        "environment": {}, "wall_seconds": 1.0,
    }  # fmt: skip
    return Record(**(values | changes))


RUNS = [run("kd_0", "kd", 0, 90.0), run("kd_1", "kd", 1, 92.0), run("ce", "ce", 0, 88.0)]


def test_seeds_are_grouped_and_the_teacher_stands_once() -> None:
    found = rows(RUNS)
    assert [row.is_teacher for row in found] == [True, False, False]
    assert found[1].top1_last == (90.0, 92.0)
    assert found[1].top1 == 91.0
    assert found[0].top1 == 98.0


def test_spread_is_mean_and_sample_deviation() -> None:
    assert spread([90.0, 92.0, 97.0]) == f"93.00 ± {statistics.stdev([90.0, 92.0, 97.0]):.2f} (3)"
    assert spread([90.0]) == "90.00"
    assert spread([]) == "–"


def test_markdown_and_csv_hold_the_same_runs() -> None:
    table = markdown(rows(RUNS))
    assert "| 91.00 ± 1.41 (2) |" in table
    assert "chosen on test" in table
    read = list(csv.DictReader(io.StringIO(csv_text(rows(RUNS)))))
    assert [float(row["top1_last_mean"]) for row in read] == [98.0, 91.0, 88.0]
    assert read[1]["top1_last_n"] == "2"
    assert read[2]["ece_mean"] == ""
