"""On a GPU, steps that are replayed as a CUDA graph train as eager ones do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.test_captured import assert_same, train
from torch import Tensor, nn

from wcord.methods.catalogue import METHODS
from wcord.training.captured import GraphRecorder, Once
from wcord.training.loop import Trainer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

FIRST = ("kd", "wcord", "crd", "wcord+kd", "wcord-a+kd")
READING = ("kdsvd", *(name for name, info in METHODS.items() if info.adapt_teacher is not None))
"""Methods that wait for the device in every step."""
SIXTY: dict[str, Any] = {"device": "cuda", "epochs": 12, "eval_every": 12, "set": []}  # of 5 batches


@pytest.fixture(autouse=True)
def deterministic() -> Iterator[None]:
    """Convolutions always by the same algorithm, in float32."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


class Counting(GraphRecorder):
    """Counts the steps that are replayed."""

    def __init__(self) -> None:
        super().__init__()
        self.replayed = 0

    def record(self, once: Once) -> Once:
        replay = super().record(once)

        def counted() -> Tensor:
            self.replayed += 1
            return replay()

        return counted


def compare(one: Trainer, other: Trainer) -> None:
    for part in ("shipped", "objective"):
        mine, theirs = getattr(one, part).state_dict(), getattr(other, part).state_dict()
        for name, value in mine.items():
            torch.testing.assert_close(value, theirs[name], rtol=1e-4, atol=1e-4, msg=f"{part} {name}")


@pytest.mark.parametrize("method", [*FIRST, *sorted({*METHODS} - {*FIRST} - {*READING})])
def test_sixty_captured_steps_are_sixty_eager_ones(tmp_path: Path, method: str) -> None:
    recorder = Counting()
    eager = train(tmp_path / "eager", None, **SIXTY, method=method, preparation_epochs=2)
    captured = train(tmp_path / "captured", recorder, **SIXTY, method=method, preparation_epochs=2)
    assert recorder.replayed >= 40
    compare(captured, eager)


@pytest.mark.parametrize("stop_after", [2, 17])
@pytest.mark.parametrize("method", ["kd", "wcord+kd"])
def test_a_captured_run_that_stops_goes_on_bit_for_bit(tmp_path: Path, method: str, stop_after: int) -> None:
    settings = {**SIXTY, "method": method, "ema": 0.9, "teacher_ahead": 3}
    train(tmp_path / "run", Counting(), stop_after, **settings)
    assert_same(train(tmp_path / "run", Counting(), **settings), train(tmp_path / "whole", Counting(), **settings))


OTHERS: list[dict[str, Any]] = [
    {"optimizer": "adamw", "clip_norm": 1.0},
    {"precision": "bf16"},
    {"views": 2},
    {"channels_last": True, "student": "ShuffleV2"},
]


@pytest.mark.parametrize("settings", OTHERS)
def test_other_settings_are_captured_too(tmp_path: Path, settings: dict[str, Any]) -> None:
    eager = train(tmp_path / "eager", None, **SIXTY, method="wcord+kd", **settings)
    compare(train(tmp_path / "captured", Counting(), **SIXTY, method="wcord+kd", **settings), eager)


def test_a_student_that_looks_at_values_trains_eagerly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A capture that fails leaves a device that works, and random numbers where they were."""

    def looking(network: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        assert output.abs().max().item() >= 0

    prepared = Trainer._prepare

    def prepare(trainer: Trainer, distiller: Any) -> None:
        trainer.student.register_forward_hook(looking)
        prepared(trainer, distiller)

    monkeypatch.setattr(Trainer, "_prepare", prepare)
    eager = train(tmp_path / "eager", None, **SIXTY, method="wcord+kd")
    refused = train(tmp_path / "refused", GraphRecorder(), **SIXTY, method="wcord+kd")
    assert "the step cannot be captured" in capsys.readouterr().err
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    compare(refused, eager)
