"""A step as one CUDA graph over static buffers, replayed for every full batch.

The host launches about a thousand small kernels for a step at CIFAR's size, each of which takes longer to launch than
to run; a graph launches them all at once. `torch.compile(mode="reduce-overhead")` will not do:
it makes a graph of each compiled region, so forward, backward and optimizer would stay apart, and hooks, memories and
the autograd functions of the losses would break the regions up.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor

from wcord.checks import RunError, UsageError
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.host import no_reads
from wcord.memory import lack_of_memory
from wcord.methods.objective import Objective
from wcord.training.checkpoint import random_state, restore_random_state
from wcord.training.config import TrainingConfig

EAGER_STEPS = 3
"""Eager steps on full batches before the capture, in which libraries choose their algorithms and the optimizer creates
its state."""

Body = Callable[[Batch, Features | None], Tensor]
"""A training step: it updates weights and memories, and returns the values for the meter."""

Once = Callable[[], Tensor]
"""A step whose batch is known."""


class CaptureError(Exception):
    """A step cannot be captured; the attempt has trained nothing."""


class Recorder(Protocol):
    """Runs steps eagerly, and records one for replay."""

    def run(self, once: Once) -> Tensor:
        """Run a step eagerly, on the stream of the recording."""
        ...

    def record(self, once: Once) -> Once:
        """Return the replay of a step without running the step."""
        ...


class GraphRecorder:
    """Records a step as one CUDA graph.

    Eager steps run on the stream that is captured later, so that libraries have their workspaces there. The device's
    generator advances in a replay as in an eager step.
    """

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()

    def run(self, once: Once) -> Tensor:
        """Run a step on the stream that is captured later."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            row = once()
        torch.cuda.current_stream().wait_stream(self.stream)
        return row

    def record(self, once: Once) -> Once:
        """Capture a step.

        Raises:
            CaptureError: the step cannot be captured, or memory runs out.
        """
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        state, stream = generator.clone_state(), torch.cuda.current_stream()
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads may pin memory for decoded batches meanwhile.
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                row = once()
        except RuntimeError as error:  # CUDA errors are RuntimeErrors too
            torch.cuda.set_stream(stream)  # a failed capture does not restore it
            generator.graphsafe_set_state(state)
            raise CaptureError(reason_of(error)) from error

        def replay() -> Tensor:
            graph.replay()
            return row.clone()  # the next replay overwrites it

        return replay


class CapturedStep:
    """Trains on full batches: eagerly until the step has settled, then by replay.

    Args:
        body: the step; it must compute with tensors alone.
        settled: whether the next step runs the same operations as all later ones (constants are set, queues full).
        recorder: runs and records steps.
        eager_steps: least number of eager steps before the capture.
    """

    def __init__(
        self, body: Body, settled: Callable[[], bool], *, recorder: Recorder, eager_steps: int = EAGER_STEPS
    ) -> None:
        self.body, self.settled, self.recorder = body, settled, recorder
        self.eager_left = eager_steps
        self._replay: Once | None = None

    @property
    def is_captured(self) -> bool:
        """Whether steps are already replayed."""
        return self._replay is not None

    def __call__(self, batch: Batch, teacher_features: Features | None = None) -> Tensor:
        """Train on a full batch.

        Raises:
            CaptureError: the step cannot be captured.
        """
        if self._replay is None:
            if self.eager_left > 0 or not self.settled():
                self.eager_left -= 1
                return self.recorder.run(lambda: self.body(batch, teacher_features))
            self.inputs = _Inputs.like(batch, teacher_features)
            before = random_state()
            with no_reads():
                self._replay = self.recorder.record(lambda: self.body(self.inputs.batch, self.inputs.teacher_features))
            if _host_has_drawn(before, random_state()):
                self._replay = None
                restore_random_state(before)
                raise CaptureError("a network or loss draws random numbers on the host, which a graph would repeat")
        self.inputs.fill(batch, teacher_features)
        return self._replay()


@dataclass(frozen=True)
class _Inputs:
    """The buffers that a captured step reads."""

    batch: Batch
    teacher_features: Features | None

    @classmethod
    def like(cls, batch: Batch, teacher_features: Features | None) -> "_Inputs":
        """Return buffers for batches like this one; an input that both networks share stays shared."""
        student = batch.student_input.clone()
        shared = batch.teacher_input is batch.student_input
        copied = replace(
            batch,
            student_input=student,
            teacher_input=student if shared else batch.teacher_input.clone(),
            target=batch.target.clone(),
            index=None if batch.index is None else batch.index.clone(),
        )
        if teacher_features is None:
            return cls(copied, None)
        maps = {name: value.clone() for name, value in teacher_features.maps.items()}
        return cls(copied, Features(teacher_features.logits.clone(), teacher_features.embedding.clone(), maps))

    def fill(self, batch: Batch, teacher_features: Features | None) -> None:
        """Copy a batch into the buffers."""
        for buffer, value in zip(
            _tensors(self.batch, self.teacher_features), _tensors(batch, teacher_features), strict=True
        ):
            buffer.copy_(value, non_blocking=True)


def _tensors(batch: Batch, teacher_features: Features | None) -> list[Tensor]:
    """Return every tensor once, in a fixed order."""
    tensors = [batch.student_input, batch.target]
    if batch.teacher_input is not batch.student_input:
        tensors.append(batch.teacher_input)
    if batch.index is not None:
        tensors.append(batch.index)
    if teacher_features is not None:
        tensors += [teacher_features.logits, teacher_features.embedding, *teacher_features.maps.values()]
    return tensors


def reason_of(error: BaseException) -> str:
    r"""Return in one line why a capture has failed: the first error, which caused those after it.

    >>> try:
    ...     try:
    ...         raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nSearch for it")
    ...     finally:
    ...         raise RuntimeError("CUDA error: operation failed due to a previous error during capture")
    ... except RuntimeError as error:
    ...     print(reason_of(error))
    CUDA error: operation not permitted when stream is capturing
    """
    chain = [error]
    while chain[-1].__context__ is not None:
        chain.append(chain[-1].__context__)
    for link in chain:
        lack = lack_of_memory(link)
        if lack is not None:
            return f"{lack}: lower --batch-size or --teacher-ahead"
    return next(iter(str(chain[-1]).strip().splitlines()), "") or type(chain[-1]).__name__


def _host_has_drawn(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Return whether the host has drawn random numbers between two states."""
    (_, keys, position, *_), (_, later_keys, later_position, *_) = before["numpy"], after["numpy"]
    same = torch.equal(before["torch"], after["torch"]) and before["python"] == after["python"]
    return not (same and position == later_position and torch.equal(keys, later_keys))


def recorder_for(
    config: TrainingConfig, objective: Objective, accelerator: Accelerator, say: Callable[[str], None]
) -> Recorder | None:
    """Return the recorder of a run's steps, or None if they run eagerly.

    Args:
        config: how to train.
        objective: the method.
        accelerator: the engine.
        say: takes a line on why a GPU's steps are not captured.

    Raises:
        UsageError: `--capture on`, but the step cannot be captured.
    """
    if config.capture == "off":
        return None
    obstacle = obstacle_to_capture(config, objective, accelerator)
    if not obstacle:
        return GraphRecorder()
    if config.capture == "on":
        raise UsageError(f"--capture on: {obstacle}; use --capture auto, which then runs eagerly")
    if accelerator.device.type == "cuda":
        say(f"note: steps run eagerly, not as one CUDA graph: {obstacle}")
    return None


def obstacle_to_capture(config: TrainingConfig, objective: Objective, accelerator: Accelerator) -> str:
    """Return why a run's steps cannot be captured; empty if they can."""
    if accelerator.device.type != "cuda":
        return f"only a step on a CUDA GPU can be captured, received device {accelerator.device.type}"
    if accelerator.num_processes > 1:
        return f"{accelerator.num_processes} processes wait for each other within a step"
    if config.gradient_accumulation_steps > 1:
        return "with --gradient-accumulation-steps only some batches move the weights"
    if config.compile:
        return "--compile may compile again at any step"
    if config.precision == "fp16":
        return "fp16 reads the gradients before it moves the weights"
    if objective.teaches:
        return "the teacher trains in a step of its own"
    return objective.reads


def refusal(error: CaptureError) -> RunError:
    """Return the error of `--capture on` after a failed capture."""
    return RunError(
        f"--capture on: the step cannot be captured ({error}): resume with --capture auto, which then runs eagerly"
    )
