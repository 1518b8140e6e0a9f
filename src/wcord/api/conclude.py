"""The end of a run: save and measure the student, write the record and the page."""

import dataclasses
from typing import Any

from torch import nn

from wcord.data.dataset import DataSet
from wcord.data.loader import Loader
from wcord.evaluation.accuracy import Predictions, accuracy, predict
from wcord.evaluation.agreement import agreement
from wcord.evaluation.chance import Standing, standing
from wcord.evaluation.cost import measure_cost
from wcord.evaluation.information import critic_information
from wcord.evaluation.symptoms import STUDENT_CAUSES, TEACHER_CAUSES, doubts, training_gap
from wcord.methods.build import resolved_options
from wcord.methods.options import parse_options
from wcord.models.card import SEVERAL_LABELS
from wcord.models.network import Network
from wcord.models.weights import save_weights
from wcord.report.analysis import analyze
from wcord.report.html import write_run_report
from wcord.report.record import Record
from wcord.setup.adapted import teacher_batches
from wcord.setup.job import Job
from wcord.setup.networks import describe
from wcord.training.config import TrainConfig, to_settings, trained_name
from wcord.training.outcome import Outcome
from wcord.training.run import ANALYSIS, RECORD, STUDENT, RunFolder
from wcord.training.shipped import Shipped


def conclude(job: Job, run: RunFolder, shipped: Shipped, outcome: Outcome, device: str) -> Record:
    """Save the student, measure it against the teacher, write the record and the report.

    Args:
        job: the run's data, networks and method.
        run: its folder.
        shipped: the network to be saved, with its notes.
        outcome: how its training ended.
        device: the device of the run.
    """
    config = job.config
    name = trained_name(config)
    student = shipped.network
    student_predictions = predict_all(student, job.test)
    student_standing = None if job.data.several_labels else standing(student_predictions)
    # A method without a teacher leaves it on the device where it was built.
    teacher = None if job.teacher is None else job.teacher.to(device)
    all_teacher_predictions = None if teacher is None else _teacher_predictions(teacher, job)
    # Samples paired by label differ: they cannot be compared one by one.
    comparable = job.data.teacher is None or job.data.pairs != "label"
    teacher_predictions = all_teacher_predictions if comparable else None
    pictures = job.data.test.read if min(job.data.test.shape[1:]) > 1 else None
    same_labels = job.same_labels and not job.data.several_labels
    if not job.data.several_labels:  # the analysis is about single classes: confusions, gains, misses
        analysis = analyze(student_predictions, teacher_predictions, pictures, same_labels=same_labels)
        analysis.save(run.path / ANALYSIS)
    epochs: list[dict[str, Any]] = [dict(entry) for entry in run.metrics() if entry.get("stage") != "preparation"]
    metrics = _metrics(student_predictions, teacher_predictions, epochs, same_labels=same_labels)
    if teacher_predictions is not None:
        critic = critic_information(job.objective, student_predictions, teacher_predictions)
        metrics |= {} if critic is None else {"critic_information_nats": critic}
    statistics = {} if shipped.statistics is None else {"norm_statistics": shipped.statistics}
    metrics |= statistics | ({} if student_standing is None else {"at_chance": not student_standing.informed})
    identity: dict[str, Any] = {
        "method": "ce" if isinstance(config, TrainConfig) else config.method,
        "teacher": None if isinstance(config, TrainConfig) else config.teacher,
        "data": job.data.name,
        "seed": config.training.seed,
    }
    card = describe(student, job.architecture, job.data, identity | _for_card(metrics) | statistics)
    save_weights(student.backbone, run.path / STUDENT, card=card)
    commit, environment = run.origin()
    record = Record(
        name=run.path.name,
        kind="train" if isinstance(config, TrainConfig) else "distill",
        student=name,
        **identity,
        config=to_settings(config),
        objective=_options(job),
        teacher_digest=run.teacher_digest,
        num_classes=len(job.data.classes),
        classes=list(job.data.classes),
        epochs=epochs,
        metrics=metrics,
        teacher_metrics=_teacher_metrics(all_teacher_predictions, len(job.data.of_teacher.classes)),
        cost={
            "student": _cost(student, job.data, device),
            "teacher": None if teacher is None else _cost(teacher, job.data.of_teacher, device),
        },
        environment=environment,
        commit=commit,
        wall_seconds=outcome.seconds,
        notes=[*job.notes, *shipped.notes, *_doubts(job, student_standing, all_teacher_predictions, metrics)],
    )
    record.to_json(run.path / RECORD)
    write_run_report(run.path)
    return record


def _options(job: Job) -> dict[str, dict[str, object]]:
    """Return the options of a run's methods; without labels there is no cross-entropy."""
    config = job.config
    method, settings = ("ce", ()) if isinstance(config, TrainConfig) else (config.method, config.set)
    resolved = resolved_options(method, parse_options(settings))
    options = {name: chosen for name, chosen in resolved.items() if name != "ce" or name in job.objective.weights}
    if job.class_weights is not None:
        options["ce"]["class_weights"] = dict(zip(job.data.classes, job.class_weights.tolist(), strict=True))
    return options


def _metrics(
    student: Predictions, teacher: Predictions | None, epochs: list[dict[str, Any]], *, same_labels: bool
) -> dict[str, Any]:
    measured = accuracy(student)
    name = "map" if student.several_labels else "top1"
    values: dict[str, Any] = {f"{name}_last": measured.pop(name)} | measured
    if epochs and "train_top1" in epochs[-1]:
        values["train_top1_last"] = epochs[-1]["train_top1"]
    # The log may lack epochs if an earlier version, whose checkpoints omit it, started the run.
    reached = [entry[f"test_{name}"] for entry in epochs if f"test_{name}" in entry]
    values[f"{name}_best"] = max(reached, default=values[f"{name}_last"])
    return values if teacher is None else values | agreement(student, teacher, same_labels=same_labels)


def _for_card(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the card's entries on accuracy, and on several labels a sample."""
    if "map_last" in metrics:
        return {"map_last": metrics["map_last"], SEVERAL_LABELS: True}
    return {"top1_last": metrics["top1_last"]}


def _doubts(job: Job, student: Standing | None, teacher: Predictions | None, metrics: dict[str, Any]) -> list[str]:
    """Return why the result may not be what it seems; runs with several labels a sample have no such checks."""
    if student is None:
        return []
    lines = doubts(student, "the student", job.data.classes, STUDENT_CAUSES)
    if "train_top1_last" in metrics:
        lines += training_gap(student, metrics["train_top1_last"])
    classes = job.data.of_teacher.classes
    if teacher is not None and teacher.num_classes == len(classes):
        lines += doubts(standing(teacher), "the teacher", classes, TEACHER_CAUSES)
    return lines


def _teacher_predictions(teacher: Network, job: Job) -> Predictions | None:
    """Return the teacher's predictions on its test samples: the student's, in order, unless paired by label.

    None if it has none.
    """
    batches = teacher_batches(job.data, job.test, job.config.data.workers)
    return None if batches is None else predict_all(teacher, batches)


def _teacher_metrics(teacher: Predictions | None, num_classes: int) -> dict[str, float] | None:
    return None if teacher is None or teacher.num_classes != num_classes else accuracy(teacher)


def _cost(network: Network, data: DataSet, device: str) -> dict[str, Any]:
    return dataclasses.asdict(measure_cost(network, data.train.shape, device=device))


def predict_all(network: nn.Module, loader: Loader) -> Predictions:
    """Return a network's predictions on all samples of a loader, on the network's device."""
    device = next(network.parameters()).device
    return predict(network, loader.batches(), device=device)
