"""`torchrun -m wcord.cli`: two processes give the run that one gives, also when they were stopped on the way."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from wcord.cli import main

TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "wcord.cli"]
EPOCHS = 8
OWN_NETWORK = """
import torch

class Small(torch.nn.Module):
    def __init__(self, num_classes, in_channels):
        super().__init__()
        self.hidden = torch.nn.Linear(in_channels, 16)
        self.spare = torch.nn.Linear(16, 2)
        self.classifier = torch.nn.Linear(16, num_classes)

    def forward(self, x):
        return self.classifier(self.hidden(x.flatten(1)).relu())

small = Small
"""
DATA = ["--data", "sklearn:breast_cancer", "--epochs", str(EPOCHS), "--lr", "0.02", "--device", "cpu"]


def metrics(run: Path) -> list[dict[str, object]]:
    """Return the numbers of each epoch, without the time that it took."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def flat(value: object) -> list[float]:
    """Return all numbers in an epoch's entry."""
    if isinstance(value, dict):
        return [number for one in value.values() for number in flat(one)]
    assert isinstance(value, int | float)
    return [float(value)]


@pytest.fixture
def launch() -> Iterator[Callable[[list[str]], "subprocess.Popen[str]"]]:
    """Return what starts processes. They have as long as the test, and end with it.

    A limit of their own would be one of the machine's speed: on a busy one, three imports of torch take minutes.
    """
    started: list[subprocess.Popen[str]] = []

    def start(command: list[str]) -> "subprocess.Popen[str]":
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, text=True, env=environment, start_new_session=True, **pipes))
        return started[-1]

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Let the run of one process add in the order of the others, which have one thread each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def distill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command without its `--out`, after its teacher was trained; the student has a layer that it does not use."""
    (tmp_path / "own_net.py").write_text(OWN_NETWORK)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    teacher = tmp_path / "teacher"
    assert main(["train", "--model", "mlp32x1", *DATA, "--out", str(teacher)]) == 0
    weights = str(teacher / "student.safetensors")
    networks = ["--teacher", "mlp32x1", "--teacher-weights", weights, "--student", "own_net:small"]
    how = ["--method", "wcord-a+crd+kd", "--ema", "0.9", "--clip-norm", "5"]
    return ["distill", *networks, *DATA, *how, "--allow-weak-teacher"]


@pytest.mark.slow
def test_two_processes_that_are_stopped_and_go_on_give_the_run_of_one(
    distill: list[str], launch: Callable[[list[str]], "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert main([*distill, "--out", str(alone)]) == 0
    started = launch([*TWO, *distill, "--out", str(shared)])
    while started.poll() is None and not (shared.is_dir() and (shared / "metrics.jsonl").is_file() and metrics(shared)):
        time.sleep(0.02)
    started.send_signal(signal.SIGTERM)
    told, complaints = started.communicate()
    assert not (shared / "record.json").is_file(), told + complaints
    assert 0 < len(metrics(shared)) < EPOCHS
    assert complaints.count("state saved") == 1
    resumed = launch([*TWO, "distill", "--resume", str(shared), "--trust-run"])
    told, complaints = resumed.communicate()
    assert resumed.returncode == 0, complaints
    assert complaints.count("training own_net:small by") == 1  # by the first process alone
    expected, seen = metrics(alone), metrics(shared)
    assert [flat(one) for one in seen] == [pytest.approx(flat(one), rel=1e-3) for one in expected]
    assert (shared / "record.json").is_file()


def test_only_training_is_shared(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["benchmark", "mini"]) == 2
    assert "received 2 for benchmark: start it without a launcher, as often as you like" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_that_accumulate_give_the_run_of_one(
    distill: list[str], launch: Callable[[list[str]], "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    """8 batches of 64 samples an epoch: steps of three, three and two, whose gradients are sent once."""
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    how = ["--gradient-accumulation-steps", "3", "--class-weights", "balanced", "--epochs", "3"]
    assert main([*distill, *how, "--out", str(alone)]) == 0
    started = launch([*TWO, *distill, *how, "--out", str(shared)])
    _, complaints = started.communicate()
    assert started.returncode == 0, complaints
    assert [flat(one) for one in metrics(shared)] == [pytest.approx(flat(one), rel=1e-3) for one in metrics(alone)]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sskd+kd", "mlkd+crd"])
def test_rotated_batches_are_shared_as_others_are(
    method: str, launch: Callable[[list[str]], "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    """100 digits in batches of 24, of which the last holds 4, over a stage of its own and the main one."""
    networks = ["--teacher", "mlp32x1", "--student", "mlp16x1", "--allow-weak-teacher", "--method", method]
    data = ["--data", "digits", "--subset", "10", "--batch-size", "24", "--augment", "crop-flip", "--device", "cpu"]
    command = ["distill", *networks, *data, "--epochs", "2", "--preparation-epochs", "4", "--lr", "0.01"]
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert main([*command, "--out", str(alone)]) == 0
    started = launch([*TWO, *command, "--out", str(shared)])
    _, complaints = started.communicate()
    assert started.returncode == 0, complaints
    expected, found = ([{**one, "stage": 0} for one in metrics(run)] for run in (alone, shared))
    assert [flat(one) for one in found] == [pytest.approx(flat(one), rel=1e-3) for one in expected]
    assert len(expected) == (6 if method == "sskd+kd" else 2)
