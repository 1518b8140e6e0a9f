"""Checks of the measures, settings and arrays of records and analyses, before a page shows them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wcord.checks import UsageError, shown
from wcord.report.analysis import Analysis

LARGEST = 1e30
"""Larger numbers are not plausible measures, and figures cannot show them."""
LARGEST_THUMBNAIL = 1024
TEXTS = frozenset({"stage"})
"""Measures of an epoch that are text."""
TABLES = frozenset({"parts", "diagnostics", "norm_statistics"})
"""Measures that are tables of measures."""


def require_measures(name: str, values: Mapping[str, Any]) -> None:
    """Raise unless a table contains only measures of a run: numbers, or tables of numbers."""
    for key, value in values.items():
        place = f"{name}.{key}"
        if key in TABLES:
            _require(place, value is None or isinstance(value, dict), "a table", value)
            require_measures(place, value or {})
        elif key in TEXTS:
            _require(place, isinstance(value, str), "text", value)
        else:
            _require(place, value is None or _measure(value), "a number", value)


def require_epochs(name: str, epochs: Sequence[Mapping[str, Any]]) -> None:
    """Raise unless each epoch contains measures and has a whole number."""
    for number, epoch in enumerate(epochs, start=1):
        require_measures(f"{name}.{number}", epoch)
        numbered = epoch.get("epoch", number)
        _require(f"{name}.{number}.epoch", _whole(numbered), "a whole number", numbered)


def require_settings(name: str, config: Mapping[str, Any]) -> None:
    """Raise unless the settings of a run have the expected types: tables, and a path of weights."""
    for table in ("data", "teacher_data", "training", "pairing"):
        _require(f"{name}.{table}", isinstance(config.get(table, {}), dict), "a table", config.get(table))
    weights = config.get("teacher_weights")
    _require(f"{name}.teacher_weights", weights is None or isinstance(weights, str), "text", weights)


def _measure(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and abs(value) <= LARGEST


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _require(name: str, valid: bool, expected: str, value: object) -> None:
    if not valid:
        raise UsageError(f"{name} must be {expected}, received {shown(value)}")


def require_sound_analysis(analysis: Analysis, num_classes: int) -> None:
    """Raise if the arrays of an analysis do not fit each other or the record's number of classes.

    Raises:
        UsageError: naming the array.
    """
    _require("targets", len_of(analysis.targets) > 0, "whole numbers, one per sample", _form(analysis.targets))
    samples, logits, embedded = len_of(analysis.targets), len_of(analysis.logit_rows), len_of(analysis.embedding_rows)
    for name in ("targets", "student_top1", "teacher_top1"):
        _require_numbers(name, getattr(analysis, name), samples, num_classes)
    for name in ("logit_rows", "embedding_rows", "gallery_rows", "plan_rows"):
        _require_numbers(name, getattr(analysis, name), None, samples)
    for role in ("student", "teacher"):
        _require_floats(f"{role}_logits", getattr(analysis, f"{role}_logits"), (logits, None))
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
    """Return the length of an array; 0 for a scalar or None."""
    return 0 if array is None or array.ndim == 0 else len(array)


def _require_numbers(name: str, array: NDArray[Any] | None, count: int | None, below: int) -> None:
    """Raise unless an array is a vector of whole numbers from 0 to below a number."""
    if array is None:
        return
    whole = array.ndim == 1 and array.dtype.kind == "i" and (count is None or len(array) == count)
    _require(name, whole, "whole numbers, one per sample", _form(array))
    inside = not array.size or bool(array.min() >= 0 and array.max() < below)
    _require(name, inside, f"whole numbers from 0 to below {below}", _form(array))


def _require_floats(name: str, array: NDArray[Any] | None, shape: Sequence[int | None]) -> None:
    if array is None:
        return
    fits = array.ndim == len(shape) and all(
        length == expected if expected is not None else length > 0
        for length, expected in zip(array.shape, shape, strict=True)
    )
    _require(name, fits and array.dtype.kind == "f", "a table of numbers, one row per sample", _form(array))
    _require(name, not bool(np.isinf(array).any()), "no infinite numbers", _form(array))


def _require_pictures(gallery: NDArray[Any], count: int) -> None:
    valid = (
        gallery.ndim == 4
        and gallery.dtype == np.uint8
        and len(gallery) == count
        and gallery.shape[3] in (1, 3)
        and all(1 <= side <= LARGEST_THUMBNAIL for side in gallery.shape[1:3])
    )
    _require("gallery", valid, "small pictures, one for each of gallery_rows", _form(gallery))


def _form(array: NDArray[Any]) -> str:
    return f"{array.dtype} of shape {array.shape}"
