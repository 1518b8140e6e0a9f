"""Equal runs leave equal files, in whatever process, and equal teachers are one teacher."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from wcord import api
from wcord.checks import UsageError
from wcord.cli import main
from wcord.export import export
from wcord.files import sha256
from wcord.models.weights import digest, read_card
from wcord.training.config import DistillConfig, configure

SMALL = ["--subset", "6", "--epochs", "1", "--batch-size", "20", "--device", "cpu"]


def quiet(line: str) -> None:
    """Tell nobody."""


def commands(folder: Path) -> list[list[str]]:
    train, student = ["train", "--model", "resnet8", *SMALL, "--out", str(folder / "teacher")], str(folder / "student")
    networks = ["--teacher", "resnet8", "--teacher-weights", str(folder / "teacher" / "student.safetensors")]
    networks += ["--student", "resnet8", "--method", "kd", "--allow-weak-teacher"]
    return [train, ["distill", *networks, *SMALL, "--out", student]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A training and a distillation in this process, and the same in another."""
    base = tmp_path_factory.mktemp("equal")
    assert [main(command) for command in commands(base / "one")] == [0, 0]
    code = "import json, sys; from wcord.cli import main; sys.exit(any([main(c) for c in json.loads(sys.argv[1])]))"
    subprocess.run([sys.executable, "-c", code, json.dumps(commands(base / "two"))], check=True)
    return [base / name / kind for name in ("one", "two") for kind in ("teacher", "student")]


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("name", ["student.safetensors", "analysis.npz"])
def test_two_equal_runs_leave_equal_files(runs: list[Path], which: int, name: str) -> None:
    assert sha256(runs[which] / name) == sha256(runs[which + 2] / name)


def test_their_records_and_checkpoints_differ_in_times_and_places_alone(runs: list[Path]) -> None:
    one, two = (json.loads((run / "record.json").read_text()) for run in (runs[1], runs[3]))
    for record in (one, two):
        for name in ("created", "wall_seconds", "cost"):
            del record[name]
        for name in ("out", "teacher_weights"):
            del record["config"][name]
        for epoch in record["epochs"]:
            del epoch["seconds"]
    assert one == two
    states = [torch.load(next((run / "checkpoints").iterdir()), weights_only=True) for run in (runs[1], runs[3])]
    for state in states:
        del state["seconds"]
        del state["logs"]  # which hold times and places
    assert str(states[0]) == str(states[1])


def test_exports_of_equal_students_are_equal(runs: list[Path], tmp_path: Path) -> None:
    made = [export(run, "torch", out=tmp_path / str(i) / "s.pt2").path for i, run in enumerate((runs[0], runs[2]))]
    one, two = (torch.export.load(path).state_dict for path in made)
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def resumed(tmp_path: Path, began: Path, goes_on: Path) -> api.Result:
    """Begin a distillation with one file as the teacher, and go on with another in its place."""
    place = tmp_path / "teacher.safetensors"
    place.write_bytes(began.read_bytes())
    settings: dict[str, Any] = {"teacher": "resnet8", "teacher_weights": place, "student": "resnet8", "method": "kd"}
    settings |= {"allow_weak_teacher": True, "subset": 6.0, "epochs": 1, "device": "cpu", "max_time": 1e-6}
    run = api.start(configure(DistillConfig, settings | {"out": tmp_path / "run"}), say=quiet).run
    place.write_bytes(goes_on.read_bytes())
    return api.resume(run, say=quiet, max_time=10.0)


def written_again(source: Path, target: Path, *, times: float = 1.0) -> Path:
    """Write a weights file as an earlier version might have: its metadata in another order."""
    card = read_card(source)
    assert card is not None
    tensors = {name: (value * times).to(value.dtype) for name, value in load_file(source).items()}
    before = source.read_bytes()
    for _ in range(50):
        save_file(tensors, target, metadata={"wcord": card.to_metadata()["wcord"], "format": "pt"})
        if target.read_bytes() != before:
            break
    return target


def test_an_equal_teacher_goes_on_whatever_its_bytes(runs: list[Path], tmp_path: Path) -> None:
    source = runs[0] / "student.safetensors"
    again = written_again(source, tmp_path / "again.safetensors")
    assert sha256(again) != sha256(source)
    assert digest(again) == digest(source)
    result = resumed(tmp_path, source, again)
    assert result.record is not None
    assert result.record.teacher_digest == digest(source)


def test_another_teacher_does_not(runs: list[Path], tmp_path: Path) -> None:
    source = runs[0] / "student.safetensors"
    with pytest.raises(UsageError, match="began with a teacher other than"):
        resumed(tmp_path, source, written_again(source, tmp_path / "again.safetensors", times=1.001))


def test_runs_that_noted_the_files_digest_go_on(runs: list[Path], tmp_path: Path) -> None:
    source = runs[0] / "student.safetensors"
    settings: dict[str, Any] = {"teacher": "resnet8", "teacher_weights": source, "student": "resnet8", "method": "kd"}
    settings |= {"allow_weak_teacher": True, "subset": 6.0, "epochs": 1, "device": "cpu", "max_time": 1e-6}
    run = api.start(configure(DistillConfig, settings | {"out": tmp_path / "run"}), say=quiet).run
    start = json.loads((run / "starts.jsonl").read_text())
    with source.open("rb") as file:
        start["teacher"] = hashlib.file_digest(file, "sha256").hexdigest()
    (run / "starts.jsonl").write_text(json.dumps(start) + "\n")
    checkpoint = next((run / "checkpoints").iterdir())
    state = torch.load(checkpoint, weights_only=True)
    del state["logs"]
    torch.save(state | {"metrics_lines": 0}, checkpoint)
    assert api.resume(run, say=quiet, max_time=10.0).outcome.status == "finished"
