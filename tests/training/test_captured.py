"""A captured step trains as an eager one does, bit for bit, and says in one line where it cannot be captured."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.training.test_loop import SMALL, silent
from torch import Tensor

from wcord import api
from wcord.checks import RunError, UsageError
from wcord.data.batch import Batch
from wcord.data.dataset import DataSet
from wcord.data.opening import from_arrays
from wcord.features import Features
from wcord.host import no_reads, reads_are_off
from wcord.methods.catalogue import METHODS
from wcord.setup.job import Provided, prepare
from wcord.training.captured import (
    CapturedStep,
    CaptureError,
    Once,
    Recorder,
    obstacle_to_capture,
    recorder_for,
)
from wcord.training.checkpoint import load_checkpoint
from wcord.training.config import DistillConfig, TrainingConfig, configure, to_toml
from wcord.training.engine import make_accelerator, seed_everything
from wcord.training.loop import Trainer
from wcord.training.run import RunFolder

CPU = torch.device("cpu")


SETTINGS: dict[str, Any] = {
    "teacher": "resnet8",
    "student": "resnet8",
    "method": "wcord+kd",
    "set": ["wcord.num_negatives=16"],
    "allow_weak_teacher": True,
    "batch_size": 8,
    "epochs": 2,
    "eval_every": 2,
    "device": "cpu",
}


def pictures() -> DataSet:
    """Return 40 pictures of 4 classes, which are 5 batches, and 4 to test on."""
    draw = np.random.default_rng(0)
    x, y = draw.integers(0, 256, (40, 3, 8, 8), np.uint8), np.arange(40) % 4
    return replace(from_arrays(x, y, x[:4], y[:4]), augment="crop-flip")


class Rerun:
    """Stands in for the recorder of a GPU: a replay runs the step again, over the same buffers."""

    def run(self, once: Once) -> Tensor:
        return once()

    def record(self, once: Once) -> Once:
        return once


class Counting(Rerun):
    """Counts what is run eagerly and what is replayed."""

    def __init__(self) -> None:
        self.eager, self.replayed, self.recorded = 0, 0, 0

    def run(self, once: Once) -> Tensor:
        self.eager += 1
        return once()

    def record(self, once: Once) -> Once:
        assert reads_are_off()
        self.recorded += 1

        def replay() -> Tensor:
            self.replayed += 1
            return once()

        return replay


class Refusing(Rerun):
    def record(self, once: Once) -> Once:
        raise CaptureError("operation not permitted when stream is capturing")


def train(out: Path, recorder: Recorder | None, stop_after: int | None = None, **settings: Any) -> Trainer:
    """Train without looking at values, as on a GPU, with a recorder in place of the one that it would have."""
    config = configure(DistillConfig, SETTINGS | {"out": out} | settings)
    run = RunFolder(out) if out.exists() else RunFolder.create(out, to_toml(config))
    state = load_checkpoint(run.checkpoints, silent)
    job = prepare(config, Provided(data=pictures()), silent)
    trainer = Trainer(
        student=job.student,
        teacher=job.teacher,
        objective=job.objective,
        train=job.train,
        test=job.test,
        config=job.config.training,
        base_lr=0.05,
        run=run,
        accelerator=make_accelerator(config.training, out),
        recorder=recorder,
        state=state,
    )
    if stop_after is not None:
        trainer._stop_request = lambda interrupt: ("enough", None) if trainer.at.steps_done == stop_after else None
    with no_reads():
        outcome = trainer.fit()
    assert outcome.status == ("finished" if stop_after is None else "stopped")
    return trainer


def assert_same(one: Trainer, other: Trainer) -> None:
    """Bit for bit: weights, memories, and every number of the log but the time."""
    for part in ("shipped", "objective"):
        mine, theirs = getattr(one, part).state_dict(), getattr(other, part).state_dict()
        for name, value in mine.items():
            assert torch.equal(value, theirs[name]), (part, name)
    logs = [[entry | {"seconds": 0} for entry in trainer.run.metrics()] for trainer in (one, other)]
    assert logs[0] == logs[1]


CASES: dict[str, dict[str, Any]] = {
    "bank": {},
    "contrast of other classes": {"method": "crd+kd", "set": ["crd.num_negatives=16"]},
    "queue": {"set": ["wcord.num_negatives=16", "wcord.queue_size=24"], "mixup": 0.4, "epochs": 3},
    "anchored": {"method": "wcord-a+kd", "set": ["wcord-a.num_negatives=16", "wcord-a.anchor_end=0.1"]},
    "maps": {"method": "reviewkd+dist", "set": []},
    "preparation": {"method": "ft", "set": [], "preparation_epochs": 2},
    "student prepares": {"method": "ab", "set": [], "preparation_epochs": 2},
    "warm-up of a weight": {"method": "dkd", "set": []},
    "another optimiser": {"optimizer": "adamw", "clip_norm": 1.0, "ema": 0.9, "schedule": "cosine"},
    "half precision": {"precision": "bf16", "channels_last": True},
    "views": {"views": 2},
    "teacher ahead": {"teacher_ahead": 2},
    "teacher ahead of an epoch": {"teacher_ahead": 100, "method": "fitnet", "set": []},
}


@pytest.mark.parametrize("settings", CASES.values(), ids=list(CASES))
def test_a_captured_run_is_the_eager_run(tmp_path: Path, settings: dict[str, Any]) -> None:
    recorder = Counting()
    eager = train(tmp_path / "eager", None, **settings)
    assert_same(train(tmp_path / "captured", recorder, **settings), eager)
    stages = 2 if "preparation_epochs" in settings else 1
    assert recorder.recorded == stages
    assert recorder.eager >= 3 * stages
    assert recorder.replayed > 0


@pytest.mark.parametrize("method", [name for name, info in METHODS.items() if info.adapt_teacher is None])
def test_a_captured_run_of_each_method_is_the_eager_run(tmp_path: Path, method: str) -> None:
    recorder = Counting()
    settings: dict[str, Any] = {"method": method, "set": [], "preparation_epochs": 1}
    eager = train(tmp_path / "eager", None, **settings)
    assert_same(train(tmp_path / "captured", recorder, **settings), eager)
    assert recorder.replayed > 0


@pytest.mark.parametrize(("stop_after", "ahead"), [(2, 3), (5, 1), (7, 3)])
def test_a_captured_run_that_stops_goes_on_bit_for_bit(tmp_path: Path, stop_after: int, ahead: int) -> None:
    settings = {"teacher_ahead": ahead, "ema": 0.9}
    train(tmp_path / "run", Counting(), stop_after, **settings)
    assert_same(train(tmp_path / "run", Counting(), **settings), train(tmp_path / "whole", None, **settings))


def test_batches_of_another_size_run_eagerly(tmp_path: Path) -> None:
    """The last batch of an epoch is smaller, and no buffer takes it."""
    recorder = Counting()
    settings = {"epochs": 3, "batch_size": 9}  # of 40 samples: 4 full batches and one of 4
    captured = train(tmp_path / "run", recorder, **settings)
    assert (recorder.eager, recorder.replayed) == (3, 3 * 4 - 3)
    assert_same(captured, train(tmp_path / "eager", None, **settings))


def test_what_cannot_be_captured_runs_eagerly_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused = train(tmp_path / "refused", Refusing())
    notes = [line for line in capsys.readouterr().err.splitlines() if "captured" in line]
    assert notes == [
        "note: the step cannot be captured (operation not permitted when stream is capturing): it runs eagerly"
    ]
    assert_same(refused, train(tmp_path / "eager", None))


@pytest.mark.parametrize("draw", [lambda: torch.rand(1), random.random, np.random.rand])
def test_random_numbers_of_the_host_are_no_part_of_a_graph(draw: Callable[[], object]) -> None:
    """A graph would repeat what they have decided once; the numbers go on as if there had been no attempt."""

    class Running(Rerun):
        def record(self, once: Once) -> Once:
            once()  # as a capture runs the code of the host
            return once

    step = CapturedStep(
        lambda given, taught: (draw(), given.target.sum())[1], lambda: True, recorder=Running(), eager_steps=0
    )
    seed_everything(3)
    expected = [draw() for _ in range(2)]
    seed_everything(3)
    with pytest.raises(CaptureError, match="draws random numbers on the host"):
        step(batch(0))
    assert not step.is_captured
    assert [draw() for _ in range(2)] == expected


def test_what_must_be_captured_and_cannot_fails(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"--capture on: the step cannot be captured \(.*\): resume with --capture auto"):
        train(tmp_path / "run", Refusing(), capture="on")


def test_a_cpu_captures_nothing(tmp_path: Path) -> None:
    config = configure(DistillConfig, SMALL | {"out": tmp_path / "run", "capture": "on"})
    with pytest.raises(
        UsageError, match="--capture on: only a step on a CUDA GPU can be captured, received device cpu"
    ):
        api.start(config, say=silent)
    assert not (tmp_path / "run").exists()


def engine(processes: int = 1, device: str = "cuda") -> Any:
    return SimpleNamespace(device=torch.device(device), num_processes=processes)


@pytest.mark.parametrize(
    ("training", "accelerator", "reads", "reason"),
    [
        ({}, engine(2), "", "2 processes"),
        ({"gradient_accumulation_steps": 2}, engine(), "", "--gradient-accumulation-steps"),
        ({"precision": "fp16"}, engine(), "", "fp16"),
        ({}, engine(device="mps"), "", "received device mps"),
        ({}, engine(), "", "the teacher trains"),
        ({}, engine(), "kdsvd: torch.linalg.svd waits", "kdsvd"),
        ({"precision": "bf16", "views": 2}, engine(), "", ""),
    ],
)
def test_each_obstacle_is_named(training: dict[str, Any], accelerator: Any, reads: str, reason: str) -> None:
    training.pop("views", None)
    objective: Any = SimpleNamespace(reads=reads, teaches="teacher trains" in reason)
    config = TrainingConfig(**training)
    told: list[str] = []
    if not reason:
        assert obstacle_to_capture(config, objective, accelerator) == ""
        return
    assert reason in obstacle_to_capture(config, objective, accelerator)
    assert recorder_for(config, objective, accelerator, told.append) is None
    assert bool(told) == (accelerator.device.type == "cuda")  # elsewhere nobody expects it
    assert recorder_for(TrainingConfig(**training, capture="off"), objective, accelerator, told.append) is None
    with pytest.raises(UsageError, match="--capture on"):
        recorder_for(TrainingConfig(**training, capture="on"), objective, accelerator, told.append)


def batch(number: int, *, own: bool = False, rows: bool = True) -> Batch:
    seen = torch.full((2, 1), float(number))
    taught = seen + 100 if own else seen
    return Batch(seen, taught, torch.tensor([number, 0]), torch.tensor([number, 1]) if rows else None)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("ahead", [False, True])
def test_every_tensor_of_a_batch_reaches_the_buffers(own: bool, rows: bool, ahead: bool) -> None:
    seen: list[list[float]] = []

    def body(given: Batch, taught: Features | None) -> Tensor:
        values = [given.student_input.sum(), given.teacher_input.sum(), given.target.sum()]
        assert (given.student_input is given.teacher_input) != own
        values += [] if given.index is None else [given.index.sum()]
        values += [] if taught is None else [taught.logits.sum(), taught.embedding.sum(), taught.maps["m"].sum()]
        seen.append([float(value) for value in values])
        return values[0]

    step = CapturedStep(body, lambda: True, recorder=Rerun(), eager_steps=1)
    for number in range(4):
        known = torch.full((2,), 10.0 * number)
        taught = Features(known, known + 1, {"m": known + 2}) if ahead else None
        step(batch(number, own=own, rows=rows), taught)
    assert [values[0] for values in seen] == [0, 2, 4, 6]
    for number, values in enumerate(seen):
        expected = [2 * number, 2 * number + 200 * own, number] + ([number + 1] if rows else [])
        expected += [20 * number, 20 * number + 2, 20 * number + 4] if ahead else []
        assert values == expected


def test_a_step_is_captured_once_it_has_settled() -> None:
    settled = iter([False, False, True])
    recorder = Counting()
    step = CapturedStep(
        lambda given, taught: given.target.sum(), lambda: next(settled), recorder=recorder, eager_steps=2
    )
    states: list[bool] = []
    for number in range(6):
        step(batch(number))
        states.append(step.is_captured)
    assert states == [False] * 4 + [True] * 2
    assert (recorder.eager, recorder.replayed) == (4, 2)
