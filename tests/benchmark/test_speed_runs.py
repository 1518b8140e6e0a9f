"""benchmarks/speed/several.py and cache.py: whole runs, at once and with the teacher's outputs kept."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

PAIR = "resnet8:resnet8"


def written(file: Path) -> list[dict[str, object]]:
    return json.loads(file.read_text(encoding="utf-8"))["rows"]


@pytest.mark.slow
def test_runs_at_once_are_counted_while_all_are_at_it(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    out = tmp_path / "several.json"
    flags = ["--processes", "1,2", "--samples", "64", "--seconds", "0.5", "--pair", PAIR, "--out", str(out)]
    assert script("several").main(flags) == 0
    one, two = written(out)
    assert (one["processes"], two["processes"]) == (1, 2)
    assert one["times one"] == 1.0
    assert float(str(two["times one"])) > 0
    assert one["MPS"] == "no GPU"


def test_a_process_that_ends_is_told(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    several = script("several")
    (tmp_path / "log").write_text("first\nwcord: no such thing\n")
    process = subprocess.Popen(["false"])
    process.wait()
    with pytest.raises(several.RunError, match="ended with code 1: wcord: no such thing"):
        several.epochs_a_second([several.Worker(process, tmp_path)], 1.0)
    assert several.rate_of([1.0, 3.0, 5.0]) == 0.5


@pytest.mark.slow
def test_kept_outputs_of_the_teacher_are_timed_beside_its_runs(
    script: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    out = tmp_path / "cache.json"
    flags = ["--samples", "300", "--pair", PAIR, "--repeats", "1", "--methods", "kd", "--out", str(out)]
    assert script("cache").main(flags) == 0
    rows = written(out)
    assert [row["teacher"] for row in rows] == ["runs", "runs, outputs are written", "outputs are read"]
    assert rows[0]["over running"] == 1.0
    assert all(float(str(row["s an epoch"])) > 0 for row in rows)
