"""What the fields of a record and the arrays of an analysis hold: checked before anything is made of them."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wcord.checks import UsageError, shown
from wcord.report.analysis import Analysis

if TYPE_CHECKING:
    from wcord.report.record import Record

LARGEST = 1e30
"""Numbers beyond this are no measure of anything, and no figure can show them."""
LARGEST_THUMBNAIL = 1024
TEXTS = frozenset({"stage"})
"""Measures of an epoch that are text."""
TABLES = frozenset({"parts", "diagnostics", "norm_statistics"})
"""Measures that are tables of measures."""


def require_sound_record(record: "Record", *, named: bool = True) -> None:
    """Raise where a field of a record holds what no run writes.

    Args:
        record: of a run.
        named: whether the record has kept the names of the classes.

    Raises:
        UsageError: naming the field.
    """
    for name in ("classes", "notes"):
        for text in getattr(record, name):
            _require(name, isinstance(text, str), "text alone", text)
    count = record.num_classes
    _require("num_classes", _whole(count) and count > 0, "a whole number of at least 1", count)
    right = len(record.classes) == count or not named
    _require("classes", right, f"{count} names, as num_classes is {count}", record.classes)
    _require("seed", _whole(record.seed), "a whole number", record.seed)
    _require("wall_seconds", _measure(record.wall_seconds), "a number of seconds", record.wall_seconds)
    for number, epoch in enumerate(record.epochs, start=1):
        _require(f"epochs, number {number},", isinstance(epoch, dict), "a table", epoch)
        _require_measures(f"epochs, number {number},", epoch)
        numbered = epoch.get("epoch", number)
        _require(f"epochs, number {number}, epoch", _whole(numbered), "a whole number", numbered)
    _require_measures("metrics", record.metrics)
    _require_measures("teacher_metrics", record.teacher_metrics or {})
    for role in ("student", "teacher"):
        cost = record.cost.get(role) or {}
        _require(f"cost, {role},", isinstance(cost, dict), "a table", cost)
        _require_measures(f"cost, {role},", cost)
    _require_settings(record.config)


def _require_settings(config: Mapping[str, Any]) -> None:
    for name in ("data", "training", "pairing"):
        _require(f"config, {name},", isinstance(config.get(name, {}), dict), "a table", config.get(name))
    weights = config.get("teacher_weights")
    _require("config, teacher_weights,", weights is None or isinstance(weights, str), "text", weights)


def _require_measures(place: str, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if name in TABLES:
            _require(f"{place} {name}", value is None or isinstance(value, dict), "a table", value)
            _require_measures(f"{place} {name}", value or {})
        elif name in TEXTS:
            _require(f"{place} {name}", isinstance(value, str), "text", value)
        else:
            _require(f"{place} {name}", value is None or _measure(value), "a number", value)


def _measure(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and abs(value) <= LARGEST


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _require(name: str, right: bool, expected: str, value: object) -> None:
    if not right:
        raise UsageError(f"{name} must be {expected}, received {shown(value)}")


def require_sound_analysis(analysis: Analysis, num_classes: int) -> None:
    """Raise where arrays of an analysis do not belong together, or to a record of so many classes.

    Raises:
        UsageError: naming the array.
    """
    _require("targets", len_of(analysis.targets) > 0, "whole numbers, one a sample", _form(analysis.targets))
    samples, kept, embedded = len_of(analysis.targets), len_of(analysis.logit_rows), len_of(analysis.embedding_rows)
    for name in ("targets", "student_top1", "teacher_top1"):
        _require_numbers(name, getattr(analysis, name), samples, num_classes)
    for name in ("logit_rows", "embedding_rows", "gallery_rows", "plan_rows"):
        _require_numbers(name, getattr(analysis, name), None, samples)
    for role in ("student", "teacher"):
        _require_floats(f"{role}_logits", getattr(analysis, f"{role}_logits"), (kept, None))
        _require_floats(f"{role}_embeddings", getattr(analysis, f"{role}_embeddings"), (embedded, None))
    if analysis.teacher_logits is not None:
        same = analysis.teacher_logits.shape == analysis.student_logits.shape
        _require("teacher_logits", same, "of the shape of student_logits", analysis.teacher_logits.shape)
    if analysis.plan is not None:
        batch = len_of(analysis.plan_rows)
        _require_floats("plan", analysis.plan, (batch, batch))
        mass = bool(analysis.plan.size and analysis.plan.min() >= 0 and analysis.plan.sum() > 0)
        _require("plan", mass and bool(np.isfinite(analysis.plan).all()), "of some mass", _form(analysis.plan))
    _require_pictures(analysis.gallery, len_of(analysis.gallery_rows))


def len_of(array: NDArray[Any] | None) -> int:
    """Return the length of an array; 0 of one without a dimension, or of none."""
    return 0 if array is None or array.ndim == 0 else len(array)


def _require_numbers(name: str, array: NDArray[Any] | None, count: int | None, below: int) -> None:
    """Raise unless an array is a list of whole numbers from 0 to below a number."""
    if array is None:
        return
    whole = array.ndim == 1 and array.dtype.kind == "i" and (count is None or len(array) == count)
    _require(name, whole, "whole numbers, one a sample", _form(array))
    inside = not array.size or bool(array.min() >= 0 and array.max() < below)
    _require(name, inside, f"whole numbers from 0 to below {below}", _form(array))


def _require_floats(name: str, array: NDArray[Any] | None, shape: Sequence[int | None]) -> None:
    if array is None:
        return
    fits = array.ndim == len(shape) and all(
        length == wanted if wanted is not None else length > 0
        for length, wanted in zip(array.shape, shape, strict=True)
    )
    _require(name, fits and array.dtype.kind == "f", "a table of numbers, a row a sample", _form(array))
    _require(name, not bool(np.isinf(array).any()), "no infinite numbers", _form(array))


def _require_pictures(gallery: NDArray[Any], count: int) -> None:
    right = (
        gallery.ndim == 4
        and gallery.dtype == np.uint8
        and len(gallery) == count
        and gallery.shape[3] in (1, 3)
        and all(1 <= side <= LARGEST_THUMBNAIL for side in gallery.shape[1:3])
    )
    _require("gallery", right, "small pictures, one for each of gallery_rows", _form(gallery))


def _form(array: NDArray[Any]) -> str:
    return f"{array.dtype} of shape {array.shape}"
