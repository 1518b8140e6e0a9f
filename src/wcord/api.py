"""What the command line calls and a notebook can: train, distil, resume, evaluate, predict, build a method."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from torch import Tensor, nn

from wcord.checks import UsageError
from wcord.conclude import conclude, predict_all
from wcord.data.config import DataConfig
from wcord.data.loader import Loader
from wcord.data.pictures import find_pictures, read_picture
from wcord.data.sources import open_data
from wcord.data.split import DataSet
from wcord.data.view import View
from wcord.evaluation.accuracy import accuracy
from wcord.evaluation.probe import DRAWS, Representation, few_shot, linear_probe, nearest_neighbours
from wcord.methods.build import Options, build_objective
from wcord.methods.observe import observe
from wcord.methods.term import Objective
from wcord.models.card import ModelCard
from wcord.models.network import Network
from wcord.models.weights import open_network, read_card
from wcord.report.record import Record, describe_environment, working_commit
from wcord.training.config import (
    DistillConfig,
    TrainConfig,
    configure,
    learning_rate,
    read_config,
    to_toml,
    trained_name,
)
from wcord.training.engine import make_accelerator, resolve_device
from wcord.training.job import EVALUATION_BATCH, Job, Own, Say, prepare
from wcord.training.loop import Outcome, Trainer
from wcord.training.networks import NetworkSpec, as_trained, build_network
from wcord.training.run import CONFIG, RunFolder
from wcord.training.teacher_cache import open_cache

RESUMABLE = ("device", "max_time", "workers", "in_memory")
"""Settings that may differ when a run is resumed, because they do not change its result."""


@dataclass(frozen=True)
class Result:
    """What a training call gives back.

    Attributes:
        run: the run's folder.
        outcome: finished, or stopped and to be resumed.
        record: what was reached; None while stopped.
        student: the trained network.
    """

    run: Path
    outcome: Outcome
    record: Record | None
    student: Network


def distill(
    teacher: str | nn.Module,
    student: str | nn.Module,
    *,
    out: str | Path,
    data: str | DataSet = "digits",
    **settings: Any,
) -> Result:
    """Distil a teacher into a student, as `wcord distill` does.

    Args:
        teacher: name as `create_model` takes it (give `teacher_weights` too), or a trained module.
        student: name, or a module to be trained.
        out: folder of the run; it must not exist yet.
        data: source as in `--data`, or a data set from `wcord.data.sources.from_arrays`.
        **settings: any setting of the command line by name: method, epochs, batch_size, lr, seed, …

    Returns:
        The run's folder, its record and the trained student.

    Raises:
        UsageError: for a mistake in what was given.
        RunError: where the run fails under way.
    """
    names = {
        "teacher": teacher if isinstance(teacher, str) else type(teacher).__name__,
        "student": student if isinstance(student, str) else type(student).__name__,
        "out": out,
        "data": data if isinstance(data, str) else data.name,
    }
    own = Own(
        None if isinstance(teacher, str) else teacher,
        None if isinstance(student, str) else student,
        None if isinstance(data, str) else data,
    )
    return start(configure(DistillConfig, names | settings), own)


def start(config: TrainConfig | DistillConfig, own: Own | None = None, say: Say = print) -> Result:
    """Begin a run: check everything, then make its folder, then train.

    Args:
        config: what to do.
        own: modules and data that stand in for names in the configuration.
        say: takes the lines that tell what happens.

    Raises:
        UsageError: for a mistake in what was given; no folder is made.
        RunError: where the run fails under way.
    """
    deadline = _deadline(config)
    _refuse_taken(config)
    state = PartialState(cpu=resolve_device(config.training.device).type == "cpu")
    job = prepare(config, own or Own(), say, rank=state.process_index, processes=state.num_processes)
    if state.is_main_process:
        RunFolder.create(config.out, to_toml(config), overwrite=config.overwrite)
    state.wait_for_everyone()
    return _train(job, RunFolder(config.out), say, deadline)


def resume(
    run: str | Path,
    *,
    own: Own | None = None,
    say: Say = print,
    config: TrainConfig | DistillConfig | None = None,
    **changes: Any,
) -> Result:
    """Go on with a stopped or killed run, bit for bit as if it had not been.

    Args:
        run: the run's folder.
        own: the modules and data that the run was started with, where it was not by name.
        say: takes the lines that tell what happens.
        config: its configuration, where its files lie elsewhere today; default: the one that the folder holds.
        **changes: settings that may differ (device, max_time, workers, in_memory).

    Raises:
        UsageError: where the folder is no run, or other settings are to be changed.
    """
    folder = RunFolder(Path(run))
    for name in changes:
        if name not in RESUMABLE:
            raise UsageError(f"{name} cannot change when a run is resumed: start a new run; {', '.join(RESUMABLE)} can")
    config = config or read_config(folder.path / CONFIG)
    training = replace(config.training, **{k: v for k, v in changes.items() if k in ("device", "max_time")})
    data = replace(config.data, **{k: v for k, v in changes.items() if k in ("workers", "in_memory")})
    config = replace(config, out=folder.path, training=training, data=data)
    deadline = _deadline(config)
    state = PartialState(cpu=resolve_device(training.device).type == "cpu")
    job = prepare(config, own or Own(), say, rank=state.process_index, processes=state.num_processes)
    return _train(job, folder, say, deadline)


def evaluate(
    model: str | nn.Module | None = None,
    *,
    weights: str | Path | None = None,
    data: str | DataConfig | DataSet = "digits",
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    device: str = "auto",
    **settings: Any,
) -> dict[str, float]:
    """Return top-1, top-5, calibration error and log-likelihood of a network on the evaluation split.

    Args:
        model: name, or a module; may be left out where the weights carry a card.
        weights: its weights.
        data: source as in `--data`, its configuration, or a data set.
        mean: mean that the input is normalised with; default: what the file, timm or the training data say.
        std: standard deviation that the input is divided by.
        device: where to compute.
        **settings: settings of the data, where it is named: label, image_size, …

    Raises:
        UsageError: for a mistake in what was given.
    """
    opened = DataConfig(data=data, **settings) if isinstance(data, str) else data
    if isinstance(opened, DataConfig):
        opened = open_data(as_trained(opened, None if weights is None else Path(weights)))
    network = _network(model, weights, opened, mean, std)
    where = resolve_device(device)
    predictions = predict_all(network.to(where), Loader(opened.test, batch_size=EVALUATION_BATCH, device=str(where)))
    return accuracy(predictions)


@dataclass(frozen=True)
class Guess:
    """What a network says of one picture: its most probable classes, best first."""

    path: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]


def predict_images(
    weights: str | Path, paths: Sequence[str | Path], *, top: int = 3, device: str = "auto"
) -> list[Guess]:
    """Return the most probable classes of pictures, from a student's file alone.

    Args:
        weights: a file that carries its card, such as a run's student.safetensors.
        paths: pictures, or folders that hold them.
        top: how many classes to name.
        device: where to compute.

    Raises:
        UsageError: where a file is missing or is no picture.
    """
    where = resolve_device(device)
    network, card = open_network(weights).to(where).eval(), read_card(weights)
    files = find_pictures([Path(path) for path in paths])
    # open_network refuses a file without card; one that fits any size is shown the picture at the usual 224.
    assert card is not None
    height, width = card.image_size or (224, 224)
    if width == 1:
        raise UsageError(f"{str(weights)!r} is a network for tables, not for pictures: use wcord evaluate")
    shape = card.record_shape or (card.in_channels, height, width)
    view = View.parse(card.view)
    guesses = []
    for file in files:
        image = view(read_picture(file, shape)).to(where)
        with torch.inference_mode():
            probabilities = network(image).float().softmax(dim=1)[0].cpu()
        best = probabilities.topk(min(top, len(probabilities)))
        names = tuple(network.classes[i] if network.classes else str(i) for i in best.indices.tolist())
        guesses.append(Guess(str(file), names, tuple(best.values.tolist())))
    return guesses


def probe(
    weights: str | Path,
    *,
    data: str | DataConfig | DataSet = "digits",
    neighbours: int = 20,
    shots: Sequence[int] = (),
    device: str = "auto",
    **settings: Any,
) -> dict[str, Any]:
    """Return what a frozen network's embedding is worth on a data set, as `wcord probe` does.

    Images are brought to the size and the channels that the network was trained on. BatchNorm is frozen, nothing is
    augmented, and each image goes through the network once.

    Args:
        weights: a file that says what network it is, such as a run's student.safetensors.
        data: source as in `--data`, its configuration, or a data set.
        neighbours: how many nearest neighbours vote; 0 leaves that out.
        shots: also fit on so many samples a class, ten times over.
        device: where to compute.
        **settings: settings of the data, where it is named: label, subset, …

    Returns:
        `top1`: probe → accuracy in percent, of few shots its mean and standard deviation; and what was probed on what.

    Raises:
        UsageError: for a mistake in what was given.
    """
    network, card = open_network(weights), read_card(weights)
    assert card is not None  # open_network refuses a file without one
    config = DataConfig(data=data, **settings) if isinstance(data, str) else data
    opened = _as_the_network_wants(config, Path(weights), card) if isinstance(config, DataConfig) else config
    where = resolve_device(device)
    network = network.to(where)
    halves = [
        predict_all(network, Loader(split, batch_size=EVALUATION_BATCH, device=str(where)))
        for split in (opened.train, opened.test)
    ]
    seen = Representation(halves[0].embeddings, halves[0].targets, halves[1].embeddings, halves[1].targets)
    found: dict[str, Any] = {"linear": linear_probe(seen)}
    if neighbours:
        found[f"{neighbours} nearest neighbours"] = nearest_neighbours(seen, neighbours=neighbours)
    for count in shots:
        mean, std = few_shot(seen, count)
        found[f"linear, {count} a class"] = {"mean": mean, "std": std, "draws": DRAWS}
    return {
        "top1": found,
        "architecture": card.architecture,
        "data": opened.name,
        "note": f"{len(opened.train)} samples to fit, {len(opened.test)} to measure, {seen.train.shape[1]} dimensions",
    }


def _as_the_network_wants(config: DataConfig, weights: Path, card: ModelCard) -> DataSet:
    """Open data in the size and the channels that a network was trained on, through its view."""
    config = as_trained(config, weights)
    channels, height, width = card.record_shape or (card.in_channels, *(card.image_size or (0, 0)))
    if config.image_size is None and height == width > 1:
        config = replace(config, image_size=height)
    whole = open_data(replace(config, view=None))
    fit = {(1, 3): "rgb", (3, 1): "gray"}.get((whole.train.shape[0], channels))
    return whole.through(",".join(part for part in (fit, config.view) if part))


def build_method(
    method: str,
    student: nn.Module,
    teacher: nn.Module,
    *,
    sample: Tensor | None = None,
    teacher_sample: Tensor | None = None,
    num_samples: int | None = None,
    batch_size: int | None = None,
    label_smoothing: float = 0.0,
    total_steps: int | None = None,
    student_maps: Sequence[str] | None = None,
    teacher_maps: Sequence[str] | None = None,
    options: Options | None = None,
) -> Objective:
    """Return a method's objective for two networks, to be used in any loop.

    Args:
        method: summands joined by `+`, such as `wcord+kd`; see `wcord list`.
        student: the network to be trained.
        teacher: the trained network.
        sample: a batch of what the student sees; default: 32×32 images of the channels of its first layer.
        teacher_sample: a batch of what the teacher sees; default: `sample`.
        num_samples: rows of the training set, for memories by sample index; None: a queue is used where one can be.
        batch_size: samples in a batch, to refuse a method that needs more.
        label_smoothing: of the cross-entropy.
        total_steps: optimiser steps of the whole training, for options that change on the way.
        student_maps: names or module paths of the student's maps, from stem to last; default: what it states.
        teacher_maps: as `student_maps`. Read both with `capture(…, maps=objective.student_map_names)`.
        options: summand → option → value, as keyword arguments of its loss.

    Raises:
        UsageError: on unknown names, and where the method needs what the networks or the data do not give.

    Example:
        >>> from wcord import capture, create_model
        >>> from wcord.data.batch import Batch
        >>> student, teacher = create_model("resnet8", num_classes=10), create_model("resnet14", num_classes=10)
        >>> objective = build_method("wcord+kd", student, teacher)
        >>> objective.formula
        '1 ce + 0.8 gckt + 0.05 lckt + 1 kd'
        >>> images, target = torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 2, 3])
        >>> with capture(student) as student_tap, capture(teacher) as teacher_tap:
        ...     with torch.no_grad():
        ...         seen = teacher_tap(images)
        ...     report = objective(student_tap(images), seen, Batch(images, images, target))
        >>> sorted(report.parts)
        ['ce', 'gckt', 'kd', 'lckt']
    """
    setting = observe(
        student,
        teacher,
        student_sample=sample,
        teacher_sample=teacher_sample,
        num_samples=num_samples,
        batch_size=batch_size,
        label_smoothing=label_smoothing,
        total_steps=total_steps,
        student_maps=student_maps,
        teacher_maps=teacher_maps,
    )
    return build_objective(method, setting, options=options)


def _refuse_taken(config: TrainConfig | DistillConfig) -> None:
    """Say that the folder is taken, or cannot be made, before any work is done for it."""
    out = config.out
    if out.is_dir() and any(out.iterdir()) and not config.overwrite:
        raise UsageError(f"--out {str(out)!r} exists: name another folder, give --overwrite, or go on with --resume")
    ground = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    if not ground.is_dir() or not os.access(ground, os.W_OK):
        raise UsageError(f"--out {str(out)!r} cannot be written: {str(ground)!r} is no folder that can be written")


def _deadline(config: TrainConfig | DistillConfig) -> float | None:
    """Return the moment at which the run has to stop: its time counts from the call, not from its first step."""
    limit = config.training.max_time
    return None if limit is None else time.monotonic() + 60 * limit


def _train(job: Job, run: RunFolder, say: Say, deadline: float | None) -> Result:
    training = job.config.training
    accelerator = make_accelerator(training, run)
    if training.tracker:
        accelerator.init_trackers("wcord", config={"config": to_toml(job.config)})
    if accelerator.is_main_process:
        run.note_start(working_commit(Path(__file__).parent), describe_environment(accelerator.device))
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
        cache=open_cache(job),
        deadline=deadline,
    )
    outcome = trainer.fit()
    record = None
    if outcome.status == "finished" and accelerator.is_main_process:
        record = conclude(job, run, trainer.shipped, outcome, str(accelerator.device))
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return Result(run.path, outcome, record, trainer.shipped)


def _network(
    model: str | nn.Module | None,
    weights: str | Path | None,
    data: DataSet,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
) -> Network:
    path = None if weights is None else Path(weights)
    if isinstance(model, nn.Module):
        return build_network(NetworkSpec("model", type(model).__name__, path, mean=mean, std=std), data, own=model)
    card = None if path is None else read_card(path)
    name = model or (card.architecture if card else None)
    if name is None:
        raise UsageError("nothing to evaluate: give --weights of a student, or --model with its --weights")
    return build_network(NetworkSpec("model", name, path, mean=mean, std=std), data)
