"""Inspect two networks by a forward pass: the widths, classes and maps that a method works on."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wcord.checks import UsageError, require_bool, require_counts, require_number, require_tensor
from wcord.data.batch import Batch
from wcord.features import Features, capture, map_names, unwrap
from wcord.methods.objective import Objective
from wcord.methods.setting import Setting
from wcord.models.network import evaluating
from wcord.models.trial import on_trial

GUESSED_SIDE = 32
"""Side of the images that are tried if there is no sample."""


class DataProperties(TypedDict, total=False):
    """The fields of a `Setting` that follow from the data and the training, as it describes them."""

    num_samples: int | None
    batch_size: int | None
    same_labels: bool
    label_smoothing: float
    class_weights: Tensor | None
    mixed: bool
    several_labels: bool
    total_steps: int | None


def observe(
    student: nn.Module,
    teacher: nn.Module,
    *,
    student_sample: Tensor | None = None,
    teacher_sample: Tensor | None = None,
    student_maps: Sequence[str] | None = None,
    teacher_maps: Sequence[str] | None = None,
    student_embedding: str | None = None,
    teacher_embedding: str | None = None,
    **data: Unpack[DataProperties],
) -> Setting:
    """Return the setting of a method for two networks; neither network is changed.

    Args:
        student: any network.
        teacher: any network.
        student_sample: a batch of at least one input; default: zeros of 32×32 pixels, or as wide as the first layer.
        teacher_sample: as `student_sample`; default: the student's.
        student_maps: names or module paths of the student's maps, from stem to last; default: what it states.
        teacher_maps: as `student_maps`.
        student_embedding: path of the module whose input is the student's embedding; default: as in `capture`.
        teacher_embedding: as `student_embedding`.
        data: the properties of the data and the training, see `Setting`.

    Raises:
        UsageError: if a network cannot take the sample, or a list names a map more than once.
    """
    for name in ("num_samples", "batch_size", "total_steps"):
        if data.get(name) is not None:
            require_counts(**{name: data.get(name)})
    require_number("label_smoothing", data.get("label_smoothing", 0.0), low=0, below=1)
    require_bool("several_labels", data.get("several_labels", False))
    for name, sample in (("sample", student_sample), ("teacher_sample", teacher_sample)):
        if sample is not None:
            _require_sample(name, sample)
    _require_once("student", student_maps)
    _require_once("teacher", teacher_maps)
    student_sample = _guess(student) if student_sample is None else student_sample
    teacher_sample = student_sample if teacher_sample is None else teacher_sample
    student_features = _dry_run("student", student, student_sample, student_maps, student_embedding)
    teacher_features = _dry_run("teacher", teacher, teacher_sample, teacher_maps, teacher_embedding)
    return Setting(
        student_dim=student_features.embedding.shape[1],
        teacher_dim=teacher_features.embedding.shape[1],
        student_classes=student_features.logits.shape[1],
        teacher_classes=teacher_features.logits.shape[1],
        student_maps=_shapes(student_features),
        teacher_maps=_shapes(teacher_features),
        student=student,
        teacher=teacher,
        **data,
    )


def rehearse(
    objective: Objective,
    student: nn.Module,
    teacher: nn.Module,
    student_sample: Tensor,
    teacher_sample: Tensor,
    *,
    shares: bool = False,
    rows: bool = True,
) -> None:
    """Compute each loss once on a batch, so that invalid options fail before the first step.

    All modules are in eval mode and no graph is recorded: neither weights nor memories move.

    Args:
        objective: the method.
        student: the network to be trained.
        teacher: the trained network.
        student_sample: at least two of the student's inputs.
        teacher_sample: the teacher's inputs of the same samples.
        shares: whether targets have a number for each class, as those of mixtures and of several labels do.
        rows: whether batches have row numbers.

    Raises:
        UsageError: if a loss cannot be computed.
    """
    index = torch.arange(len(student_sample))
    batch = Batch(student_sample, teacher_sample, torch.zeros_like(index), index if rows else None)
    if objective.rotations:
        batch = batch.rotated()
    maps = objective.student_map_names
    student_features = _dry_run("student", student, batch.student_input, maps, cut=objective.cuts)
    teacher_features = _dry_run("teacher", teacher, batch.teacher_input, objective.teacher_map_names)
    # Heads are built on the CPU, wherever the networks are; a loop moves them with the rest.
    sides = student_features.to("cpu"), teacher_features.to("cpu")
    if shares:
        batch = replace(batch, target=F.one_hot(batch.target, sides[0].logits.shape[1]).float())
    try:
        with evaluating(objective):
            objective(*sides, batch)
            objective.teach(*sides, batch)
            objective.prepare(*sides, batch)
    except (TypeError, RuntimeError, ArithmeticError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UsageError(
            f"{'+'.join(objective.weights)} cannot be computed with these options and networks ({reason}): check --set"
        ) from None


def _require_sample(name: str, sample: Tensor) -> None:
    require_tensor(name, sample)
    if sample.dim() == 0 or len(sample) == 0:
        raise UsageError(f"{name} must be a batch of at least one input, received shape {tuple(sample.shape)}")


def _require_once(role: str, maps: Sequence[str] | None) -> None:
    names = list(maps or ())
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"the {role}'s maps contain {name!r} more than once: name each map once")


def _shapes(features: Features) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape[1:]) for name, value in features.maps.items()}


def _dry_run(
    role: str,
    network: nn.Module,
    sample: Tensor,
    maps: Sequence[str] | None,
    embedding: str | None = None,
    cut: Sequence[str] = (),
) -> Features:
    if maps is None:
        try:
            return _dry_run(role, network, sample, map_names(network), embedding)
        except UsageError:
            maps = ()  # only methods on maps need a stated map, and they report one that cannot be read
    device = next((p.device for p in network.parameters()), sample.device)
    with evaluating(network), capture(network, maps, embedding, cut) as tap, on_trial(role, sample.shape):
        return tap(sample.to(device))


def _guess(network: nn.Module) -> Tensor:
    for module in unwrap(network).modules():
        if isinstance(module, nn.Conv2d):
            return torch.zeros(2, module.in_channels, GUESSED_SIDE, GUESSED_SIDE)
        if isinstance(module, nn.Linear):
            return torch.zeros(2, module.in_features)
    raise UsageError("the student's input shape cannot be guessed from its layers: give sample=, a batch of its inputs")
