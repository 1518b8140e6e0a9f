"""Runs: start one, and resume it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn

from wcord.api.conclude import conclude
from wcord.api.folder import claimed_by_first, refuse_taken
from wcord.bounds import checked
from wcord.checks import UsageError, require_kind
from wcord.data.config import DataConfig
from wcord.data.contents import contents_of
from wcord.data.dataset import DataSet
from wcord.data.sources.registry import IN_MEMORY
from wcord.models.network import Network
from wcord.models.weights import digest
from wcord.paths import require_folder
from wcord.report.record import Record, describe_environment, working_commit
from wcord.scope import scopes
from wcord.setup.adapted import teacher_batches
from wcord.setup.cache import open_cache
from wcord.setup.job import Job, Provided, opened_data, prepare
from wcord.terminal import Reporter, tell
from wcord.training.captured import Recorder, recorder_for
from wcord.training.checkpoint import load_checkpoint
from wcord.training.config import (
    DistillConfig,
    TrainConfig,
    TrainingConfig,
    changed,
    configure,
    learning_rate,
    teacher_weights,
    to_toml,
    trained_name,
)
from wcord.training.consent import require_consent
from wcord.training.engine import make_accelerator, start_trackers
from wcord.training.failure import failing, resumable
from wcord.training.loop import Trainer
from wcord.training.outcome import Outcome
from wcord.training.places import digests_of_files, needed
from wcord.training.run import RECORD, RunFolder
from wcord.training.teacher_cache import TeacherCache

RESUMABLE = [name for name, affects in scopes(DataConfig, TrainingConfig).items() if affects.may_change]
"""Settings that may differ when a run is resumed, because they do not change its result."""


@dataclass(frozen=True)
class Result:
    """The result of a training call.

    Attributes:
        run: the run's folder.
        outcome: finished, or stopped and resumable.
        record: the measured results; None while stopped.
        student: the trained network.
        speaks: whether this process, of several, writes and reports; the record is None in the others.
    """

    run: Path
    outcome: Outcome
    record: Record | None
    student: Network
    speaks: bool = True


def distill(
    teacher: str | nn.Module,
    student: str | nn.Module,
    *,
    out: str | Path,
    data: str | DataSet = "digits",
    **settings: Any,
) -> Result:
    """Distill a teacher into a student, as `wcord distill` does.

    Args:
        teacher: name as `create_model` takes it (give `teacher_weights` too), or a trained module.
        student: name, or a module to be trained.
        out: folder of the run; it must not exist yet.
        data: source as in `--data`, or a data set from `wcord.data.from_arrays`.
        **settings: any setting of the command line by name: method, epochs, batch_size, lr, seed, …

    Returns:
        The run's folder, its record and the trained student.

    Raises:
        UsageError: a mistake in the arguments.
        RunError: the run fails.
    """
    for role, network in (("teacher", teacher), ("student", student)):
        _require_network(role, network)
    names = {"teacher": _network_name(teacher), "student": _network_name(student), "out": out, "data": _data_name(data)}
    provided = Provided(
        None if isinstance(teacher, str) else teacher,
        None if isinstance(student, str) else student,
        None if isinstance(data, str) else data,
    )
    return start(configure(DistillConfig, names | settings), provided)


def train(model: str | nn.Module, *, out: str | Path, data: str | DataSet = "digits", **settings: Any) -> Result:
    """Train a network on labels alone, as `wcord train` does, for instance a teacher.

    Args:
        model: name as `create_model` takes it, or a module.
        out: folder of the run; it must not exist yet.
        data: source as in `--data`, or a data set from `wcord.data.from_arrays`.
        **settings: any setting of the command line by name: epochs, batch_size, lr, seed, …

    Returns:
        The run's folder, its record and the trained network, as `student`.

    Raises:
        UsageError: a mistake in the arguments.
        RunError: the run fails.
    """
    _require_network("model", model)
    names = {"model": _network_name(model), "out": out, "data": _data_name(data)}
    provided = Provided(student=None if isinstance(model, str) else model, data=None if isinstance(data, str) else data)
    return start(configure(TrainConfig, names | settings), provided)


def _require_network(name: str, network: object) -> None:
    require_kind(name, network, (str, nn.Module), "the name of a network or a torch.nn.Module")


def _network_name(network: str | nn.Module) -> str:
    return network if isinstance(network, str) else type(network).__name__


def _data_name(data: str | DataSet) -> str:
    require_kind("data", data, (str, DataSet), "the name of a data source or a DataSet (see from_arrays, open_data)")
    return data if isinstance(data, str) else f"{IN_MEMORY}:{data.name}"


def start(
    config: TrainConfig | DistillConfig,
    provided: Provided | None = None,
    say: Reporter = tell,
    *,
    claimed: bool = False,
) -> Result:
    """Start a run: check everything, then create its folder, then train.

    Args:
        config: the configuration of the run.
        provided: modules and data that replace names in the configuration.
        say: takes the lines that report what happens.
        claimed: whether the caller holds the claim of the run's folder.

    Raises:
        UsageError: a mistake in the configuration; no folder is created.
        RunError: the run fails.
    """
    config = checked(config)
    deadline = _deadline(config)
    accelerator = make_accelerator(config.training, config.out)
    refuse_taken(config, claimed=claimed)
    accelerator.wait_for_everyone()  # before the first one creates the folder
    provided = _with_data(config, provided)
    contents = _contents(config, provided)
    job, say = _prepare(config, provided, say, accelerator)
    recorder = recorder_for(config.training, job.objective, accelerator, say)
    cache = open_cache(job, say)
    with claimed_by_first(config.out, accelerator, claimed=claimed):
        if accelerator.is_main_process:
            RunFolder.create(config.out, to_toml(job.config), overwrite=config.overwrite, needed=needed(config))
        accelerator.wait_for_everyone()
        run = RunFolder(config.out)
        with resumable(run):
            return _train(job, run, contents, say, deadline, accelerator, recorder, cache, None)


def resume(
    run: str | Path,
    *,
    provided: Provided | None = None,
    say: Reporter = tell,
    config: TrainConfig | DistillConfig | None = None,
    claimed: bool = False,
    model: str | None = None,
    student: str | None = None,
    teacher: str | None = None,
    tracker: Sequence[str] = (),
    trust_run: bool = False,
    **changes: Any,
) -> Result:
    """Resume a stopped or killed run; its result is bit for bit that of an uninterrupted one.

    Your code in the run's settings (`package.module:factory`), and trackers that start a program, start again only if
    you name them, or trust the folder: it may come from someone else.

    Args:
        run: the run's folder.
        provided: the modules and data that the run was started with, unless by name.
        say: takes the lines that report what happens.
        config: its configuration, if its files have moved; default: that of the folder, whose relative paths are
            resolved where the run was started, then in the current folder.
        claimed: whether the caller holds the claim of the run's folder.
        model: the network of a run without a teacher, if it is your code.
        student: the student, if it is your code.
        teacher: the teacher, if it is your code.
        tracker: the run's trackers, if not just tensorboard.
        trust_run: start whatever the folder names.
        **changes: settings that may differ (device, max_time, workers, in_memory, capture).

    Raises:
        UsageError: the folder is not a run, another process runs it, a setting cannot change, the data or the teacher's
            weights have changed, or the folder names code that is not named here.
    """
    folder = RunFolder(require_folder(run, "run folder"))
    for name in changes:
        if name not in RESUMABLE:
            raise UsageError(f"{name} cannot change when a run is resumed: start a new run; {', '.join(RESUMABLE)} can")
    notes: list[str] = []
    if config is None:
        config, notes = folder.configuration()
        if not trust_run:
            named = {"model": model, "student": student, "teacher": teacher, "tracker": tuple(tracker)}
            roles = {"student": "student", "model": "student", "teacher": "teacher"}
            passed = [setting for setting, role in roles.items() if getattr(provided, role, None) is not None]
            require_consent(folder.path, config, named, provided=passed)
    # Earlier versions leave teacher_ahead unset.
    training = replace(config.training, teacher_ahead=config.training.teacher_ahead or 1)
    config = checked(changed(replace(config, out=folder.path, training=training), changes))
    deadline = _deadline(config)
    accelerator = make_accelerator(config.training, folder.path)
    with claimed_by_first(folder.path, accelerator, claimed=claimed):
        reporter = say if accelerator.is_main_process else _silent
        state = _last_state(folder, reporter, writes=accelerator.is_main_process)
        folder.require_settings(config)
        folder.require_teacher(teacher_weights(config))
        for note in notes:
            reporter(f"note: {note}")
        provided = _with_data(config, provided)
        contents = _contents(config, provided)
        folder.require_data(contents)
        job, say = _prepare(config, provided, say, accelerator, fresh=state is None)
        if "in_memory" in changes and job.data.augment == "resized-crop":
            raise UsageError("in_memory cannot change here: resized crops are cut from the originals or from memory")
        recorder = recorder_for(config.training, job.objective, accelerator, say)
        cache = open_cache(job, say)
        with resumable(folder):
            return _train(job, folder, contents, say, deadline, accelerator, recorder, cache, state)


def _last_state(folder: RunFolder, say: Reporter, *, writes: bool) -> dict[str, Any] | None:
    """Return the state to resume from, and restore the logs to it; None if the run starts again at its first step.

    Raises:
        RunError: no checkpoint can be used.
        UsageError: the run is finished, and its checkpoints are deleted.
    """
    state = load_checkpoint(folder.checkpoints, say)
    if state is None and (folder.path / RECORD).is_file():
        raise UsageError(
            f"the run in {str(folder.path)!r} is finished and its checkpoints are gone: there is nothing to resume; "
            "wcord report writes its page again"
        )
    if state is None and folder.metrics():
        say(f"note: {str(folder.checkpoints)!r} holds no checkpoint: the run begins again at its first step")
    if state is not None and writes:
        for line in folder.restore(state):
            say(f"note: {line}")
    return state


def _with_data(config: TrainConfig | DistillConfig, provided: Provided | None) -> Provided:
    """Return what the caller passes, with the data opened, before anything else can fail."""
    provided = provided or Provided()
    return replace(provided, data=opened_data(config, provided), opened=True)


def _contents(config: TrainConfig | DistillConfig, provided: Provided) -> dict[str, Any]:
    """Return digests of the data, and of other files that settings name."""
    assert provided.data is not None
    return contents_of(provided.data) | {"files": digests_of_files(config)}


def _prepare(
    config: TrainConfig | DistillConfig,
    provided: Provided,
    say: Reporter,
    accelerator: Accelerator,
    *,
    fresh: bool = True,
) -> tuple[Job, Reporter]:
    """Return this process's part of the work, and its reporter; only the first of several processes reports."""
    reporter = say if accelerator.is_main_process else _silent
    rank, processes = accelerator.process_index, accelerator.num_processes
    return prepare(config, provided, reporter, rank=rank, processes=processes, fresh=fresh), reporter


def _silent(line: str) -> None:
    """Report nothing."""


def _deadline(config: TrainConfig | DistillConfig) -> float | None:
    """Return when the run has to stop: its time limit counts from the call, not from its first step."""
    limit = config.training.max_time
    return None if limit is None else time.monotonic() + 60 * limit


def _train(
    job: Job,
    run: RunFolder,
    contents: Mapping[str, object],
    say: Reporter,
    deadline: float | None,
    accelerator: Accelerator,
    recorder: Recorder | None,
    cache: TeacherCache | None,
    state: dict[str, Any] | None,
) -> Result:
    training = job.config.training
    if training.tracker:
        start_trackers(accelerator, {"config": to_toml(job.config)}, run.path)
    if accelerator.is_main_process:
        run.tidy()
        weights = teacher_weights(job.config)
        run.note_start(
            working_commit(Path(__file__).parent),
            describe_environment(accelerator.device),
            teacher=None if weights is None else digest(weights),
            data=contents,
            config=job.config,
        )
    say(f"training {trained_name(job.config)} by {job.objective.formula} into {run.path}")
    trainer = Trainer(
        student=job.student,
        teacher=job.teacher,
        objective=job.objective,
        train=job.train,
        test=job.test,
        config=training,
        base_lr=learning_rate(training, trained_name(job.config)),
        run=run,
        accelerator=accelerator,
        cache=cache,
        recorder=recorder,
        deadline=deadline,
        state=state,
        teacher_test=teacher_batches(job.data, job.test, job.config.data.workers) if job.objective.teaches else None,
    )
    outcome = trainer.fit()
    record = None
    if outcome.status == "finished":
        with failing(run, lambda: trainer.at.steps_done):
            shipped = trainer.ship()  # in all processes, which keep the same student
            if accelerator.is_main_process:
                record = conclude(job, run, shipped, outcome, str(accelerator.device))
        for line in () if record is None else record.notes[len(job.notes) :]:
            say(f"note: {line}")
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return Result(run.path, outcome, record, trainer.shipped, speaks=accelerator.is_main_process)
