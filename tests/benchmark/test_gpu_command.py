"""`benchmarks/gpu.py` from its first line to its last, on the CPU with a tiny suite."""

import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from wcord.benchmark.rows import Place
from wcord.benchmark.suite import read_suite
from wcord.training.run import CONFIG, METRICS

SUITE = """
title = "Tiny"
protocol = "p"
pairs = [["resnet8", "resnet8"]]
methods = ["bad", "kd", "ce"]
seeds = [0]
baseline = "kd"

[data]
label = "fine_label"

[training]
epochs = 1

[distill]
allow_weak_teacher = true

[teacher]

[variants.bad]
method = "kd"
set = ["kd.weight=1e38"]
"""


@pytest.fixture
def command(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("gpu")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Write small pictures in the form of CIFAR-100's parquet files."""
    folder = tmp_path / "data"
    folder.mkdir()
    draw = np.random.default_rng(0)
    kinds = datasets.Features(img=datasets.Image(), fine_label=datasets.Value("int64"))
    for split, count in (("train", 40), ("test", 8)):
        pictures = [Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)) for _ in range(count)]
        columns = {"img": pictures, "fine_label": [i % 4 for i in range(count)]}
        datasets.Dataset.from_dict(columns, features=kinds).to_parquet(folder / f"{split}.parquet")
    return folder


def flags(data: Path, tmp_path: Path, /, **more: object) -> list[str]:
    (tmp_path / "tiny.toml").write_text(SUITE)
    named: dict[str, object] = {
        "data": data, "minutes": 5, "out": tmp_path / "out", "device": "cpu", "suite": tmp_path / "tiny.toml",
        "records": tmp_path / "committed", **more,
    }  # fmt: skip
    return [text for name, value in named.items() for text in (f"--{name}", str(value))]


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_from_the_first_line_to_the_last(
    command: ModuleType, tables: ModuleType, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert command.main([*flags(data, tmp_path)]) == 0
    lines = said(capsys)
    assert "torch" in lines[0]
    assert "cores" in lines[0]
    assert any(line.startswith("GPU tests: 1 skipped") for line in lines)
    assert f"speed/step: {out / 'speed' / 'step.json'}" in lines
    assert "done: 3 (tiny/teachers/resnet8, tiny/resnet8-resnet8/ce/seed0, tiny/resnet8-resnet8/kd/seed0)" in lines[-1]
    assert "failed: tiny/resnet8-resnet8/bad/seed0: " in lines[-1]
    assert "left: 0" in lines[-1]
    record = json.loads((out / "records" / "tiny" / "resnet8-resnet8" / "kd" / "seed0.json").read_text())
    assert record["status"] == "done"
    assert str(tmp_path) not in json.dumps(record)
    with tarfile.open(out / "bring_back.tar.00") as archive:
        held = archive.getnames()
    assert {"records/tiny/resnet8-resnet8/ce/seed0.json", "records/tiny/teachers/resnet8.json", "speed/step.json",
            "teachers/tiny/resnet8.safetensors", "tests.txt"} <= {*held}  # fmt: skip

    # Elsewhere: what has been brought back is skipped, and the failed row tried again, with the teacher of then.
    (tmp_path / "committed").mkdir()
    (out / "records" / "tiny").rename(tmp_path / "committed" / "tiny")
    again = flags(data, tmp_path, out=tmp_path / "later", teachers=out / "teachers" / "tiny", skip="tests,speed")
    assert command.main([*again, "--plan"]) == 0
    lines = said(capsys)
    assert lines[0] == "speeds: records in committed (3); else guesses"
    assert lines[1].endswith(" minutes are left for rows; * marks runs that fit and are started")
    assert lines[2].endswith("tiny/resnet8-resnet8/bad/seed0")
    assert lines[3].startswith("1 open, 1 (*)")
    assert not (tmp_path / "later").exists()


def test_the_plan_says_what_it_is_made_from(
    command: ModuleType, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "committed" / "speed" / "gpu" / "step.json"
    table.parent.mkdir(parents=True)
    table.write_text(json.dumps({"gpu": "NVIDIA H200", "rows": [{"method": "kd", "ms": 20.0}]}))
    assert command.main([*flags(data, tmp_path), "--plan"]) == 0
    lines = said(capsys)
    assert lines[0] == f"speeds: {table} (NVIDIA H200, eager: captured steps are faster); else guesses"
    assert lines[1] == "--teachers lacks resnet8: trained before the rows that need it"
    assert lines[3].endswith("min  tiny/teachers/resnet8")


def test_tests_and_tables_are_brought_back_without_any_row(
    command: ModuleType, tables: ModuleType, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[list[str]] = []

    def stopped(*given: object) -> None:
        with tarfile.open(tmp_path / "out" / "bring_back.tar.00") as archive:
            held.append(archive.getnames())

    monkeypatch.setattr(command, "run_rows", stopped)
    monkeypatch.setattr(command, "run_script", lambda script, *given: (stopped(), tables.run_script(script, *given)))
    assert command.main(flags(data, tmp_path)) == 0
    assert "tests.txt" in held[0]
    assert "speed/step.json" not in held[0]
    assert {"tests.txt", "speed/step.json"} <= {*held[-1]}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"data": "nowhere"}, "--data 'nowhere' is not a folder"),
        ({"minutes": 0}, "--minutes must be above 0, received 0"),
        ({"minutes": "nan"}, "--minutes must be above 0, received nan"),
        ({"device": "cuda"}, "no CUDA device is visible"),
        ({"device": "cuda:1"}, "--device cuda:1: choose the GPU by CUDA_VISIBLE_DEVICES and use cuda"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"skip": "test"}, "unknown phase to skip 'test': did you mean 'tests'"),
        ({"workers": 0}, "--workers must be 1 or more"),
        ({"suite": "none.toml"}, "does not exist"),
        ({"teachers": "nowhere"}, "--teachers 'nowhere' is not a folder"),
    ],
)
def test_mistakes_get_one_line_and_code_2(
    command: ModuleType,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, object],
    message: str,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert command.main(flags(data, tmp_path, **{"skip": "tests,speed", **changed})) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_a_folder_without_data_is_told_before_minutes_are_spent(
    command: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert command.main(flags(tmp_path / "empty", tmp_path)) == 2
    assert "needs files named train*.parquet" in capsys.readouterr().err


def test_several_processes_share_the_rows(
    command: ModuleType, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(command.subprocess, "Popen", started.append)
    argv = flags(data, tmp_path, workers=3, teachers="a=b")
    command.start_others(command.parse_args(argv), argv, 4.5)
    assert len(started) == 2
    other = command.parse_args(started[0][2:])
    assert (other.workers, other.skip, other.minutes, other.worker) == (1, "tests,speed", 4.5, True)
    assert other.out == tmp_path / "out"


class Fake:
    """Rows that take as long as they say, on a clock of their own."""

    def __init__(self, planning: ModuleType, steps: dict[str, int], *, training: int = 0) -> None:
        self.planning, self.now, self.begun = planning, 0.0, []
        self.items = {key: planning.Item(key, "p", "kd", count, 0) for key, count in steps.items()}
        self.by_key = dict(self.items)
        self.failed: dict[str, str] = {}
        self.training = training

    def open_items(self) -> list[Any]:
        return [item for key, item in self.items.items() if key not in self.failed]

    def planned(self, seconds_left: float) -> list[Any]:
        speeds = self.planning.Speeds({("p", "kd"): 1.0}, overhead=0.0)
        return self.planning.plan(self.open_items(), speeds, seconds_left)

    def trains_a_teacher(self) -> bool:
        self.training -= 1
        return self.training >= 0

    def attempt(self, run: Any) -> str:
        self.begun.append(run.key)
        self.now += run.steps
        del self.items[run.key]
        return "settled"

    def wait(self, seconds: float) -> None:
        self.now += seconds


def test_rows_are_started_in_order_while_they_can_end(script: Callable[[str], ModuleType]) -> None:
    fake = Fake(script("gpu_plan"), {"long": 500, "a": 30, "b": 40, "c": 25, "d": 100})
    script("gpu_runs").run_rows(fake, fake.attempt, lambda: 110 - fake.now, lambda line: None, fake.wait)
    assert fake.begun == ["a", "b", "c"]
    assert fake.now <= 110


def test_a_row_without_a_result_is_not_started_for_ever(script: Callable[[str], ModuleType]) -> None:
    fake = Fake(script("gpu_plan"), {"a": 1, "b": 1})
    script("gpu_runs").run_rows(fake, lambda run: "settled", lambda: 50.0, lambda line: None, fake.wait)
    assert list(fake.failed) == ["a", "b"]
    fake = Fake(script("gpu_plan"), {"a": 1, "b": 1})
    script("gpu_runs").run_rows(fake, lambda run: "stopped", lambda: 50.0, lambda line: None, fake.wait)
    assert not fake.failed


def test_a_teacher_that_another_process_trains_is_waited_for(script: Callable[[str], ModuleType]) -> None:
    fake = Fake(script("gpu_plan"), {}, training=3)
    script("gpu_runs").run_rows(fake, fake.attempt, lambda: 50 - fake.now, lambda line: None, fake.wait)
    assert fake.now == 6.0
    fake = Fake(script("gpu_plan"), {}, training=10**6)
    script("gpu_runs").run_rows(fake, fake.attempt, lambda: 50 - fake.now, lambda line: None, fake.wait)
    assert fake.now == 50.0


def test_a_run_that_was_begun_is_gone_on_with(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(SUITE.replace("epochs = 1", "epochs = 4"))
    suite = read_suite(str(tmp_path / "tiny.toml"))
    place = Place(out=tmp_path / "runs", data="npz:none", device="cpu")
    runs = script("gpu_plan").by_pair(suite)
    begun = runs[0].folder(place.out)
    begun.mkdir(parents=True)
    (begun / CONFIG).write_text("[training]\nepochs = 4\n")
    (begun / METRICS).write_text('{"epoch": 1, "seconds": 6.0, "loss": 1.0, "parts": {}, "lr": 0.1}\n')
    none = script("gpu_tables").StepTable()
    rows = script("gpu_runs").Rows(runs, place, tmp_path, tmp_path / "none", [], 128, none, none)
    first = rows.open_items()[0]
    assert (first.key, first.left, first.steps) == ("tiny/teachers/resnet8", 0.75, 8)
    assert rows.speeds().runs == {("resnet8", "teacher"): 3.0}


def test_what_is_brought_back_comes_in_parts(
    script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = script("gpu_runs")
    monkeypatch.setattr(runs, "PART", 10_000)
    (tmp_path / "speed").mkdir()
    (tmp_path / "speed" / "a.json").write_bytes(np.random.default_rng(0).bytes(25_000))
    (tmp_path / "runs").mkdir()
    (tmp_path / "bring_back.tar.07").touch()
    parts = runs.bundle(tmp_path)
    assert [part.name for part in parts] == [f"bring_back.tar.{number:02d}" for number in range(len(parts))]
    assert sorted(path.name for path in tmp_path.glob("bring_back*")) == [part.name for part in parts]
    assert all(part.stat().st_size <= 10_000 for part in parts)
    back = tmp_path / "back"
    back.mkdir()
    subprocess.run("cat ../bring_back.tar.* | tar x", shell=True, cwd=back, check=True)
    assert (back / "speed" / "a.json").read_bytes() == (tmp_path / "speed" / "a.json").read_bytes()
    assert not (back / "runs").exists()
