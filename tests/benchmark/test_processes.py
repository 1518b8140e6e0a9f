"""Real processes over one folder: no run is made twice, and a kill costs nothing but time."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from wcord.cli import main

# One thread each: more would only wait for each other.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(suite: Path, out: Path, *more: str) -> list[str]:
    return ["benchmark", str(suite), "--out", str(out), "--device", "cpu", *more]


def start(suite: Path, out: Path, *more: str) -> "subprocess.Popen[str]":
    arguments = [sys.executable, "-m", "wcord.cli", *command(suite, out, *more)]
    return subprocess.Popen(arguments, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.slow
def test_two_workers_share_the_rows_and_make_none_twice(tiny_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    workers = [start(tiny_file, out) for _ in range(2)]
    told = [worker.communicate(timeout=300)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], told
    begun = [line for text in told for line in text.splitlines() if line.startswith("starting")]
    assert sorted(begun) == [
        *(f"starting tiny/resnet14-resnet8/{label}, seed {seed}" for label in ("ce", "kd") for seed in (0, 1)),
        "starting tiny/teachers/resnet14, seed 0",
    ]
    assert not any("resuming" in text for text in told)
    for label in ("ce", "kd"):
        for seed in (0, 1):
            run = out / "tiny" / "resnet14-resnet8" / label / f"seed{seed}"
            assert json.loads((run / "record.json").read_text())["seed"] == seed
            assert len((run / "metrics.jsonl").read_text().splitlines()) == 1
    assert (out / "tiny" / "tables.md").is_file()


@pytest.mark.slow
def test_another_worker_finishes_what_a_killed_one_was_at(
    tiny_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, more = tmp_path / "out", ["--methods", "kd", "--seeds", "0", "--override", "epochs=12", "batch_size=16"]
    run = out / "tiny" / "resnet14-resnet8" / "kd" / "seed0"
    worker = start(tiny_file, out, *more)
    wait_for(lambda: len(list(run.glob("checkpoints/step-*.pt"))) > 1)
    os.kill(worker.pid, signal.SIGKILL)
    worker.communicate()
    assert not (run / "record.json").exists()
    assert main(command(tiny_file, out, *more, "--status")) == 0
    assert "stopped" in capsys.readouterr().out
    assert main(command(tiny_file, out, *more)) == 0
    told = capsys.readouterr()
    assert "resuming tiny/resnet14-resnet8/kd, seed 0" in told.err
    assert "starting" not in told.err
    assert "1 done, 0 left of 1" in told.out
    lines = [json.loads(line)["epoch"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert lines == list(range(1, 13))


@pytest.mark.slow
def test_a_signal_saves_the_run_and_says_how_to_go_on(tiny_file: Path, tmp_path: Path) -> None:
    out, more = tmp_path / "out", ["--methods", "ce", "--seeds", "0", "--override", "epochs=120", "batch_size=16"]
    run = out / "tiny" / "resnet14-resnet8" / "ce" / "seed0"
    worker = start(tiny_file, out, *more)
    wait_for(lambda: (out / "tiny" / "teachers" / "resnet14" / "metrics.jsonl").is_file())
    worker.send_signal(signal.SIGTERM)
    _, told = worker.communicate(timeout=120)
    assert worker.returncode == 128 + signal.SIGTERM
    assert "received SIGTERM: state saved; resume with: wcord benchmark" in told
    assert not run.exists()
