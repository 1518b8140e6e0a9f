"""Steps of the optimiser: accumulated gradients are those of one larger batch, and overflows of fp16 are left out."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import nn

from wcord import api
from wcord.checks import UsageError
from wcord.methods.term import Preparation
from wcord.training.config import DistillConfig, TrainConfig, TrainingConfig, configure
from wcord.training.engine import make_accelerator
from wcord.training.loop import Trainer
from wcord.training.update import Update

TABLE: dict[str, Any] = {
    "model": "mlp16x1", "data": "sklearn:wine", "epochs": 3, "lr": 0.05, "device": "cpu", "schedule": "cosine",
    "eval_every": 3,
}  # fmt: skip
"""142 training samples and no BatchNorm: what a sample's gradient is does not depend on the others in its batch."""


def silent(line: str) -> None:
    pass


def trained(out: Path, **settings: Any) -> dict[str, torch.Tensor]:
    result = api.start(configure(TrainConfig, TABLE | {"out": out} | settings), say=silent)
    assert result.outcome.status == "finished"
    return load_file(out / "student.safetensors")


def assert_close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize(
    ("batch_size", "accumulated", "more"),
    [
        (16, 4, {}),  # 142 = 2 · 64 + 14: the last step of an epoch is of one batch, and that is not whole
        (32, 2, {"ema": 0.9, "clip_norm": 0.5}),
        (8, 8, {"optimizer": "adamw", "lr": 0.01, "warmup_epochs": 1.5}),
        (16, 4, {"label_smoothing": 0.1, "weight_decay": 0.0, "schedule": "step"}),
    ],
)
def test_accumulated_batches_train_as_one_of_their_size(
    tmp_path: Path, batch_size: int, accumulated: int, more: dict[str, Any]
) -> None:
    whole = trained(tmp_path / "whole", batch_size=64, **more)
    parts = trained(tmp_path / "parts", batch_size=batch_size, gradient_accumulation_steps=accumulated, **more)
    assert_close(parts, whole)
    logs = [
        [json.loads(line) for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()]
        for run in ("whole", "parts")
    ]
    for one, other in zip(*logs, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-4)
        assert other["lr"] == one["lr"]


def test_checkpoints_count_optimiser_steps(tmp_path: Path) -> None:
    trained(tmp_path / "run", batch_size=16, gradient_accumulation_steps=4, checkpoint_every=2, epochs=2)
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == ["step-000000004.pt", "step-000000006.pt"]  # three steps an epoch


@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_a_run_that_accumulates_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    """Also with a memory, which is written at each batch, and a bank of the whole training set."""
    settings: dict[str, Any] = {
        "teacher": "mlp32x1", "student": "mlp16x1", "data": "sklearn:wine", "device": "cpu", "epochs": 2,
        "allow_weak_teacher": True, "method": "wcord+kd", "set": ["wcord.num_negatives=16"], "batch_size": 16,
        "gradient_accumulation_steps": 4, "clip_norm": 1.0, "ema": 0.9,
    }  # fmt: skip
    api.start(configure(DistillConfig, settings | {"out": tmp_path / "whole"}), say=silent)
    decide, asked = Trainer._stop_request, []

    def stop(trainer: Trainer, *arguments: Any) -> tuple[str, Any] | None:
        asked.append(trainer.at.batch)
        return ("enough", None) if trainer.at.steps_done == stop_after else decide(trainer, *arguments)

    monkeypatch.setattr(Trainer, "_stop_request", stop)
    stopped = api.start(configure(DistillConfig, settings | {"out": tmp_path / "run"}), say=silent)
    assert stopped.outcome.status == "stopped"
    assert all(batch % 4 == 0 for batch in asked)  # never with gradients that no checkpoint holds
    monkeypatch.undo()
    assert api.resume(tmp_path / "run", say=silent).outcome.status == "finished"
    whole, run = (load_file(tmp_path / name / "student.safetensors") for name in ("whole", "run"))
    assert all(torch.equal(value, run[name]) for name, value in whole.items())


@pytest.mark.parametrize("value", [0, -1])
def test_less_than_one_batch_a_step_is_refused(tmp_path: Path, value: int) -> None:
    with pytest.raises(UsageError, match="gradient_accumulation_steps must be"):
        trained(tmp_path / "run", gradient_accumulation_steps=value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_fp16_needs_a_gpu(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--precision fp16 needs a CUDA GPU, received device cpu: use bf16 or fp32"):
        trained(tmp_path / "run", precision="fp16")


def scaled(tmp_path: Path, weight: nn.Parameter, scale: float = 4.0, **config: Any) -> Update:
    """Return an update on the CPU with the scaler that Accelerate makes for fp16 on a GPU."""
    accelerator = make_accelerator(TrainingConfig(device="cpu"), tmp_path)
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=2)
    return Update({1.0: [weight]}, TrainingConfig(momentum=0.0, weight_decay=0.0, **config), 1.0, accelerator)


def test_a_scaled_loss_moves_weights_as_the_loss_does(tmp_path: Path) -> None:
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    step = scaled(tmp_path, weight, clip_norm=0.5)
    step.set_rate(0.1)
    step.backward((weight * torch.tensor([3.0, 0.0])).sum())
    step.backward((weight * torch.tensor([0.0, 4.0])).sum())
    assert step.step()
    # The gradient (3, 4) of norm 5 is cut to norm 0.5 after it was brought back to its scale.
    assert weight.tolist() == pytest.approx([1 - 0.1 * 0.3, 2 - 0.1 * 0.4])
    assert weight.grad is None


def test_a_stage_with_a_rate_of_its_own_ignores_the_runs(tmp_path: Path) -> None:
    weights = [nn.Parameter(torch.zeros(1)) for _ in range(3)]
    own = Preparation(lr=0.05, milestones=(0.5, 0.75))
    groups: dict[float | Preparation, list[nn.Parameter]] = {0.2: weights[:1], 7.0: [], own: weights[1:]}
    accelerator = make_accelerator(TrainingConfig(device="cpu"), tmp_path)
    update = Update(groups, TrainingConfig(), 0.3, accelerator)
    rates = []
    for epoch in range(8):
        update.set_rate(0.01, epoch, 8)
        rates.append([group["lr"] for group in update.optimizer.param_groups])
    assert [rate for rate, _ in rates] == [0.01 * 0.2] * 8
    assert [rate for _, rate in rates] == pytest.approx([0.05] * 4 + [0.005] * 2 + [0.0005] * 2)
    assert update.shown_rate(0.01, 5, 8) == 0.01  # a group follows the run
    alone = Update({own: weights}, TrainingConfig(), 0.3, accelerator)
    assert alone.shown_rate(0.01, 5, 8) == pytest.approx(0.005)


def test_an_overflow_is_left_out_counted_and_halves_the_scale(tmp_path: Path) -> None:
    weight = nn.Parameter(torch.tensor([1.0]))
    step = scaled(tmp_path, weight, clip_norm=1.0)
    for number, factor in enumerate((torch.inf, 1.0, torch.inf, torch.nan)):
        before = weight.detach().clone()
        step.backward((weight * factor).sum())
        assert step.step() == (number == 1)
        assert torch.equal(weight.detach(), before) == (number != 1)
    assert step.skipped == 3
    assert step.scaler is not None
    assert step.scaler.get_scale() == 4.0 / 2**3


def test_scale_and_count_go_through_a_checkpoint(tmp_path: Path) -> None:
    weight = nn.Parameter(torch.tensor([1.0]))
    step = scaled(tmp_path, weight)
    for factor in (torch.inf, 1.0):
        step.backward((weight * factor).sum())
        step.step()
    torch.save(step.state_dict(), tmp_path / "state.pt")
    other = scaled(tmp_path, nn.Parameter(torch.tensor([1.0])), scale=1024.0)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert other.skipped == 1
    for one in (step, other):
        assert one.scaler is not None
        one.backward((weight * 1.0 if one is step else next(iter(other.parameters)) * 1.0).sum())
        one.step()
        assert one.scaler.get_scale() == 4.0  # 2, and doubled after the second good step in a row
    plain = Update({1.0: [weight]}, TrainingConfig(), 1.0, make_accelerator(TrainingConfig(device="cpu"), tmp_path))
    plain.load_state_dict({"optimizer": plain.state_dict()["optimizer"]})  # as earlier versions wrote it
    assert plain.skipped == 0


def moved(optimizer: torch.optim.Optimizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Update:
    monkeypatch.setattr("wcord.training.update.make_optimizer", lambda *_: optimizer)
    return Update({1.0: []}, TrainingConfig(), 1.0, make_accelerator(TrainingConfig(device="cpu"), tmp_path))


def sgd(fused: bool, *weights: nn.Parameter) -> torch.optim.Optimizer:
    """Return the optimiser of a GPU, which also a CPU has, or that of a CPU."""
    groups = [{"params": [*weights], "factor": 1.0, "lr": torch.tensor(0.1) if fused else 0.1}]
    return torch.optim.SGD(groups, momentum=0.9, weight_decay=0.1, fused=fused or None)


def test_a_weight_may_get_its_first_gradient_later_than_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with layers that are left out in some steps; one launch for all weights takes momenta of all or of none."""
    ended: list[list[float]] = []
    for fused in (False, True):
        first, second = nn.Parameter(torch.tensor([1.0])), nn.Parameter(torch.tensor([2.0]))
        step = moved(sgd(fused, first, second), tmp_path, monkeypatch)
        for number in range(4):
            step.set_rate(0.1 if number < 2 else 0.05)
            step.backward((3 * first + (4 * second if number else 0)).sum())
            step.step()
        ended.append([first.item(), second.item()])
    assert ended[1] == pytest.approx(ended[0], rel=1e-6)


@pytest.mark.parametrize(("begins", "goes_on"), [(True, False), (False, True), (True, True)])
def test_an_optimiser_goes_on_in_its_own_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begins: bool, goes_on: bool
) -> None:
    """A run may start on a GPU and be resumed without one, or the reverse; only its momenta are kept."""
    weight = nn.Parameter(torch.tensor([1.0]))
    step = moved(sgd(begins, weight), tmp_path, monkeypatch)
    step.set_rate(0.1)
    step.backward((2 * weight).sum())
    step.step()
    torch.save(step.state_dict(), tmp_path / "state.pt")
    other_weight = nn.Parameter(weight.detach().clone())
    other = moved(sgd(goes_on, other_weight), tmp_path, monkeypatch)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert bool(other.optimizer.param_groups[0]["fused"]) is goes_on
    assert isinstance(other.optimizer.param_groups[0]["lr"], torch.Tensor) is goes_on
    for each, own in ((step, weight), (other, other_weight)):
        each.set_rate(0.05)
        each.backward((2 * own).sum())
        each.step()
    assert other_weight.item() == pytest.approx(weight.item(), rel=1e-6)


def with_scaler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs on the CPU scale their loss as runs in fp16 do."""
    made = Accelerator.prepare
    scalers: dict[int, torch.amp.GradScaler] = {}
    engines: list[Accelerator] = []  # alive, so that no two share an id

    def prepare(accelerator: Accelerator, *objects: Any, **options: Any) -> Any:
        if accelerator.scaler is None:
            engines.append(accelerator)
            accelerator.scaler = scalers.setdefault(
                id(accelerator), torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=3)
            )
        return made(accelerator, *objects, **options)

    backward = Update.backward
    monkeypatch.setattr(Accelerator, "prepare", prepare)
    # The largest scale there is does not yet overflow with a loss near 1.
    monkeypatch.setattr(Update, "backward", lambda step, loss: backward(step, loss * 64))


def test_a_run_with_a_scale_skips_counts_and_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scale that overflows at first is no failure; a stop keeps scale and count."""
    with_scaler(monkeypatch)
    settings = {"batch_size": 16, "ema": 0.9, "lr": 0.05 / 64}
    trained(tmp_path / "whole", **settings)
    log = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert log[0]["skipped_steps"] > 0
    assert log[-1]["loss"] < log[0]["loss"]
    decide = Trainer._stop_request

    def stop(trainer: Trainer, *arguments: Any) -> tuple[str, Any] | None:
        return ("enough", None) if trainer.at.steps_done == 5 else decide(trainer, *arguments)

    monkeypatch.setattr(Trainer, "_stop_request", stop)
    config = configure(TrainConfig, TABLE | settings | {"out": tmp_path / "run"})
    assert api.start(config, say=silent).outcome.status == "stopped"
    monkeypatch.setattr(Trainer, "_stop_request", decide)
    assert api.resume(tmp_path / "run", say=silent).outcome.status == "finished"
    logs = [
        [
            {k: v for k, v in json.loads(line).items() if k != "seconds"}
            for line in (run / "metrics.jsonl").read_text().splitlines()
        ]
        for run in (tmp_path / "whole", tmp_path / "run")
    ]
    assert logs[0] == logs[1]
    whole, run = (load_file(tmp_path / name / "student.safetensors") for name in ("whole", "run"))
    assert all(torch.equal(value, run[name]) for name, value in whole.items())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("accumulated", [1, 3])
def test_on_a_gpu_fp16_trains_and_goes_on(tmp_path: Path, accumulated: int) -> None:
    settings: dict[str, Any] = {
        "teacher": "resnet8", "student": "resnet8", "method": "wcord+kd", "set": ["wcord.num_negatives=64"],
        "allow_weak_teacher": True, "subset": 12.0, "batch_size": 24, "epochs": 3, "device": "cuda",
        "precision": "fp16", "clip_norm": 5.0, "gradient_accumulation_steps": accumulated, "out": tmp_path / "run",
    }  # fmt: skip
    result = api.start(configure(DistillConfig, settings), say=silent)
    assert result.record is not None
    assert all(entry["loss"] == entry["loss"] and "skipped_steps" in entry for entry in result.record.epochs)
    state = torch.load(max((tmp_path / "run" / "checkpoints").iterdir()), weights_only=True)
    assert state["scaler"]["scale"] > 0
