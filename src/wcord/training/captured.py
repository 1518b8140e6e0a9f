"""A step as one CUDA graph over static buffers, replayed for every full batch.

The host launches about a thousand small kernels for a step at CIFAR's size, each of which takes longer to launch than
to run; a graph launches them all at once. `torch.cuda.graph` by hand is taken rather than `torch.compile(mode=
"reduce-overhead")`: that makes a graph of each compiled region, so forward, backward and optimiser would stay apart and
hooks, memories and the losses' own autograd functions would break the regions up.
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
from wcord.methods.term import Objective
from wcord.training.checkpoint import random_state, restore_random_state
from wcord.training.config import TrainingConfig

EAGER_STEPS = 3
"""Full batches that are trained on eagerly before a step is captured: libraries choose their algorithms in them, and
the optimiser makes its state."""

Body = Callable[[Batch, Features | None], Tensor]
"""A training step: it moves weights and memories, and returns what the meter notes."""

Once = Callable[[], Tensor]
"""A step whose batch is known."""


class CaptureError(Exception):
    """A step cannot be captured; nothing has been trained by the attempt."""


class Recorder(Protocol):
    """Runs steps, and records one to be replayed."""

    def run(self, once: Once) -> Tensor:
        """Run a step eagerly, where it would be recorded."""
        ...

    def record(self, once: Once) -> Once:
        """Return the replay of a step, which is not run by this."""
        ...


class GraphRecorder:
    """Records a step as one CUDA graph.

    Eager steps run on the stream that is captured later, so that libraries have their workspaces there. Random numbers
    of the device's own generator go on in a replay as they would in a step that is run.
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
            CaptureError: where it does what cannot be captured, or memory runs out.
        """
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        state, stream = generator.clone_state(), torch.cuda.current_stream()
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads, which pin memory for batches that are decoded, may go on meanwhile.
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                row = once()
        except RuntimeError as error:  # of CUDA as well, whatever it is
            torch.cuda.set_stream(stream)  # a capture that fails does not give it back
            generator.graphsafe_set_state(state)
            raise CaptureError(reason_of(error)) from error

        def replay() -> Tensor:
            graph.replay()
            return row.clone()  # the next replay overwrites it

        return replay


class CapturedStep:
    """Train on full batches: eagerly until the step has settled, then by replaying it.

    Args:
        body: the step; all that it does must be a function of tensors.
        settled: says whether the next step takes the way that all later ones take (constants are set, queues full).
        recorder: runs and records steps.
        eager_steps: least number of steps before that.
    """

    def __init__(
        self, body: Body, settled: Callable[[], bool], *, recorder: Recorder, eager_steps: int = EAGER_STEPS
    ) -> None:
        self.body, self.settled, self.recorder = body, settled, recorder
        self.eager_left = eager_steps
        self._replay: Once | None = None

    @property
    def is_captured(self) -> bool:
        """Whether steps are replayed by now."""
        return self._replay is not None

    def __call__(self, batch: Batch, taught: Features | None = None) -> Tensor:
        """Train on a batch of the size of all others.

        Raises:
            CaptureError: where the step cannot be captured.
        """
        if self._replay is None:
            if self.eager_left > 0 or not self.settled():
                self.eager_left -= 1
                return self.recorder.run(lambda: self.body(batch, taught))
            self.inputs = _Inputs.like(batch, taught)
            before = random_state()
            with no_reads():
                self._replay = self.recorder.record(lambda: self.body(self.inputs.batch, self.inputs.taught))
            if _host_has_drawn(before, random_state()):
                self._replay = None
                restore_random_state(before)
                raise CaptureError("a network or loss draws random numbers on the host, which a graph would repeat")
        self.inputs.fill(batch, taught)
        return self._replay()


@dataclass(frozen=True)
class _Inputs:
    """The buffers that a captured step reads."""

    batch: Batch
    taught: Features | None

    @classmethod
    def like(cls, batch: Batch, taught: Features | None) -> "_Inputs":
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
        if taught is None:
            return cls(copied, None)
        maps = {name: value.clone() for name, value in taught.maps.items()}
        return cls(copied, Features(taught.logits.clone(), taught.embedding.clone(), maps))

    def fill(self, batch: Batch, taught: Features | None) -> None:
        """Copy a batch into the buffers."""
        for buffer, value in zip(_tensors(self.batch, self.taught), _tensors(batch, taught), strict=True):
            buffer.copy_(value, non_blocking=True)


def _tensors(batch: Batch, taught: Features | None) -> list[Tensor]:
    """Return every tensor once."""
    tensors = [batch.student_input, batch.target]
    if batch.teacher_input is not batch.student_input:
        tensors.append(batch.teacher_input)
    if batch.index is not None:
        tensors.append(batch.index)
    if taught is not None:
        tensors += [taught.logits, taught.embedding, *taught.maps.values()]
    return tensors


def reason_of(error: BaseException) -> str:
    r"""Return in one line why a capture has failed: what went wrong first, of which the end of the capture only hears.

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
    for one in chain:
        lack = lack_of_memory(one)
        if lack is not None:
            return f"{lack}: lower --batch-size or --teacher-ahead"
    return next(iter(str(chain[-1]).strip().splitlines()), "") or type(chain[-1]).__name__


def _host_has_drawn(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Return whether any generator of the host has moved between two states."""
    (_, keys, position, *_), (_, later_keys, later_position, *_) = before["numpy"], after["numpy"]
    same = torch.equal(before["torch"], after["torch"]) and before["python"] == after["python"]
    return not (same and position == later_position and torch.equal(keys, later_keys))


def recorder_for(
    config: TrainingConfig, objective: Objective, accelerator: Accelerator, say: Callable[[str], None]
) -> Recorder | None:
    """Return what captures the steps of a run, or None where they run eagerly.

    Args:
        config: how to train.
        objective: the method.
        accelerator: the engine.
        say: takes a line on why steps are not captured, where one would expect it.

    Raises:
        UsageError: on `--capture on`, where it cannot be.
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
    """Return why a run's steps cannot be captured; empty where they can."""
    if accelerator.device.type != "cuda":
        return f"only a step on a CUDA GPU can be captured, received device {accelerator.device.type}"
    if accelerator.num_processes > 1:
        return f"{accelerator.num_processes} processes wait for each other within a step"
    if config.gradient_accumulation_steps > 1:
        return "with --gradient-accumulation-steps not all batches do the same"
    if config.compile:
        return "--compile may compile anew at any step"
    if config.precision == "fp16":
        return "fp16 looks at the gradients before it moves the weights"
    return objective.reads


def refusal(error: CaptureError) -> RunError:
    """Return what `--capture on` says where the attempt has failed."""
    return RunError(
        f"--capture on: the step cannot be captured ({error}): go on with --capture auto, which then runs eagerly"
    )
