"""Devices by name, seeds, optimisers."""

import random
import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import nn

from wcord.checks import RunError, UsageError
from wcord.training import engine
from wcord.training.config import TrainingConfig
from wcord.training.engine import make_accelerator, make_optimizer, resolve_device, seed_everything


def test_every_generator_is_seeded() -> None:
    def numbers() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002  # as third parties draw

    seed_everything(3)
    first = numbers()
    seed_everything(3)
    assert numbers() == first
    seed_everything(4)
    assert all(a != b for a, b in zip(numbers(), first, strict=True))


@pytest.mark.parametrize("name", ["cpuu", "cpu:7", "cpu:0", "meta", "xpu", "vulkan", "", "cuda:", "cuda:-1", 0, None])
def test_devices_that_nothing_can_be_trained_on_are_refused(name: Any) -> None:
    assert resolve_device("cpu").type == "cpu"
    with pytest.raises(UsageError, match="device must"):
        resolve_device(name)


def test_other_ways_of_working_together_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainingConfig(device="cpu")
    assert make_accelerator(config, tmp_path).num_processes == 1
    monkeypatch.setattr(Accelerator, "distributed_type", DistributedType.FSDP)
    with pytest.raises(UsageError, match=r"train copies of the networks \(DDP\), received FSDP"):
        make_accelerator(config, tmp_path)
    monkeypatch.setattr(Accelerator, "distributed_type", DistributedType.MULTI_GPU)
    monkeypatch.setattr(Accelerator, "num_processes", 2)
    make_accelerator(config, tmp_path)
    monkeypatch.setattr("wcord.training.engine.resolve_device", lambda name: torch.device("cpu", 1))
    with pytest.raises(UsageError, match="is one for 2 processes"):
        make_accelerator(config, tmp_path)


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_the_optimiser_takes_the_configured_numbers(name: str, kind: type) -> None:
    config = TrainingConfig(optimizer=name, weight_decay=0.25)
    groups = {1.0: [nn.Parameter(torch.zeros(1))], 0.2: [nn.Parameter(torch.ones(1))], 3.0: []}
    made = make_optimizer(groups, config, 0.5, torch.device("cpu"))
    assert type(made) is kind
    assert (made.defaults["lr"], made.defaults["weight_decay"]) == (0.5, 0.25)
    assert [(group["factor"], group["lr"]) for group in made.param_groups] == [(1.0, 0.5), (0.2, 0.1)]


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_overflows_of_fp16_are_left_to_the_scaler(name: str) -> None:
    """One launch for all weights would leave out such a step in silence."""
    config = TrainingConfig(optimizer=name, precision="fp16")
    made = make_optimizer({1.0: [nn.Parameter(torch.zeros(1))]}, config, 0.5, torch.device("cuda"))
    assert not made.param_groups[0]["fused"]
    assert made.param_groups[0]["lr"] == 0.5
    assert not isinstance(made.param_groups[0]["lr"], torch.Tensor)


@pytest.mark.parametrize(
    ("asked", "installed", "told"),
    [
        (("tensorboard", "wandb"), ("tensorboard",), "--tracker wandb: not installed; pip install wandb,"),
        (("wandb",), (), "--tracker wandb: not installed; pip install wandb,"),
        (("mlflow", "tensorboard"), (), "pip install mlflow tensorboard,"),
        (("tensorboard",), ("wandb", "mlflow"), "pip install tensorboard,"),
    ],
)
def test_trackers_that_are_not_installed_are_refused(
    asked: tuple[Any, ...], installed: tuple[str, ...], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tensorboard", "wandb", "mlflow"):
        monkeypatch.setattr(engine, f"is_{name}_available", lambda name=name: name in installed)
    with pytest.raises(UsageError, match=re.escape(told)):
        make_accelerator(TrainingConfig(device="cpu", tracker=asked), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    for config in (TrainingConfig(device="cpu"), TrainingConfig(device="cpu", tracker=cast("Any", installed))):
        engine.require_trackers(config.tracker)


def test_a_tracker_that_cannot_start_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accelerator = make_accelerator(TrainingConfig(device="cpu"), tmp_path)
    monkeypatch.setattr(accelerator, "log_with", ["wandb"])

    def no_account(*_: object, **__: object) -> None:
        raise LookupError("api_key not configured (no-tty)\ncall wandb.login()")

    monkeypatch.setattr(accelerator, "init_trackers", no_account)
    with pytest.raises(RunError, match=r"wandb could not start \(api_key not configured \(no-tty\)\): .*--resume"):
        engine.start_trackers(accelerator, {}, tmp_path)
