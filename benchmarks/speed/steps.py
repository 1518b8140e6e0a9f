"""A method's training step as in a run, on random images: eager, captured, and with the teacher ahead."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator

import wcord
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.methods.build import adapt_student
from wcord.methods.objective import Objective
from wcord.models.network import Network
from wcord.models.preprocess import Preprocess
from wcord.training.captured import CapturedStep, CaptureError, GraphRecorder
from wcord.training.config import TrainingConfig
from wcord.training.distiller import Distiller
from wcord.training.engine import make_accelerator, student_groups
from wcord.training.step import Step, without_waiting
from wcord.training.teaching import Teacher
from wcord.training.update import Update

BATCH, SAMPLES, CLASSES, RATE = 64, 50_000, 100, 0.05
LONGEST = 100
"""Most passes until a step is captured."""
MEAN, STD = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
EAGER, CAPTURED, AHEAD = "eager", "captured", "teacher ahead"
"""Forms of a step; on a GPU the last tensor is captured as well."""


@dataclass(frozen=True)
class Training:
    """The training of tensor method.

    Attributes:
        step: the trainer's step.
        objective: the method.
        student: the trained network.
        device: the device.
    """

    step: Step
    objective: Objective
    student: Network
    device: torch.device

    @property
    def memories(self) -> int:
        """Bytes of heads, critics and memories."""
        return sum(
            tensor.numel() * tensor.element_size()
            for tensor in (*self.objective.parameters(), *self.objective.buffers())
        )


def engine(device: torch.device) -> tuple[Accelerator, TrainingConfig]:
    """Return the engine and the settings of all trainings of a process."""
    config = TrainingConfig(device=str(device))
    return make_accelerator(config, Path()), config


def make_training(
    method: str,
    settings: dict[str, object],
    pair: tuple[str, str],
    engine_and_settings: tuple[Accelerator, TrainingConfig],
    stack: ExitStack,
) -> Training:
    """Return networks, objective and optimizer of a method in its main stage.

    Args:
        method: the method.
        settings: options of its first term.
        pair: teacher and student.
        engine_and_settings: the engine and the settings of the training.
        stack: closes the taps at its end.
    """
    accelerator, config = engine_and_settings
    torch.manual_seed(0)
    teacher, plain = (Network(wcord.create_model(name), Preprocess(MEAN, STD)) for name in pair)
    images = torch.rand(2, 3, 32, 32)
    student = adapt_student(method, plain, teacher, images)
    assert isinstance(student, Network)
    options = {method.partition("+")[0]: settings}
    objective = wcord.build_method(
        method, student, teacher, sample=images, num_samples=SAMPLES, batch_size=BATCH, options=options,
        total_steps=240 * SAMPLES // BATCH,
    )  # fmt: skip
    device = accelerator.device
    teacher.to(device).eval().requires_grad_(False)
    student_tap = stack.enter_context(wcord.capture(student, objective.student_map_names, cut=objective.cuts))
    teacher_tap = stack.enter_context(wcord.capture(teacher, maps=objective.teacher_map_names))
    trainable = Distiller(student, objective, student_tap).to(device).train()
    groups = student_groups(student, 1.0)
    for factor, parameters in objective.stage_groups("main").items():
        groups.setdefault(factor, []).extend(parameters)
    update = Update(groups, config, RATE, accelerator)
    teaching = Teacher(teacher_tap, accelerator) if objective.uses_teacher else None
    step = Step(trainable, student, update, None, teaching, "main", accelerator)
    return Training(step, objective, student, device)


def make_batches(count: int, device: torch.device) -> Batch:
    """Return some batches of random images as tensor batch."""
    images = torch.rand(count * BATCH, 3, 32, 32, device=device)
    target = torch.randint(CLASSES, (count * BATCH,), device=device)
    return Batch(images, images, target, torch.randint(SAMPLES, (count * BATCH,), device=device))


def make_case(training: Training, form: str, whole: Batch) -> Callable[[], None]:
    """Return a function that makes a step of each batch in tensor of the forms, captured if the form needs it.

    Raises:
        CaptureError: if the step cannot be captured.
    """
    step, device = training.step, training.device
    sizes = [BATCH] * (len(whole) // BATCH)
    captured = None
    if form != EAGER and device.type == "cuda":
        captured = CapturedStep(step, lambda: training.objective.settled_in("main"), recorder=GraphRecorder())

    def run() -> None:
        assert whole.index is not None
        batches = replace(whole, index=torch.randint_like(whole.index, SAMPLES)).split(sizes)
        ahead: list[Features | None] = [None] * len(batches)
        if form == AHEAD and step.teacher is not None:
            ahead = [*step.teacher(whole.teacher_input).split(sizes)]
        for batch, outputs in zip(batches, ahead, strict=True):
            step.update.set_rate(RATE)
            with without_waiting(device):
                (step if captured is None else captured)(batch, outputs)

    try:
        for _ in range(LONGEST):
            run()
            if captured is None or captured.is_captured:
                return run
    except CaptureError:
        step.update.delete_run()  # the gradients of the attempt
        raise
    raise CaptureError("the step does not settle")
