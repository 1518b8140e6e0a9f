"""The training loop: batches in, a trained student out, resumable at every step."""

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from wcord import collectives
from wcord.checks import RunError
from wcord.data.batch import Batch
from wcord.data.loader import Loader
from wcord.evaluation.accuracy import accuracy, predict
from wcord.features import Features, capture
from wcord.methods.objective import Objective
from wcord.methods.term import Stage
from wcord.models.network import Network
from wcord.training.average import MovingAverage
from wcord.training.captured import CapturedStep, CaptureError, Recorder, refusal
from wcord.training.checkpoint import save_checkpoint
from wcord.training.config import TrainingConfig
from wcord.training.distiller import Distiller
from wcord.training.engine import seed_everything, student_groups
from wcord.training.failure import failing
from wcord.training.interrupt import TIME_IS_UP, Interrupt
from wcord.training.measures import measures_of
from wcord.training.meter import TEACHER_LOSS, EpochMeter, require_finite_weights
from wcord.training.normalization import statistics_restored, tracking_layers
from wcord.training.outcome import Outcome
from wcord.training.position import Position
from wcord.training.progress import RunProgress, epoch_line
from wcord.training.run import RunFolder
from wcord.training.schedule import learning_rate_at
from wcord.training.shipped import Shipped, ship
from wcord.training.state import RunState
from wcord.training.step import Step, without_waiting
from wcord.training.teacher_cache import TeacherCache
from wcord.training.teaching import Teacher, teaching
from wcord.training.update import Update

FLUSH_EVERY = 20
"""Steps between checks of the loss on an accelerator; on the CPU every step is checked."""


class Trainer:
    """Trains a student by an objective, from its last checkpoint if there is one.

    Args:
        student: network to be trained.
        teacher: frozen network, which may have additions that train, or None to train on labels alone.
        objective: the method.
        train: training batches.
        test: evaluation batches.
        config: how to train.
        base_lr: learning rate before the schedule.
        run: folder for the checkpoints and the metrics.
        accelerator: devices, precision, processes and trackers.
        cache: the teacher's outputs from other runs over the same batches; ignored if the method reads maps of the
            teacher, or trains in it.
        recorder: captures the step; None: all steps run eagerly.
        deadline: time of the monotonic clock after which the run saves its state and stops.
        state: the checkpoint to resume from, which is emptied once it is loaded; None: begin at the first step.
        teacher_test: evaluation batches of the teacher's inputs, on which it is measured if it trains; None: it is not.
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
        cache: TeacherCache | None = None,
        recorder: Recorder | None = None,
        deadline: float | None = None,
        state: dict[str, Any] | None = None,
        teacher_test: Loader | None = None,
    ) -> None:
        self.student = student
        self.teacher = teacher if objective.uses_teacher else None
        self.objective = objective
        self.train = train
        self.test = test
        self.config = config
        self.base_lr = base_lr
        self.run = run
        self.accelerator = accelerator
        self.cache = None if objective.teacher_map_names or objective.teaches else cache
        self.recorder = recorder
        self.deadline = deadline
        self.state = state
        self.teacher_test = teacher_test
        self.teaching: Teacher | None = None
        self.preparation = objective.preparation
        if self.preparation is not None and config.preparation_epochs is not None:
            self.preparation = replace(self.preparation, epochs=config.preparation_epochs)
        self.at = Position(
            batches=len(train),
            accumulation=config.gradient_accumulation_steps,
            epochs=config.epochs,
            prepared_epochs=0 if self.preparation is None else self.preparation.epochs,
        )
        self.named = measures_of(train)
        self.seconds = 0.0
        self.average: MovingAverage | None = None
        self._enter("preparation" if self.at.prepared_epochs else "main")

    @property
    def shipped(self) -> Network:
        """The network that is evaluated and saved: the student, or its moving average."""
        if self.average is None:
            return self.student
        assert isinstance(self.average.module, Network)
        return self.average.module

    def ship(self) -> Shipped:
        """Return the network to be saved, with running statistics measured if those of training do not suffice."""
        device = self.accelerator.device
        return ship(self.shipped, self.train, self.config, updates=self.at.stage_batches, device=device)

    def fit(self) -> Outcome:
        """Train to the last epoch, or until a time limit or a signal, saving the state either way.

        Raises:
            RunError: a loss part becomes NaN or infinite, or the state cannot be written.
        """
        config = self.config
        with ExitStack() as stack:
            maps, cuts = self.objective.student_map_names, self.objective.cuts
            student_tap = stack.enter_context(capture(self.student, maps=maps, cut=cuts))
            if self.teacher is not None:
                maps, how = self.objective.teacher_map_names, self.objective.teacher_training
                self.teaching = stack.enter_context(
                    teaching(self.teacher, maps, config, self.accelerator, self.cache, how, self.at.epoch_steps)
                )
            self._prepare(
                Distiller(self.student, self.objective, student_tap, several_labels=self.named.several_labels)
            )
            self._resume()
            visible = self.accelerator.is_main_process
            self.progress = stack.enter_context(
                RunProgress(self.at.total_steps, done=self.at.steps_done, visible=visible)
            )
            return self._stages(stack.enter_context(Interrupt(self.deadline)))

    def _prepare(self, distiller: Distiller) -> None:
        """Move everything to its device, and wrap it for several processes."""
        distiller.to(self.accelerator.device)
        distiller.copy_buffers_from_first()
        if self.config.channels_last:
            self.student.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # stub lacks it
        if self.config.compile:
            self.student.backbone.compile()
        if self.config.ema is not None:
            self.average = MovingAverage(self.student, self.config.ema)
        self.trainable = self.accelerator.prepare(distiller)

    def _enter(self, stage: Stage) -> None:
        """Begin a stage: its parts are measured from its first epoch."""
        self.at.stage, self.at.epoch, self.at.batch = stage, 0, 0
        parts = tuple(self.objective.weights) if stage == "main" else self.objective.prepared_parts
        diagnostics = self.objective.diagnostics if stage == "main" else ()
        diagnostics += (TEACHER_LOSS,) if stage == "main" and self.objective.teaches else ()
        self.meter = EpochMeter(parts, diagnostics, device=self.accelerator.device)

    def _make_step(self) -> None:
        """Create the optimizer of the stage's trainable parameters, and the step around it."""
        with_student = self.at.stage == "main" or (self.preparation is not None and self.preparation.student)
        groups = student_groups(self.student, self.config.body_rate) if with_student else {}
        for rate, parameters in self.objective.stage_groups(self.at.stage).items():
            groups.setdefault(rate, []).extend(parameters)
        self.update = Update(groups, self.config, self.base_lr, self.accelerator)
        if self.teaching is not None:
            self.teaching.enter(self.at.stage)
        self.step = Step(
            self.trainable, self.student, self.update, self.average, self.teaching, self.at.stage, self.accelerator
        )
        settled = partial(self.objective.settled_in, self.at.stage)
        self.captured = None if self.recorder is None else CapturedStep(self.step, settled, recorder=self.recorder)

    def _stages(self, interrupt: Interrupt) -> Outcome:
        started = time.monotonic() - self.seconds
        if self.at.stage == "preparation":
            stopped = self._epochs(interrupt, started)
            if stopped is not None:
                return stopped
            self._enter("main")
            self._make_step()
        return self._epochs(interrupt, started) or Outcome("finished", "", None, self.seconds)

    def _epochs(self, interrupt: Interrupt, started: float) -> Outcome | None:
        """Train to the end of the stage, or return how it stopped."""
        while self.at.epoch < self.at.stage_epochs:
            epoch_started = time.monotonic()
            self.trainable.train()
            for batch, teacher_features in self._batches():
                request = self._stop_request(interrupt) if self.at.between_steps else None
                if request is not None:
                    self.seconds = time.monotonic() - started
                    self._save()
                    return Outcome("stopped", *request, self.seconds)
                self._step(batch, teacher_features)
                self.seconds = time.monotonic() - started
                if not self.at.between_steps:
                    continue
                self._show(epoch_started)
                if self.config.checkpoint_every and self.at.steps_done % self.config.checkpoint_every == 0:
                    self._save()
            self._end_epoch(time.monotonic() - epoch_started)
        return None

    def _batches(self) -> Iterator[tuple[Batch, Features | None]]:
        """Yield the remaining batches of the epoch, with the teacher's features if these are already known."""
        start = self.at.batch
        with failing(self.run, lambda: self.at.steps_done):
            for group in self.train.groups(epoch=self.at.order, start=start):
                whole = group.whole.to(self.accelerator.device)
                features: Sequence[Features | None] = [None] * len(group.sizes)
                if self.teaching is not None:  # with finished batches: a smaller pass has other bits
                    features = self.teaching.before_steps(whole, group.sizes)
                yield from list(zip(whole.split(group.sizes), features, strict=True))[max(0, start - group.first) :]

    def _step(self, batch: Batch, teacher_features: Features | None) -> None:
        """Teacher once, student once, backward; the last batch of an optimizer step moves the weights."""
        self.update.set_rate(self._learning_rate(), *self.at.epoch_of_stage)
        if self.teaching is not None and self.teaching.update is not None:
            self.teaching.update.set_rate(self.at.stage_steps)
        if teacher_features is None and self.teaching is not None:
            last = self.at.batch + 1 == len(self.train)
            teacher_features = self.teaching.cached(self.at.order, self.at.batch, batch, last=last)
        device = self.accelerator.device
        try:
            with failing(self.run, lambda: self.at.steps_done), without_waiting(device):
                row = self._trained(batch, teacher_features)
        except RunError:
            self.meter.flush()  # an earlier step may have failed first
            raise
        self.meter.add(self.at.steps_done, row, batch.upright_rows)
        self.at.batch += 1
        if device.type == "cpu" or self.at.batch % FLUSH_EVERY == 0:
            self.meter.flush()

    def _trained(self, batch: Batch, teacher_features: Features | None) -> Tensor:
        if self.captured is not None and len(batch) == self.train.samples_in(0):
            try:
                return self.captured(batch, teacher_features)
            except CaptureError as error:
                self.update.forget()  # drop the gradients of the attempt
                self.captured = None
                if self.config.capture == "on":
                    raise refusal(error) from error
                self.progress.line(f"note: the step cannot be captured ({error}): it runs eagerly")
        return self.step(batch, teacher_features, share=self._share(len(batch)), closes=self.at.closes_step)

    def _learning_rate(self, step: int | None = None) -> float:
        if self.at.stage == "preparation":
            return self.base_lr
        step = self.at.stage_steps if step is None else step
        return learning_rate_at(step, steps_per_epoch=self.at.epoch_steps, base=self.base_lr, config=self.config)

    def _share(self, local: int) -> float:
        """Weight of this process's mean of a batch in the mean over all samples of an optimizer step.

        Gradients are summed over the batches of the step and averaged over the processes.
        """
        samples = sum(self.train.samples_in(number) for number in self.at.batches_of_step)
        return self.accelerator.num_processes * local / samples

    def _show(self, epoch_started: float) -> None:
        elapsed = max(time.monotonic() - epoch_started, 1e-9)
        self.progress.show(
            self.at.steps_done,
            epoch=f"{self.at.stage_name} {self.at.epoch + 1}/{self.at.stage_epochs}",
            values=self.meter.latest,
            images_per_second=self.meter.samples / elapsed,
        )

    def _end_epoch(self, seconds: float) -> None:
        self._require_finite()
        means = self.meter.means()
        loss, train_top1 = means.pop("loss"), means.pop("train_top1")
        parts = {name: means.pop(name) for name in self.meter.parts}
        entry: dict[str, Any] = {
            "epoch": self.at.epoch + 1,
            "lr": self.update.shown_rate(self._learning_rate(self.at.stage_steps - 1), *self.at.epoch_of_stage),
            "loss": loss,
            "parts": parts,
            "seconds": round(seconds, 3),
        }
        if self.update.scaler is not None:
            entry["skipped_steps"] = self.update.skipped
        if self.at.stage == "main":
            entry |= {self.named.train: train_top1} | ({"diagnostics": means} if means else {})
        else:
            entry["stage"] = self.at.stage
        self.at.epoch, self.at.batch = self.at.epoch + 1, 0
        if self.at.stage == "main" and (
            self.at.epoch % self.config.eval_every == 0 or self.at.epoch == self.config.epochs
        ):
            entry |= self._evaluate()
        if self.accelerator.is_main_process:
            self.run.log(entry)
            self.progress.line(epoch_line(self.at.stage_name, self.at.epoch, self.at.stage_epochs, entry))
        if self.config.tracker:
            flat = {key: value for key, value in entry.items() if isinstance(value, float)}
            self.accelerator.log(flat | {f"part/{k}": v for k, v in parts.items()}, step=self.at.steps_done)
        self.meter.reset()
        self.update.skipped = 0
        self._save()

    def _evaluate(self) -> dict[str, float]:
        """Return the top-1 accuracy (or mAP) of the shipped network, and of a teacher that trains.

        Other processes wait for the first.
        """
        result = {self.named.test: 0.0}
        with failing(self.run, lambda: self.at.steps_done - 1), statistics_restored(tracking_layers(self.shipped)):
            network = self.ship().network  # in all processes; training continues with its statistics
            if self.accelerator.is_main_process:
                predictions = predict(network, self.test.batches(), device=self.accelerator.device)
                result = {self.named.test: accuracy(predictions)[self.named.measure]}
                if self.teacher is not None and self.objective.teaches and self.teacher_test is not None:
                    answers = predict(self.teacher, self.teacher_test.batches(), device=self.accelerator.device)
                    if answers.num_classes == predictions.num_classes:
                        result[self.named.teacher] = accuracy(answers)[self.named.measure]
        self.accelerator.wait_for_everyone()
        return result

    def _require_finite(self) -> None:
        """Raise if a loss part or a weight is not finite."""
        self.meter.flush()
        require_finite_weights("weights", self.update.parameters, step=self.at.steps_done - 1)
        if self.teaching is not None and self.teaching.update is not None:
            additions = self.teaching.update.parameters
            require_finite_weights("additions to the teacher", additions, step=self.at.steps_done - 1)
        if self.average is not None:
            require_finite_weights("averaged weights", [*self.average.parameters()], step=self.at.steps_done - 1)

    def _stop_request(self, interrupt: Interrupt) -> tuple[str, signal.Signals | None] | None:
        """Return why to stop, and by which signal; all processes stop at the same step.

        On an accelerator they agree only every few steps, since agreeing waits for the device.
        """
        if collectives.count() > 1 and self.accelerator.device.type != "cpu" and self.at.steps_done % FLUSH_EVERY:
            return None
        request = interrupt.request(self.accelerator.device)
        if request == TIME_IS_UP:
            return f"reached --max-time of {self.config.max_time or 0:g} minutes", None
        return (f"received {signal.Signals(request).name}", signal.Signals(request)) if request else None

    @property
    def _state(self) -> RunState:
        learning = None if self.teaching is None else self.teaching.update
        return RunState(self.at, self.student, self.objective, self.update, self.average, self.meter, learning)

    def _save(self) -> None:
        """Write a checkpoint, of a finite state only."""
        self._require_finite()
        state = self._state.state_dict()
        if self.accelerator.is_main_process:
            state |= {"seconds": self.seconds, "logs": self.run.logs()}
            save_checkpoint(self.run.checkpoints, self.at.steps_done, state)

    def _resume(self) -> None:
        """Seed everything, or restore the last checkpoint."""
        rank = self.accelerator.process_index
        seed_everything(self.config.seed + rank)
        state = self.state
        if state is not None:
            self._enter(state["stage"])
        self._make_step()
        if state is None:
            if rank == 0:
                self.run.forget_epochs()
            return
        processes = self.accelerator.num_processes
        self._state.restore(state, rank=rank, processes=processes, seed=self.config.seed)
        self.seconds = state["seconds"]
        state.clear()  # the caller's reference would keep its memory until the run ends
