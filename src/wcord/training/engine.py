"""What a run computes with: device, Accelerate's engine, seeds, the optimizer."""

import random
import warnings
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import (
    DistributedDataParallelKwargs,
    DistributedType,
    InitProcessGroupKwargs,
    is_mlflow_available,
    is_tensorboard_available,
    is_wandb_available,
)
from torch import nn

from wcord.bounds import Device, convert
from wcord.checks import RunError, UsageError
from wcord.methods.term import Preparation
from wcord.models.classifier import split_head
from wcord.models.network import unwrap
from wcord.training.config import TrainingConfig

PARALLEL = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)
"""Kinds of parallelism in which each process holds the whole networks."""
PATIENCE = timedelta(hours=6)
"""How long processes wait for the first one, which evaluates and writes alone."""


def make_accelerator(config: TrainingConfig, out: Path) -> Accelerator:
    """Return the engine for a configuration, once all processes that train together have started.

    Args:
        config: how to train.
        out: folder of the run, which need not exist yet.

    Raises:
        UsageError: a tracker is not installed, CUDA (or fp16, which needs it) is requested but not available, all
            processes would use one GPU, or a process would hold only a part of the weights.
    """
    require_trackers(config.tracker)
    device = resolve_device(config.device)
    if config.precision == "fp16" and device.type != "cuda":
        raise UsageError(f"--precision fp16 needs a CUDA GPU, received device {device.type}: use bf16 or fp32")
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    # Accelerate keeps its settings per process; a second run in one process may need others.
    AcceleratorState._reset_state()
    accelerator = Accelerator(
        # A preparation stage, and many custom networks, leave parameters without a gradient.
        kwargs_handlers=[
            DistributedDataParallelKwargs(find_unused_parameters=True),
            InitProcessGroupKwargs(timeout=PATIENCE),
        ],
        cpu=device.type == "cpu",
        mixed_precision="no" if config.precision == "fp32" else config.precision,
        log_with=list(config.tracker) or None,
        project_dir=str(out / "tracker") if config.tracker else None,
    )
    if accelerator.distributed_type not in PARALLEL:
        raise UsageError(
            f"several processes train copies of the networks (DDP), received {accelerator.distributed_type.value}: "
            "launch with torchrun, or with a configuration of accelerate for data parallelism alone"
        )
    if accelerator.num_processes > 1 and device.index is not None:
        raise UsageError(
            f"--device {config.device} is one for {accelerator.num_processes} processes: use --device cuda"
        )
    return accelerator


def require_trackers(names: Iterable[str]) -> None:
    """Raise unless all trackers are installed; Accelerate would leave out the others silently."""
    installed = {"tensorboard": is_tensorboard_available, "wandb": is_wandb_available, "mlflow": is_mlflow_available}
    missing = [name for name in dict.fromkeys(names) if not installed[name]()]
    if missing:
        trackers = " ".join(missing)
        raise UsageError(f"--tracker {trackers}: not installed; pip install {trackers}, or leave it out")


def start_trackers(accelerator: Accelerator, config: dict[str, str], run: Path) -> None:
    """Start the trackers, which may need an account or a server.

    Raises:
        RunError: one of them cannot start.
    """
    try:
        accelerator.init_trackers("wcord", config=config)
    except Exception as error:  # each tracker raises its own kinds
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        trackers = " or ".join(str(name) for name in accelerator.log_with)
        raise RunError(
            f"--tracker: {trackers} could not start ({reason}): set it up and resume with --resume {run}, "
            "or start a new run without it"
        ) from error


def resolve_device(name: str) -> torch.device:
    """Return the device of a name such as `auto` or `cuda:1`.

    Raises:
        UsageError: it does not exist on this machine.
    """
    convert("device", name, Device)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device {name!r} was requested, but no CUDA device is visible: use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"device {name!r} was requested, but there are {torch.cuda.device_count()} CUDA devices")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("device 'mps' was requested, but it is not available: use --device cpu")
    return device


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # third-party code draws from the legacy generator
    torch.manual_seed(seed)


def student_groups(student: nn.Module, body_rate: float) -> dict[float | Preparation, list[nn.Parameter]]:
    """Return a student's trainable parameters by learning rate factor: 1 for its head, `body_rate` for the rest."""
    if body_rate == 1:
        return {1.0: [parameter for parameter in student.parameters() if parameter.requires_grad]}
    body, head = split_head(unwrap(student))
    return {1.0: head, body_rate: body}


def make_optimizer(
    groups: Mapping[float | Preparation, list[nn.Parameter]], config: TrainingConfig, lr: float, device: torch.device
) -> torch.optim.Optimizer:
    """Return the configured optimizer; a group's key is the factor of its learning rate, stored as `factor`.

    The factor of a group with a rate of its own, whose key is a `Preparation`, has no effect.

    On a GPU it updates all weights in one launch, and the rate is a tensor, which a captured step reads each time. Not
    with fp16: such a launch skips a step that overflows without counting it.
    """
    on_gpu = device.type == "cuda" and config.precision != "fp16"
    rated = [(key.rate if isinstance(key, Preparation) else key, group) for key, group in groups.items() if group]
    parameter_groups: list[dict[str, Any]] = [
        {"params": group, "factor": factor, "lr": torch.tensor(lr * factor, device=device) if on_gpu else lr * factor}
        for factor, group in rated
    ]
    fused = True if on_gpu else None
    match config.optimizer:
        case "sgd":
            momentum, decay = config.momentum, config.weight_decay
            return torch.optim.SGD(parameter_groups, lr=lr, momentum=momentum, weight_decay=decay, fused=fused)
        case "adamw":
            # Steps before the capture, and smaller last batches, run eagerly on purpose.
            warnings.filterwarnings("ignore", "This instance was constructed with capturable=True", UserWarning)
            return torch.optim.AdamW(
                parameter_groups, lr=lr, weight_decay=config.weight_decay, fused=fused, capturable=on_gpu
            )
