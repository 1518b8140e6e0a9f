"""The training loop: batches in, a trained student out, resumable at every step."""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from wcord.checks import NonFiniteError, RunError, UsageError
from wcord.data.batch import Batch
from wcord.data.loader import Loader
from wcord.evaluation.accuracy import accuracy, predict
from wcord.features import Features, Tap, capture
from wcord.losses import LossReport
from wcord.methods.term import Objective
from wcord.models.network import Network
from wcord.training.checkpoint import load_checkpoint, random_state, restore_random_state, save_checkpoint
from wcord.training.config import TrainingConfig
from wcord.training.distiller import Distiller
from wcord.training.interrupt import Interrupt
from wcord.training.meter import REMEDY, EpochMeter
from wcord.training.progress import RunProgress
from wcord.training.run import RunFolder
from wcord.training.schedule import learning_rate_at

FLUSH_EVERY = 20
"""Steps between looks at the loss on an accelerator; on the CPU every step is looked at."""


@dataclass(frozen=True)
class Outcome:
    """How a call of `fit` ended.

    Attributes:
        status: finished, or stopped by its time limit or a signal and to be resumed.
        reason: why it stopped.
        signal: number of the signal that stopped it, or None.
        seconds: training time, over all calls.
    """

    status: Literal["finished", "stopped"]
    reason: str
    signal: int | None
    seconds: float


class Trainer:
    """Trains a student by an objective, from its last checkpoint if there is one.

    Args:
        student: network to be trained.
        teacher: frozen network, or None to train on labels alone.
        objective: the method.
        train: training batches.
        test: evaluation batches.
        config: how to train.
        base_lr: learning rate before the schedule.
        run: folder that takes the checkpoints and the metrics.
        accelerator: devices, precision, processes and trackers.
    """

    def __init__(
        self,
        *,
        student: Network,
        teacher: Network | None,
        objective: Objective,
        train: Loader,
        test: Loader,
        config: TrainingConfig,
        base_lr: float,
        run: RunFolder,
        accelerator: Accelerator,
    ) -> None:
        self.student = student
        self.teacher = teacher
        self.objective = objective
        self.train = train
        self.test = test
        self.config = config
        self.base_lr = base_lr
        self.run = run
        self.accelerator = accelerator
        self.meter = EpochMeter(tuple(objective.part_weights))
        self.epoch = 0
        self.batch = 0
        self.seconds = 0.0
        self.average: AveragedModel | None = None

    @property
    def steps_done(self) -> int:
        """Optimiser steps so far."""
        return self.epoch * len(self.train) + self.batch

    @property
    def shipped(self) -> Network:
        """The network that is evaluated and saved: the student, or its moving average."""
        if self.average is None:
            return self.student
        assert isinstance(self.average.module, Network)
        return self.average.module

    def fit(self) -> Outcome:
        """Train to the last epoch, or until a time limit or a signal, saving the state either way.

        Raises:
            RunError: where a loss part becomes NaN or infinite, or the state cannot be written.
        """
        with ExitStack() as stack:
            student_tap = stack.enter_context(capture(self.student, maps=self.objective.maps))
            teacher_tap = self._enter_teacher(stack)
            self._prepare(Distiller(self.student, self.objective, student_tap))
            self._resume()
            total = self.config.epochs * len(self.train)
            visible = self.accelerator.is_main_process
            progress = stack.enter_context(RunProgress(total, done=self.steps_done, visible=visible))
            interrupt = stack.enter_context(Interrupt())
            return self._epochs(teacher_tap, progress, interrupt)

    def _enter_teacher(self, stack: ExitStack) -> Tap | None:
        if self.teacher is None:
            return None
        self.teacher.to(self.accelerator.device).eval().requires_grad_(False)
        if self.config.channels_last:
            self.teacher.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # stub lacks it
        return stack.enter_context(capture(self.teacher, maps=self.objective.maps))

    def _prepare(self, distiller: Distiller) -> None:
        """Move everything to its device, make the optimiser, wrap for several processes."""
        distiller.to(self.accelerator.device)
        if self.config.channels_last:
            self.student.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # stub lacks it
        if self.config.compile:
            self.student.backbone.compile()
        if self.config.ema is not None:
            averaging = get_ema_multi_avg_fn(self.config.ema)
            self.average = AveragedModel(self.student, multi_avg_fn=averaging, use_buffers=True)
        self.parameters = [p for p in distiller.parameters() if p.requires_grad]
        optimizer = _make_optimizer(self.parameters, self.config, self.base_lr)
        self.trainable, self.optimizer = self.accelerator.prepare(distiller, optimizer)

    def _epochs(self, teacher: Tap | None, progress: RunProgress, interrupt: Interrupt) -> Outcome:
        started = time.monotonic() - self.seconds
        deadline = None if self.config.max_time is None else time.monotonic() + 60 * self.config.max_time
        while self.epoch < self.config.epochs:
            epoch_started = time.monotonic()
            for batch in self._batches():
                reason = self._reason_to_stop(interrupt, deadline)
                if reason is not None:
                    self.seconds = time.monotonic() - started
                    self._save()
                    return Outcome("stopped", reason, interrupt.received, self.seconds)
                self._step(batch, teacher)
                self.seconds = time.monotonic() - started
                self._show(progress, epoch_started)
                if self.config.checkpoint_every and self.steps_done % self.config.checkpoint_every == 0:
                    self._save()
            self._end_epoch(progress, time.monotonic() - epoch_started)
        return Outcome("finished", "", None, self.seconds)

    def _batches(self) -> Iterator[Batch]:
        return self.train.batches(epoch=self.epoch, start=self.batch)

    def _step(self, batch: Batch, teacher: Tap | None) -> None:
        """One optimiser step: teacher once, student once, backward, update."""
        self.trainable.train()
        lr = self._learning_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        batch = batch.to(self.accelerator.device)
        teacher_features = None if teacher is None else self._teach(batch, teacher)
        report, correct = self._loss(batch, teacher_features)
        self.accelerator.backward(report.total * self._share(len(batch)))
        if self.config.clip_norm is not None:
            self.accelerator.clip_grad_norm_(self.parameters, self.config.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update_parameters(self.student)
        self.meter.add(self.steps_done, report, correct, len(batch))
        self.batch += 1
        if self.accelerator.device.type == "cpu" or self.batch % FLUSH_EVERY == 0:
            self.meter.flush()

    def _loss(self, batch: Batch, teacher: Features | None) -> tuple[LossReport, Tensor]:
        try:
            return self.trainable(batch, teacher)
        except NonFiniteError as error:
            self.meter.flush()
            raise RunError(f"step {self.steps_done}: {error}; {REMEDY}") from None

    def _teach(self, batch: Batch, teacher: Tap) -> Features:
        with torch.no_grad(), self.accelerator.autocast():
            return teacher(batch.teacher_input)

    def _learning_rate(self) -> float:
        return learning_rate_at(self.steps_done, steps_per_epoch=len(self.train), base=self.base_lr, config=self.config)

    def _share(self, local: int) -> float:
        """Weight of this process's mean, so that the average over processes is the mean over the global batch."""
        processes = self.accelerator.num_processes
        whole = min(self.train.batch_size, len(self.train.split) - self.batch * self.train.batch_size)
        return 1.0 if processes == 1 else processes * local / whole

    def _show(self, progress: RunProgress, epoch_started: float) -> None:
        elapsed = max(time.monotonic() - epoch_started, 1e-9)
        progress.advance(
            epoch=f"epoch {self.epoch + 1}/{self.config.epochs}",
            values=self.meter.latest,
            images_per_second=self.meter.samples / elapsed,
        )

    def _end_epoch(self, progress: RunProgress, seconds: float) -> None:
        self.meter.flush()
        means = self.meter.means()
        parts = {name: means[name] for name in self.objective.part_weights}
        last_rate = learning_rate_at(
            self.steps_done - 1, steps_per_epoch=len(self.train), base=self.base_lr, config=self.config
        )
        entry: dict[str, Any] = {
            "epoch": self.epoch + 1,
            "lr": last_rate,
            "loss": means["loss"],
            "train_top1": means["train_top1"],
            "parts": parts,
            "seconds": round(seconds, 3),
        }
        self.epoch, self.batch = self.epoch + 1, 0
        if self.epoch % self.config.eval_every == 0 or self.epoch == self.config.epochs:
            entry["test_top1"] = self._evaluate()
        if self.accelerator.is_main_process:
            self.run.log(entry)
            self._announce(progress, entry)
        if self.config.tracker:
            flat = {key: value for key, value in entry.items() if isinstance(value, float)}
            self.accelerator.log(flat | {f"part/{k}": v for k, v in parts.items()}, step=self.epoch)
        self.meter.reset()
        self._save()

    def _evaluate(self) -> float:
        """Return the top-1 accuracy of the network to be shipped; other processes wait for the first."""
        result = 0.0
        if self.accelerator.is_main_process:
            predictions = predict(self.shipped, self.test.batches(), device=self.accelerator.device)
            result = accuracy(predictions)["top1"]
        self.accelerator.wait_for_everyone()
        return result

    def _announce(self, progress: RunProgress, entry: dict[str, Any]) -> None:
        parts = " ".join(f"{name} {value:.3f}" for name, value in entry["parts"].items())
        test = f"  test {entry['test_top1']:.2f} %" if "test_top1" in entry else ""
        left = (self.config.epochs - self.epoch) * entry["seconds"]
        progress.line(
            f"epoch {self.epoch:3d}/{self.config.epochs}  loss {entry['loss']:.3f} ({parts})  "
            f"train {entry['train_top1']:.2f} %{test}  {entry['seconds']:.1f} s, about {_clock(left)} left"
        )

    def _reason_to_stop(self, interrupt: Interrupt, deadline: float | None) -> str | None:
        if interrupt.received is not None:
            return f"received {interrupt.received.name}"
        if deadline is not None and time.monotonic() > deadline:
            return f"reached --max-time of {self.config.max_time:g} minutes"
        return None

    def _save(self) -> None:
        """Write a checkpoint; only finite states get here, since the meter is flushed first."""
        self.meter.flush()
        if not self.accelerator.is_main_process:
            return
        state: dict[str, Any] = {
            "epoch": self.epoch,
            "batch": self.batch,
            "seconds": self.seconds,
            "student": self.student.backbone.state_dict(),
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "meter": self.meter.state_dict(),
            "metrics_lines": len(self.run.metrics()),
            "random": random_state(),
        }
        save_checkpoint(self.run.checkpoints, self.steps_done, state)

    def _resume(self) -> None:
        """Seed everything, or go back to where the last checkpoint left it."""
        rank = self.accelerator.process_index
        seed_everything(self.config.seed + rank)
        state = load_checkpoint(self.run.checkpoints)
        if state is None:
            return
        self.student.backbone.load_state_dict(state["student"])
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.epoch, self.batch, self.seconds = state["epoch"], state["batch"], state["seconds"]
        self.meter.load_state_dict(state["meter"])
        if rank == 0:
            restore_random_state(state["random"])
            self.run.rewind(state["metrics_lines"])
        else:
            seed_everything(self.config.seed + rank + 1_000_003 * state["step"])


def make_accelerator(config: TrainingConfig, run: RunFolder) -> Accelerator:
    """Return the engine for a configuration.

    Raises:
        UsageError: where CUDA is asked for and there is none.
    """
    device = resolve_device(config.device)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    # Accelerate keeps its settings per process; a second run in one process may ask for others.
    AcceleratorState._reset_state()
    return Accelerator(
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


def _make_optimizer(parameters: list[nn.Parameter], config: TrainingConfig, lr: float) -> torch.optim.Optimizer:
    match config.optimizer:
        case "sgd":
            return torch.optim.SGD(parameters, lr=lr, momentum=config.momentum, weight_decay=config.weight_decay)
        case "adamw":
            return torch.optim.AdamW(parameters, lr=lr, weight_decay=config.weight_decay)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
