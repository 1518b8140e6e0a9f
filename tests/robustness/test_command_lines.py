"""Command lines that are wrong: each is told in one line, with its exit code, and leaves nothing behind."""

import os
import pickle
import re
import shlex
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from wcord.cli import main
from wcord.models.card import ModelCard
from wcord.models.create import create_model
from wcord.models.weights import save_weights

CORPUS: dict[str, Any] = tomllib.loads(Path(__file__).with_name("command_lines.toml").read_text(encoding="utf-8"))
FILES: dict[str, str] = CORPUS.pop("files")
TEACHER = "--teacher resnet8 --teacher-weights run/student.safetensors --allow-weak-teacher --epochs 1 --subset 4"
SECONDS = 20
"""What a wrong line may take, on a machine that does other things, too."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs, weights and data, whole ones and broken ones, in which the lines are run."""
    folder = tmp_path_factory.mktemp("world")
    make_world(folder)
    return folder


def make_world(folder: Path) -> None:
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "empty").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "bytes.toml").write_bytes(b"model = '\xff'\n")
    (folder / "wide.toml").write_text("model = 'resnet8'\n", encoding="utf-16")
    _make_data(folder)
    _make_weights(folder)
    small = ["--data", "digits", "--subset", "4", "--batch-size", "16", "--epochs", "2", "--device", "cpu"]
    assert main(["train", "--model", "resnet8", *small, "--out", str(folder / "run")]) == 0
    assert main(["train", "--model", "resnet8", *small, "--out", str(folder / "stopped"), "--max-time", "1e-6"]) == 0


def _make_data(folder: Path) -> None:
    for split in ("train", "test"):
        for number, name in enumerate("ab"):
            (folder / "pics" / split / name).mkdir(parents=True)
            for i in range(4):
                Image.new("RGB", (8, 8), (60 * number, i, 0)).save(folder / "pics" / split / name / f"{i}.png")
    images, labels = np.zeros((6, 8, 8), np.uint8), np.arange(6) % 2
    np.savez(folder / "scalar.npz", x_train=images, y_train=np.array(1))
    np.savez(folder / "other_names.npz", images=images, labels=labels)
    np.savez(folder / "short.npz", x_train=images, y_train=labels[:3])


def _make_weights(folder: Path) -> None:
    own = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    state = {f"body.{key}": value for key, value in own.state_dict().items()}
    torch.save(state, folder / "own.pth")
    torch.save({**state, "body.1.weight": torch.full((10, 64), float("nan"))}, folder / "nan.pth")
    torch.save(own, folder / "pickle.pth")
    torch.save([1, 2], folder / "list.pth")
    (folder / "plain_pickle.pth").write_bytes(pickle.dumps({key: value.numpy() for key, value in state.items()}))
    (folder / "cut.pth").write_bytes((folder / "own.pth").read_bytes()[:500])
    (folder / "tar.pth").write_bytes(b"storages\0" + bytes(4096))
    flowers = ("setosa", "versicolor", "virginica")
    columns = ("petal length (cm)", "petal width (cm)")
    card = ModelCard("mlp8x1", 3, 2, (1, 1), flowers, (3.0, 1.0), (1.0, 1.0), columns=columns)
    network = create_model("mlp8x1", num_classes=3, in_channels=2, image_size=(1, 1))
    save_weights(network, folder / "flowers.safetensors", card=card)
    digits = ModelCard("nets:plain", 10, 1, (8, 8), tuple("0123456789"), (0.5,), (0.5,))
    save_weights(nn.ModuleDict({"body": own}), folder / "own.safetensors", card=digits)
    few = ModelCard("resnet8", 2, 1, (8, 8), ("0", "1"), (0.5,), (0.5,))
    save_weights(create_model("resnet8", num_classes=2, in_channels=1), folder / "few_classes.safetensors", card=few)


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    found = {path: path.lstat() for path in folder.rglob("*")}
    return {
        str(path.relative_to(folder)): (stat.st_size, stat.st_mtime_ns)
        for path, stat in found.items()
        if "__pycache__" not in path.parts and path.suffix != ".lock" and not path.is_dir()
    }


def words_of(command: str, line: str, out: Path) -> list[str]:
    words = shlex.split(line.replace("TEACHER", TEACHER, 1) if line.startswith("TEACHER") else line)
    places = {"OUT": str(out), "LONG": str(out.parent / ("long" * 75))}
    return [*([] if command == "none" else [command]), *(places.get(word, word) for word in words)]


@pytest.mark.parametrize("command", list(CORPUS))
def test_wrong_lines_are_told_in_one(
    command: str,
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tally: Any,
) -> None:
    monkeypatch.chdir(world)
    entries = CORPUS[command]
    count = tally.share(ci=1 + len(entries) // 5, full=len(entries))
    faults = []
    for number in range(count):
        entry = entries[number * len(entries) // count]
        fault = tried(command, entry, world, tmp_path / str(number), capfd)
        tally("wrong command lines", held=fault is None)
        faults += [] if fault is None else [f"{command} {entry[0]}: {fault}"]
    assert faults == []


def tried(command: str, entry: list[Any], world: Path, place: Path, capfd: pytest.CaptureFixture[str]) -> str | None:
    """Run a line and return what is wrong with what became of it."""
    line, code, pattern, *more = entry
    place.mkdir()
    before, began = contents(world), time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (more[0] if more else {}).items():
            patch.setenv(name, value)
        ended = main(words_of(command, line, place / "out"))
    took, told = time.monotonic() - began, capfd.readouterr().err
    last = told.splitlines()[-1] if told else ""
    wrong = {
        f"exit code {ended}": ended != code,
        f"it took {took:.0f} seconds": took > SECONDS,
        f"said {told!r}": [part[:7] for part in told.splitlines()].count("wcord: ") != 1
        or not re.match(rf"wcord: .*{pattern}", last),
        "a traceback": "Traceback" in told or "Warning" in told,
        "files changed beside": contents(world) != before,
        "something is left": code == 2 and command != "benchmark" and (place / "out").exists(),
    }
    return next((text for text, holds in wrong.items() if holds), None)
