"""The command line as a stranger meets it: help, lists, results, and one clear line with its code for a mistake."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from wcord.cli import main

TRAIN = ["train", "--model", "resnet8", "--subset", "12", "--epochs", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "teacher"
    assert main([*TRAIN, "--out", str(out)]) == 0
    return out


def mistake(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """Run a wrong command and return its one line."""
    assert main(list(arguments)) == code
    captured = capsys.readouterr()
    # What was found on the way may be told before; the mistake itself is the last line, and one line.
    *before, line = captured.err.strip().splitlines()
    assert line.startswith("wcord: ")
    assert all(told.startswith(("note: ", "teacher ")) for told in before), captured.err
    return line


def test_a_wrong_value_gets_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = mistake(capsys, *TRAIN[:3], "--epochs", "x", "--out", str(tmp_path / "new"))
    assert told == "wcord: --epochs must be a whole number between 1 and 1000000, received 'x'"


def test_train_distill_evaluate_predict_report(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'teacher = "resnet8"\nteacher_weights = "{run / "student.safetensors"}"\nstudent = "resnet8"\n'
        "allow_weak_teacher = true\nmethod = 'kd'\nsubset = 12.0\n[training]\nepochs = 3\ndevice = 'cpu'\n"
    )
    flags = ["--method", "lskd", "--epochs", "1", "--out", str(tmp_path / "small")]
    assert main(["distill", "--recipe", str(recipe), *flags]) == 0
    captured = capsys.readouterr()
    assert "epoch   1/1" in captured.err
    assert "lskd" in captured.out
    record = json.loads((tmp_path / "small" / "record.json").read_text())
    assert record["method"] == "lskd"
    assert len(record["epochs"]) == 1

    weights = str(tmp_path / "small" / "student.safetensors")
    assert main(["evaluate", "--weights", weights, "--device", "cpu", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["top1"] == pytest.approx(record["metrics"]["top1_last"])

    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "dark.png")
    assert main(["predict", "--weights", weights, str(tmp_path / "dark.png"), "--json"]) == 0
    (guess,) = json.loads(capsys.readouterr().out)
    assert len(guess["classes"]) == 3
    assert main(["predict", "--weights", weights, str(tmp_path / "dark.png")]) == 0
    assert "dark.png" in capsys.readouterr().out

    page = tmp_path / "compare.html"
    assert main(["report", str(run), str(tmp_path / "small"), "--out", str(page)]) == 0
    assert "<html" in page.read_text()


def test_a_stopped_run_says_how_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main([*TRAIN, "--out", str(out), "--max-time", "0.00001"]) == 0
    assert f"resume with: wcord train --resume {out}" in capsys.readouterr().err
    assert main(["train", "--resume", str(out), "--max-time", "10"]) == 0
    assert (out / "record.json").is_file()


def test_mistakes_get_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    out = ["--out", str(tmp_path / "new")]
    distill = ["distill", "--teacher", "resnet8", "--student", "resnet8", *out]
    assert "unknown command 'distil': did you mean 'distill'" in mistake(capsys, "distil")
    assert "unknown option '--metod': did you mean '--method'" in mistake(capsys, *distill, "--metod", "kd")
    assert "missing --student" in mistake(capsys, "distill", "--teacher", "resnet8", *out)
    assert "did you mean 'wcord'" in mistake(capsys, *distill, "--method", "wcrod")
    assert "did you mean 'resnet" in mistake(capsys, "train", "--model", "resnett8", *out)
    assert "does not exist" in mistake(capsys, *distill, "--teacher-weights", "none.pth")
    assert "recipe 'none.toml' does not exist" in mistake(capsys, "distill", "--recipe", "none.toml")
    assert "near chance" in mistake(capsys, *distill, "--method", "kd")
    assert "exists: name another folder" in mistake(capsys, *TRAIN, "--out", str(run))
    assert "does not exist: check the path" in mistake(capsys, "distill", "--resume", str(tmp_path / "none"))
    assert "is not a run folder" in mistake(capsys, "distill", "--resume", str(tmp_path))
    assert "is not a run" in mistake(capsys, "report", str(tmp_path))
    assert "name files or folders" in mistake(capsys, "predict", "--weights", "x.safetensors")
    assert "nothing to evaluate" in mistake(capsys, "evaluate")
    (tmp_path / "file").write_text("")
    assert "cannot be written" in mistake(capsys, *TRAIN, "--out", str(tmp_path / "file" / "run"))
    if not torch.cuda.is_available():
        assert "no CUDA device is visible" in mistake(capsys, *TRAIN, *out, "--device", "cuda")
    assert not (tmp_path / "new").exists()


def test_a_recipe_with_an_unknown_key_offers_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "recipe.toml").write_text('teacher = "resnet8"\n[training]\nepoch = 3\n')
    line = mistake(capsys, "distill", "--recipe", str(tmp_path / "recipe.toml"))
    assert "unknown setting in [training] 'epoch': did you mean 'epochs'" in line


def test_data_that_is_wrong_gets_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "set" / "train" / name).mkdir(parents=True)
        (tmp_path / "set" / "test" / name).mkdir(parents=True)
        for split in ("train", "test"):
            for i in range(4):
                Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(tmp_path / "set" / split / name / f"{i}.png")
    train = ["train", "--model", "resnet8", "--out", str(tmp_path / "run"), "--epochs", "1", "--device", "cpu"]
    source = ["--data", f"imagefolder:{tmp_path / 'set'}"]
    bad = tmp_path / "set" / "train" / "cat" / "2.png"
    bad.write_bytes(bad.read_bytes()[:40])
    assert f"image '{bad}' cannot be read" in mistake(capsys, *train, *source)
    assert main([*train, *source, "--skip-bad-images"]) == 0
    notes = json.loads((tmp_path / "run" / "record.json").read_text())["notes"]
    assert any("left out 1 of 8 train images, unreadable" in note for note in notes)
    capsys.readouterr()
    train[4] = str(tmp_path / "other")
    (tmp_path / "set" / "train" / "cow").mkdir()
    assert "cow" in mistake(capsys, *train, *source)
    values = np.zeros((8, 1, 8, 8), np.float32)
    values[3, 0, 0, 0] = np.nan
    np.savez(tmp_path / "a.npz", x_train=values, y_train=np.arange(8) % 2)
    assert "NaN" in mistake(capsys, *train, "--data", f"npz:{tmp_path / 'a.npz'}")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_a_terminal_tells_all_processes_stops_the_run_with_its_state_saved(tmp_path: Path, number: int) -> None:
    """Ctrl-C reaches the processes that decode images too, and so does what torchrun and batch systems send."""
    for name in ("cat", "dog"):
        for split, count in (("train", 400), ("test", 2)):
            folder = tmp_path / "set" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                Image.fromarray(np.full((8, 8), i % 256, np.uint8)).save(folder / f"{i}.png")
    run = tmp_path / "run"
    streamed = ["--data", f"imagefolder:{tmp_path / 'set'}", "--in-memory", "no", "--workers", "2"]
    command = ["train", "--model", "resnet8", *streamed, "--epochs", "40", "--batch-size", "8", "--device", "cpu"]
    started = subprocess.Popen(
        [sys.executable, "-m", "wcord.cli", *command, "--out", str(run)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    log = run / "metrics.jsonl"
    while started.poll() is None and not (log.is_file() and log.read_text()):
        time.sleep(0.02)
    time.sleep(0.3)  # into the next epoch, whose batches are being decoded
    os.killpg(started.pid, number)
    _, told = started.communicate(timeout=60)
    assert started.returncode == 128 + number, told
    assert "state saved" in told
    assert len(list((run / "checkpoints").iterdir())) == 2
