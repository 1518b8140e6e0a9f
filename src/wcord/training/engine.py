"""What a run computes with: device, Accelerate's engine, seeds, the optimiser."""

import random
from collections.abc import Mapping

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs
from torch import nn

from wcord.checks import UsageError
from wcord.training.config import TrainingConfig
from wcord.training.run import RunFolder


def make_accelerator(config: TrainingConfig, run: RunFolder, *, stages: int = 1) -> Accelerator:
    """Return the engine for a configuration.

    Args:
        config: how to train.
        run: folder of the run.
        stages: of the training; where there are several, none trains all parameters.

    Raises:
        UsageError: where CUDA is asked for and there is none.
    """
    device = resolve_device(config.device)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    # Accelerate keeps its settings per process; a second run in one process may ask for others.
    AcceleratorState._reset_state()
    wrapping = DistributedDataParallelKwargs(find_unused_parameters=stages > 1)
    return Accelerator(
        kwargs_handlers=[wrapping],
        cpu=device.type == "cpu",
        mixed_precision="bf16" if config.precision == "bf16" else "no",
        log_with=list(config.tracker) or None,
        project_dir=str(run.path / "tracker") if config.tracker else None,
    )


def resolve_device(name: str) -> torch.device:
    """Return the device that a name such as `auto` or `cuda:1` means.

    Raises:
        UsageError: where it does not exist on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"unknown device {name!r}: use auto, cpu, cuda, cuda:0 or mps") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device {name!r} was asked for, but no CUDA device is visible: use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"device {name!r} was asked for, but there are {torch.cuda.device_count()} CUDA devices")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("device 'mps' was asked for, but it is not available: use --device cpu")
    return device


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # third-party code draws from the legacy generator
    torch.manual_seed(seed)


def make_optimizer(
    groups: Mapping[float, list[nn.Parameter]], config: TrainingConfig, lr: float
) -> torch.optim.Optimizer:
    """Return the configured optimiser; a group's key is the factor of its learning rate, kept as `factor`."""
    given = [{"params": group, "factor": factor, "lr": lr * factor} for factor, group in groups.items() if group]
    match config.optimizer:
        case "sgd":
            return torch.optim.SGD(given, lr=lr, momentum=config.momentum, weight_decay=config.weight_decay)
        case "adamw":
            return torch.optim.AdamW(given, lr=lr, weight_decay=config.weight_decay)
