"""A whole training step of any method between small networks, as a plain loop makes it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from tests.support.swin_teacher import suitable_teacher
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import wcord
from wcord.data.batch import Batch
from wcord.methods.build import adapt_student, adapt_teacher, build_objective, option_names, parse_method
from wcord.methods.objective import Objective
from wcord.methods.observe import observe
from wcord.methods.term import Stage

SAMPLES, BATCH, CLASSES, SIDE = 60, 12, 5, 8
MOST_STEPS = 6
"""Ordinary steps after which every method has settled: a queue of three batches is full, a constant is set."""


@dataclass
class TrainingStep:
    """What a step needs, and the step itself: networks, method, a batch and the optimiser."""

    student: nn.Module
    teacher: nn.Module
    objective: Objective
    batch: Batch
    optimizers: dict[Stage, torch.optim.Optimizer] = field(default_factory=dict)

    def __call__(self, stage: Stage = "main") -> tuple[Tensor, Tensor]:
        """Make one step; return its loss and the gradient of all that trains, before it is clipped."""
        objective, batch = self.objective, self.batch
        self.student.train()
        objective.train()
        trained = [p for p in [*self.student.parameters(), *objective.stage_parameters(stage)] if p.requires_grad]
        optimizer = self.optimizers.setdefault(stage, torch.optim.SGD(trained, lr=0.01, momentum=0.9))
        optimizer.zero_grad()
        with (
            wcord.capture(self.student, objective.student_map_names, cut=objective.cuts) as student_tap,
            wcord.capture(self.teacher, objective.teacher_map_names) as teacher_tap,
        ):
            learning = stage == "main" and objective.teaches
            with torch.set_grad_enabled(learning):
                told = teacher_tap(batch.teacher_input)
            seen = student_tap(batch.student_input)
            report = objective(seen, told, batch) if stage == "main" else objective.prepare(seen, told, batch)
        if learning and (taught := objective.teach(seen, told, batch)) is not None:
            additions = [p for p in self.teacher.parameters() if p.requires_grad]
            _backward(taught, additions)
            nn.utils.clip_grad_norm_(additions, 0.01)  # the teacher moves by clipped gradients themselves
            with torch.no_grad():
                for parameter in additions:
                    parameter -= parameter.grad
                    parameter.grad = None
        _backward(report.total, trained)
        gradients = [p.grad.flatten() for p in trained if p.grad is not None]
        gradient = torch.cat(gradients).clone() if gradients else report.total.new_zeros(0)
        nn.utils.clip_grad_norm_(trained, 5.0)
        optimizer.step()
        return report.total.detach(), gradient

    def settle(self) -> None:
        """Make ordinary steps until the next one goes the way of all later ones; two at least."""
        for made in range(MOST_STEPS):
            if made >= 2 and self.objective.settled_in("main"):
                return
            self()
        assert self.objective.settled_in("main"), f"not settled after {MOST_STEPS} steps"


def _backward(total: Tensor, trained: list[nn.Parameter]) -> None:
    """Go backward, where that can be done.

    On a CUDA device that there is not it cannot: PyTorch's engine asks the driver for its context ("hasPrimaryContext
    expects a valid device index", pytorch/pytorch#92627). Gradients are zeros there, for the rest of the step; what
    backward runs is PyTorch's own but for `saved * gradient` in our functions, which the step on the CPU goes through.
    """
    if total.device.type == "cuda" and not torch.cuda.is_available():
        for parameter in trained:
            parameter.grad = torch.zeros_like(parameter)
    else:
        total.backward()


def make_step(method: str, options: Mapping[str, Any] | None = None, **setting: Any) -> TrainingStep:
    """Return the step of a method, with random networks and inputs that are the same in every call.

    Args:
        method: its name.
        options: for all of its methods that have them.
        setting: of `observe`; `num_samples=None` is a queue.
    """
    torch.manual_seed(0)
    teacher = wcord.create_model("resnet14", num_classes=CLASSES, in_channels=1).eval().requires_grad_(False)
    student = wcord.create_model("resnet8", num_classes=CLASSES, in_channels=1)
    side = 2 * SIDE if "4ds" in parse_method(method) else SIDE
    images, target = torch.rand(BATCH, 1, side, side), torch.arange(BATCH) % CLASSES
    if setting.get("mixed"):
        target = torch.softmax(torch.randn(BATCH, CLASSES), dim=1)
    if setting.get("several_labels"):
        target = torch.randint(2, (BATCH, CLASSES)).float()
    teacher = suitable_teacher(method, teacher, CLASSES)
    student = adapt_student(method, student, teacher, images)
    teacher = adapt_teacher(method, teacher, student, images)
    wanted = {"num_negatives": 16, "queue_size": 3 * BATCH, **(options or {})}
    given = {
        name: {option: value for option, value in wanted.items() if option in option_names(name)}
        for name in parse_method(method)
    }
    setting = {"num_samples": SAMPLES, "total_steps": 20, **setting}
    observed = observe(student, teacher, student_sample=images, batch_size=BATCH, **setting)
    objective = build_objective(method, observed, options=given)
    index = None if setting["num_samples"] is None else torch.randperm(SAMPLES)[:BATCH]
    batch = Batch(images, images, target, index)
    return TrainingStep(student, teacher, objective, batch.rotated() if objective.rotations else batch)


@contextmanager
def on_fake_device(step: TrainingStep) -> Iterator[TrainingStep]:
    """Give a copy of a step on a CUDA device that there is not."""
    parts = deepcopy((step.student, step.teacher, step.objective))
    with FakeTensorMode() as mode:

        def moved(tensor: Tensor) -> Tensor:
            return mode.from_tensor(tensor).detach().to("cuda")

        for module in (module for part in parts for module in part.modules()):
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    module._parameters[name] = nn.Parameter(moved(parameter), parameter.requires_grad)
            for name, buffer in module._buffers.items():
                module._buffers[name] = None if buffer is None else moved(buffer)
        images, index = moved(step.batch.student_input), step.batch.index
        target, index = moved(step.batch.target), None if index is None else moved(index)
        batch = Batch(images, images, target, index, rotations=step.batch.rotations)
        yield TrainingStep(*parts, batch)
