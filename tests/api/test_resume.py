"""A run goes on with what it began with, in one process at a time, from any folder; else it says what is wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from wcord import api
from wcord.checks import RunError, UsageError
from wcord.claim import claim
from wcord.data.opening import from_arrays
from wcord.export import export
from wcord.setup.job import Provided
from wcord.training.config import DistillConfig, TrainConfig, configure

SMALL: dict[str, Any] = {"model": "resnet8", "epochs": 2, "batch_size": 8, "device": "cpu", "max_time": 1e-6}


def quiet(line: str) -> None:
    """Tell nobody."""


def pictures(root: Path, *, count: int = 6, seed: int = 0, suffix: str = "png") -> Path:
    generator = np.random.default_rng(seed)
    for split in ("train", "test"):
        for name in ("ant", "bee"):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = generator.integers(0, 256, (8, 8, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{i}.{suffix}")
    return root


def stopped(out: Path, **settings: Any) -> Path:
    """Begin a run that stops before its first step."""
    result = api.start(configure(TrainConfig, SMALL | {"out": out} | settings), say=quiet)
    assert result.outcome.status == "stopped"
    return result.run


def refused(run: Path, **more: Any) -> str:
    with pytest.raises(UsageError) as caught:
        api.resume(run, say=quiet, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_other_data_are_told_before_anything_else_and_the_right_ones_go_on(tmp_path: Path) -> None:
    root = pictures(tmp_path / "set")
    run = stopped(tmp_path / "run", data=f"imagefolder:{root}")
    (root / "train" / "ant").rename(root / "aside")
    (root / "train" / "bee").rename(root / "train" / "ant")
    (root / "aside").rename(root / "train" / "bee")
    assert "the train split holds other samples, though as many" in refused(run)
    for i in range(9):
        (root / "train" / "ant" / f"e{i}.png").write_bytes((root / "train" / "ant" / "0.png").read_bytes())
    told = refused(run)
    assert "the train split had 12 samples and now has 21. Restore them and resume again" in told
    for i in range(9):
        (root / "train" / "ant" / f"e{i}.png").unlink()
    (root / "train" / "ant").rename(root / "aside")
    (root / "train" / "bee").rename(root / "train" / "ant")
    (root / "aside").rename(root / "train" / "bee")
    assert api.resume(run, say=quiet, max_time=10.0).outcome.status == "finished"


def test_data_of_ones_own_are_compared_too(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).random((24, 1, 8, 8)).astype(np.float32), np.arange(24) % 2
    config = configure(TrainConfig, SMALL | {"out": tmp_path / "run", "data": "own:arrays"})
    run = api.start(config, Provided(data=from_arrays(x, y)), quiet).run
    assert "other labels" in refused(run, provided=Provided(data=from_arrays(x, np.where(y == 0, 1, 0))))
    assert "other samples" in refused(run, provided=Provided(data=from_arrays(x[::-1].copy(), y)))
    assert "had 20 samples and now has 16" in refused(run, provided=Provided(data=from_arrays(x[:20], y[:20])))
    assert (
        api.resume(run, provided=Provided(data=from_arrays(x, y)), say=quiet, max_time=10.0).outcome.status
        == "finished"
    )


def test_runs_of_earlier_versions_go_on(tmp_path: Path) -> None:
    root = pictures(tmp_path / "set")
    run = stopped(tmp_path / "run", data=f"imagefolder:{root}")
    start = json.loads((run / "starts.jsonl").read_text())
    assert set(start) == {"commit", "environment", "teacher", "folder", "data", "settings"}
    (run / "starts.jsonl").write_text(json.dumps({k: start[k] for k in ("commit", "environment", "teacher")}) + "\n")
    checkpoint = next((run / "checkpoints").iterdir())
    state = torch.load(checkpoint, weights_only=True)
    del state["logs"]
    torch.save(state | {"metrics_lines": 0}, checkpoint)
    pictures(tmp_path / "other", seed=1)
    root.rename(tmp_path / "aside")
    (tmp_path / "other").rename(root)
    assert api.resume(run, say=quiet, max_time=10.0).outcome.status == "finished"


def test_relative_paths_lead_from_where_the_run_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, here = tmp_path / "begun", tmp_path / "here"
    pictures(begun / "set")
    here.mkdir()
    monkeypatch.chdir(begun)
    api.start(configure(TrainConfig, SMALL | {"out": "t", "data": "imagefolder:set", "max_time": None}), say=quiet)
    settings = {"teacher": "resnet8", "student": "resnet8", "teacher_weights": "t/student.safetensors", "method": "kd"}
    settings |= {"out": "d", "data": "imagefolder:set", "allow_weak_teacher": True, "teacher_cache": "cache"}
    settings |= {name: SMALL[name] for name in ("epochs", "batch_size", "device", "max_time")}
    api.start(configure(DistillConfig, settings), say=quiet)
    monkeypatch.chdir(here)
    told: list[str] = []
    assert api.resume(begun / "d", say=told.append, max_time=10.0).outcome.status == "finished"
    assert (
        f"note: --teacher-weights: '{begun}/t/student.safetensors' is used, as the run was started in '{begun}'" in told
    )
    assert any(line.startswith("note: --data: ") for line in told)
    assert export(begun / "d", "torch").samples == 11
    # Where it no longer lies there, the present folder is looked at.
    (begun / "set").rename(here / "set")
    assert export(begun / "d", "torch").samples == 11


HOLD = "import sys, time; from pathlib import Path; from wcord.claim import claim\n"
HOLD += "with claim(Path(sys.argv[1])) as mine: print(mine, flush=True); time.sleep(60)"


def test_a_run_is_one_processs(tmp_path: Path) -> None:
    run = stopped(tmp_path / "a run")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(run)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "True\n"
    told = refused(run)
    assert f"is in use by process {other.pid} on " in told
    again = configure(TrainConfig, SMALL | {"out": run, "overwrite": True})
    with pytest.raises(UsageError, match=f"is in use by process {other.pid} on "):
        api.start(again, say=quiet)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    assert api.resume(run, say=quiet, max_time=1e-6).outcome.status == "stopped"
    assert api.start(again, say=quiet).outcome.status == "stopped"


def test_two_runs_of_one_thread_and_of_one_link_are_told_too(tmp_path: Path) -> None:
    run = stopped(tmp_path / "run")
    (tmp_path / "link").symlink_to(run)
    with claim(run):
        assert "is in use by process" in refused(tmp_path / "link")
    assert "is in use by process" not in str(api.resume(tmp_path / "link", say=quiet, max_time=1e-6))


def test_an_empty_folder_stays_empty_for_a_run_and_a_mistake_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    stopped(tmp_path / "out")
    with pytest.raises(UsageError, match="did you mean"):
        api.start(configure(TrainConfig, SMALL | {"out": tmp_path / "x" / "y", "model": "resnett8"}), say=quiet)
    assert not (tmp_path / "x").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_below_one_that_cannot_be_written_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "ground" / "out").mkdir(parents=True)
    (tmp_path / "ground").chmod(0o555)
    try:
        run = stopped(tmp_path / "ground" / "out")
        assert api.start(configure(TrainConfig, SMALL | {"out": run, "overwrite": True}), say=quiet)
        with claim(run):
            assert "is in use by" in refused(run)
    finally:
        (tmp_path / "ground").chmod(0o755)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_cannot_be_read_under_way_may_be_replaced(tmp_path: Path, split: str, workers: int) -> None:
    root = pictures(tmp_path / "set", suffix="bmp")
    bad = root / split / "bee" / "3.bmp"
    whole = bad.read_bytes()

    def damage(line: str) -> None:
        if line.startswith("training "):  # all checks are over
            bad.write_bytes(whole[:80])

    settings = {"data": f"imagefolder:{root}", "in_memory": "no", "workers": workers, "max_time": None}
    with pytest.raises(RunError, match=r"step \d+: image '.*3\.bmp' cannot be read .* resume with wcord train"):
        api.start(configure(TrainConfig, SMALL | {"out": tmp_path / "run"} | settings), say=damage)
    bad.write_bytes(whole[:-8] + bytes(8))  # another whole picture than the one that was there
    assert api.resume(tmp_path / "run", say=quiet).outcome.status == "finished"
    # From then on the data are what they are again.
    bad.write_bytes(whole)
    assert "other samples" in refused(tmp_path / "run")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"lr": 1e30, "subset": 4.0, "epochs": 1}, "step 0 left weights that are NaN, infinite"),
        ({"lr": 1e30, "subset": 4.0, "epochs": 1, "checkpoint_every": 1}, "step 0 left weights"),
        ({"lr": 1e30, "subset": 4.0, "epochs": 1, "ema": 0.5}, "step 0 left weights"),
        ({"lr": 1e18, "subset": 4.0, "epochs": 1}, "step 0"),
        ({"lr": 1e30, "subset": 4.0, "epochs": 1, "optimizer": "adamw"}, "step 0 left weights"),
    ],
)
def test_what_the_last_step_breaks_is_told_with_its_number(tmp_path: Path, settings: dict[str, Any], told: str) -> None:
    config = configure(TrainConfig, SMALL | {"out": tmp_path / "run", "max_time": None, "batch_size": 64} | settings)
    with pytest.raises(RunError, match=f"{told}.*lower --lr"):
        api.start(config, say=quiet)
    assert not list((tmp_path / "run").glob("checkpoints/*"))


def test_several_processes_share_one_claim(tmp_path: Path) -> None:
    out = tmp_path / "run"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "wcord.cli"]
    command = [*launch, "train", "--model", "mlp8x1", "--data", "sklearn:iris", "--epochs", "1", "--device", "cpu"]
    done = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, timeout=300)
    assert (out / "record.json").is_file(), done.stderr
    with claim(out):
        refusal = subprocess.run([*launch, "train", "--resume", str(out)], capture_output=True, text=True, timeout=300)
    assert refusal.returncode != 0
    assert "is in use by process" in refusal.stderr


def test_the_second_of_two_command_lines_is_told(tmp_path: Path) -> None:
    out = tmp_path / "t"
    wcord = [sys.executable, "-m", "wcord.cli", "train"]
    begun = [*wcord, "--model", "resnet8", "--data", "digits", "--epochs", "500", "--device", "cpu", "--out", str(out)]
    first = subprocess.Popen(begun, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while first.poll() is None and not list(out.glob("checkpoints/*.pt")):
        time.sleep(0.05)
    second = subprocess.run([*wcord, "--resume", str(out)], capture_output=True, text=True, timeout=300)
    first.send_signal(signal.SIGTERM)
    first.wait(timeout=120)
    assert second.returncode == 2, second.stderr
    assert f"is in use by process {first.pid} on " in second.stderr
    epochs = [json.loads(line)["epoch"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert epochs == list(range(1, len(epochs) + 1))
