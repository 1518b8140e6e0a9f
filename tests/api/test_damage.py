"""Damage between a stop and --resume: told, mended from the checkpoint, or refused, and never in the result."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from wcord import api
from wcord.checks import RunError, UsageError
from wcord.training.config import TrainConfig, configure
from wcord.training.loop import Trainer

SMALL: dict[str, Any] = {"model": "mlp8x1", "data": "sklearn:iris", "epochs": 3, "batch_size": 60, "device": "cpu"}


def quiet(line: str) -> None:
    """Tell nobody."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a finished run, and the same one stopped after two epochs."""
    base = tmp_path_factory.mktemp("damage")
    api.start(configure(TrainConfig, SMALL | {"out": base / "whole"}), say=quiet)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_wish_to_stop", lambda trainer, _: ("enough", None) if trainer.at.epoch == 2 else None)
        api.start(configure(TrainConfig, SMALL | {"out": base / "stopped"}), say=quiet)
    return base / "whole", base / "stopped"


@pytest.fixture
def run(runs: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(runs[1], tmp_path / "run"))


def same(run: Path, whole: Path) -> bool:
    records = [json.loads((folder / "record.json").read_text()) for folder in (run, whole)]
    epochs = [[{**epoch, "seconds": 0} for epoch in record["epochs"]] for record in records]
    weights = [(folder / "student.safetensors").read_bytes() for folder in (run, whole)]
    return weights[0] == weights[1] and epochs[0] == epochs[1] and records[0]["metrics"] == records[1]["metrics"]


def test_all_that_is_damaged_is_told_in_a_line_each(runs: tuple[Path, Path], run: Path) -> None:
    newest = max((run / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:-3])
    (run / "metrics.jsonl").unlink()
    (run / "starts.jsonl").write_bytes(b"\0\0\n")
    said: list[str] = []
    api.resume(run, say=said.append)
    assert [line for line in said if "checkpoint" in line] == [
        f"note: checkpoint {newest.name} is skipped: it is cut short or damaged at its end; the run resumes from "
        "step-000000002.pt",
        "note: metrics.jsonl was damaged: its 1 lines are restored from the checkpoint",
        "note: starts.jsonl was damaged: it is restored from the checkpoint",
    ]
    assert same(run, runs[0])


def test_a_run_of_an_earlier_version_goes_on(runs: tuple[Path, Path], run: Path) -> None:
    for path in (run / "checkpoints").iterdir():
        state = torch.load(path, weights_only=True)
        state["metrics_lines"] = len(state.pop("logs")["metrics.jsonl"])
        torch.save(state, path)
    said: list[str] = []
    api.resume(run, say=said.append)
    assert not [line for line in said if "damaged" in line or "lost" in line]
    assert same(run, runs[0])


def test_a_record_without_the_epochs_that_an_earlier_version_lost(run: Path) -> None:
    for path in (run / "checkpoints").iterdir():
        state = torch.load(path, weights_only=True)
        state["metrics_lines"] = len(state.pop("logs")["metrics.jsonl"])
        torch.save(state, path)
    (run / "metrics.jsonl").unlink()
    said: list[str] = []
    record = api.resume(run, say=said.append).record
    assert "note: metrics.jsonl is damaged: of 2 epochs it holds 0, and so will the record" in said
    assert record is not None
    assert record.metrics["top1_best"] == record.metrics["top1_last"]


def test_a_finished_run_gets_its_log_back_and_without_checkpoints_stays_as_it_is(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(runs[0], tmp_path / "run"))
    (run / "metrics.jsonl").write_bytes(b"")
    api.resume(run, say=quiet)
    assert same(run, runs[0])
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 3
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(UsageError, match="is finished and its checkpoints are gone: there is nothing to resume"):
        api.resume(run, say=quiet)
    assert same(run, runs[0])


def test_a_run_without_its_checkpoints_begins_again_and_says_so(runs: tuple[Path, Path], run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    said: list[str] = []
    api.resume(run, say=said.append)
    assert any(re.fullmatch("note: .* holds no checkpoint: the run begins again at its first step", it) for it in said)
    assert same(run, runs[0])


def test_no_whole_checkpoint_is_a_failure_in_one_line_that_leaves_all_as_it_is(run: Path) -> None:
    for path in (run / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=r"no checkpoint in .* can be used .* runs it again$"):
        api.resume(run, say=quiet)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("change", ["a name", "a shape", "the optimizer", "the meter"])
def test_a_checkpoint_of_other_code_does_not_fit(run: Path, change: str) -> None:
    newest = max((run / "checkpoints").iterdir())
    state = torch.load(newest, weights_only=True)
    name = next(iter(state["student"]))
    if change == "a name":
        state["student"]["other"] = state["student"].pop(name)
    elif change == "a shape":
        state["student"][name] = torch.zeros(1, 1)
    else:
        state[change.removeprefix("the ")] = {"param_groups": 3}
    torch.save(state, newest)
    with pytest.raises(RunError, match=r"the checkpoint does not fit the network or ce as this code builds them") as it:
        api.resume(run, say=quiet)
    assert "\n" not in str(it.value)


@pytest.mark.parametrize(
    ("begun", "changed", "told"),
    [
        ("epochs = 3", "epochs = 7", "epochs is 7, but the run began with 3"),
        ("batch_size = 60", "batch_size = 61", "batch_size is 61, but the run began with 60"),
        ('model = "mlp8x1"', 'model = "mlp8x3"', "model is 'mlp8x3', but the run began with 'mlp8x1'"),
        ("\nseed = 0", "\nseed = 1", "seed is 1, but the run began with 0"),
    ],
)
def test_settings_that_have_changed_are_told(run: Path, begun: str, changed: str, told: str) -> None:
    text = (run / "config.toml").read_text()
    assert begun in text
    (run / "config.toml").write_text(text.replace(begun, changed, 1))
    with pytest.raises(UsageError, match=f"config.toml' has changed: {told}; restore it, or start a new run"):
        api.resume(run, say=quiet)
