"""A worker process that is killed, or stuck, ends the run in one line with exit code 1, never in a hang."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wcord.cli import main

TIME_LIMIT = 60
PROGRAM = "import sys; from wcord.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of pictures that two workers are busy with for a while."""
    folder = tmp_path_factory.mktemp("data") / "pictures"
    random_numbers = np.random.default_rng(0)
    for split, count in (("train", 60), ("test", 4)):
        for name in ("ant", "bee"):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random_numbers.integers(0, 255, (48, 48, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")
    return folder


def started(pictures: Path, out: Path, **environment: str) -> subprocess.Popen[str]:
    command = ["train", "--model", "resnet8", "--data", f"imagefolder:{pictures}", "--in-memory", "no"]
    command += ["--workers", "2", "--epochs", "40", "--batch-size", "4", "--out", str(out)]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *command],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=os.environ | environment,
    )


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(number) for number in children.read_text().split()] if children.exists() else []


def some_workers(process: subprocess.Popen[str], out: Path, after: float) -> list[int]:
    """Wait until the run trains, then for some time, then until it has two workers."""
    deadline = time.monotonic() + TIME_LIMIT
    while not (out / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(after)
    while len(found := workers_of(process)) < 2 and process.poll() is None:
        time.sleep(0.002)
    return found


@pytest.mark.skipif(not Path("/proc").exists(), reason="children are found in /proc")
def test_a_killed_worker_ends_the_run_in_one_line(pictures: Path, tmp_path: Path, tally) -> None:
    chance = random.Random(0)  # no secret
    for trial in range(tally.share(2, 15)):
        out = tmp_path / f"run{trial}"
        process = started(pictures, out)
        while not (found := some_workers(process, out, after=chance.uniform(0, 1))):
            pass
        os.kill(chance.choice(found), signal.SIGKILL)
        try:
            said = process.communicate(timeout=TIME_LIMIT)[1]
        except subprocess.TimeoutExpired:
            process.kill()
            said = "it hung"
        lines = [line for line in said.splitlines() if line.startswith("wcord: ")]
        # A worker that had nothing left to read is not missed.
        held = (process.returncode == 0 and "Traceback" not in said) or (
            process.returncode == 1
            and len(lines) == 1
            and "was killed (signal 9), most likely for lack of memory: give fewer --workers" in lines[0]
            and lines[0].endswith(f"resume with wcord train --resume {out}")
            and "Traceback" not in said
            and not any(Path(f"/proc/{worker}").exists() for worker in found)
        )
        assert tally("worker killed", held), said
        assert main(["train", "--resume", str(out), "--max-time", "0.00001"]) == 0


@pytest.mark.skipif(not Path("/proc").exists(), reason="children are found in /proc")
def test_workers_that_are_stuck_are_named_after_the_time_limit(pictures: Path, tmp_path: Path, tally) -> None:
    process = started(pictures, tmp_path / "run", WCORD_LOADER_TIMEOUT="5")
    found = some_workers(process, tmp_path / "run", after=0.1)
    for worker in found:
        os.kill(worker, signal.SIGSTOP)
    said = process.communicate(timeout=TIME_LIMIT)[1]
    last = said.splitlines()[-1]
    held = (
        process.returncode == 1
        and last.startswith("wcord: no worker process has read batch ")
        and f"of the epoch, from image '{pictures}" in last
        and "WCORD_LOADER_TIMEOUT" in last
        and not any(Path(f"/proc/{worker}").exists() for worker in found)
    )
    assert tally("worker stuck", held), said


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
def test_a_time_limit_that_is_no_number_of_seconds_is_refused(text, pictures, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("WCORD_LOADER_TIMEOUT", text)
    command = ["train", "--model", "resnet8", "--data", f"imagefolder:{pictures}", "--in-memory", "no"]
    command += ["--workers", "1", "--epochs", "1", "--batch-size", "60", "--out", str(tmp_path / "run")]
    assert main(command) == 2
    assert f"WCORD_LOADER_TIMEOUT must be a number of seconds, received '{text}'" in capsys.readouterr().err
