"""The parts of a training step in milliseconds, as in the trainer: `step.py --profile`."""

import gc
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from time import perf_counter
from typing import Any

import torch
from harness import place
from rich.console import Console
from rich.table import Table
from steps import BATCH, CLASSES, RATE, SAMPLES, Training, engine, make_training
from torch import nn

from wcord.data.loader import Loader
from wcord.data.split import MemorySplit
from wcord.training.meter import EpochMeter
from wcord.training.step import without_waiting

METHODS = ("kd", "wcord")
WARM_UP = 3
"""Untimed first steps."""


class Stopwatch:
    """Adds up the seconds of each part of a step, including the GPU's work.

    Args:
        device: the device.
    """

    def __init__(self, device: torch.device) -> None:
        self.wait: Callable[[], object] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
        self.steps: list[dict[str, float]] = [{}]

    def now(self) -> float:
        self.wait()
        return perf_counter()

    def add(self, part: str, since: float) -> None:
        parts = self.steps[-1]
        parts[part] = parts.get(part, 0.0) + self.now() - since

    def around(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function whose duration is added to a part."""

        def run(*args: Any, **named: Any) -> Any:
            since = self.now()
            result = function(*args, **named)
            self.add(part, since)
            return result

        return run

    def watch(self, part: str, module: nn.Module) -> None:
        """Add the duration of each forward pass of a module to a part."""
        starts: list[float] = []
        module.register_forward_pre_hook(lambda *_: starts.append(self.now()))
        module.register_forward_hook(lambda *_: self.add(part, starts.pop()))


class TimedUpdate:
    """An `Update` whose backward pass and step are timed."""

    def __init__(self, watch: Stopwatch, update: Any) -> None:
        self.set_rate = update.set_rate
        self.backward = watch.around("backward", update.backward)
        self.step = watch.around("optimizer", update.step)


def watched(training: Training, watch: Stopwatch) -> Training:
    """Return the training with every part of its step timed."""
    step = training.step
    watch.watch("student", training.student)
    for name, term in training.objective.terms.items():
        watch.watch(f"term {name}", term)
    teacher = step.teacher and replace(step.teacher, tap=watch.around("teacher", step.teacher.tap))  # pyright: ignore[reportArgumentType]
    timed: Any = TimedUpdate(watch, step.update)
    return replace(training, step=replace(step, teacher=teacher, update=timed))


class Trained:
    """Trains on random images as the trainer does, one step per call."""

    def __init__(self, training: Training, watch: Stopwatch) -> None:
        images = torch.randint(256, (SAMPLES, 3, 32, 32), dtype=torch.uint8)
        split = MemorySplit(images, torch.arange(SAMPLES) % CLASSES)
        together = 16 if training.device.type == "cuda" else 1
        loader = Loader(
            split, batch_size=BATCH, augment="crop-flip", shuffle=True, device=str(training.device), together=together
        )
        objective = training.objective
        self.meter = EpochMeter((*objective.weights,), objective.diagnostics, device=training.device)
        self.batches, self.watch = loader.batches(), watch
        self.training, self.count = watched(training, watch), 0

    def __call__(self) -> None:
        since = self.watch.now()
        step, device = self.training.step, self.training.device
        batch = self.watch.around("data", lambda: next(self.batches).to(device))()
        step.trainable.train()
        step.update.set_rate(RATE)
        with without_waiting(device):
            row = step(batch)
        self.meter.add(self.count, row, len(batch))
        if device.type == "cpu":
            self.meter.flush()
        self.count += 1
        self.watch.add("whole", since)
        self.watch.steps.append({})


def parts_of(steps: list[dict[str, float]]) -> dict[str, float]:
    """Return the least milliseconds of each part, and of the rest of the whole.

    >>> parts_of([{"data": 0.001, "whole": 0.003}, {"data": 0.002, "whole": 0.005}])
    {'data': 1.0, 'rest': 2.0, 'whole': 3.0}
    """
    with_rest = [step | {"rest": 2 * step["whole"] - sum(step.values())} for step in steps]
    names = [*(name for name in steps[0] if name != "whole"), "rest", "whole"]
    return {name: round(1e3 * min(step[name] for step in with_rest), 3) for name in names}


def print_profile(device: torch.device, pair: tuple[str, ...], repeats: int) -> None:
    """Print the parts of a step of each method side by side; the methods take turns."""
    engine_and_settings = engine(device)
    with ExitStack() as stack:
        watches = {name: Stopwatch(device) for name in METHODS}
        trained = {
            name: Trained(make_training(name, {}, (pair[0], pair[1]), engine_and_settings, stack), watches[name])
            for name in METHODS
        }
        for _ in range(WARM_UP + repeats):
            for one in trained.values():
                gc.collect()
                one()
    columns = {name: parts_of(watch.steps[WARM_UP:-1]) for name, watch in watches.items()}
    table = Table(title=f"Parts of an eager step {' → '.join(pair)}, 32×32, B={BATCH}, ms, {place(device)}")
    table.add_column("part")
    for name in METHODS:
        table.add_column(name, justify="right")
    names = list(dict.fromkeys(name for parts in columns.values() for name in parts if name not in ("rest", "whole")))
    for name in [*names, "rest", "whole"]:
        table.add_row(name, *(f"{parts[name]:.2f}" if name in parts else "" for parts in columns.values()))
    Console(width=120).print(table)
