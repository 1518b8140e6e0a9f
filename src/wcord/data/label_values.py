"""Label values before they are numbered: one class a sample, several, shares of classes, or a quantity."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wcord.checks import UsageError
from wcord.data.names import composed

Labels = NDArray[Any]
LabelForm = Literal["numbers", "one-hot", "several", "shares", "other"]

LABEL_NAMES = frozenset({"label", "labels", "target", "targets", "class", "y"})
"""Column names that decide where several columns could be the label."""
FEW_CLASSES = 20
"""Different whole numbers that are classes however few samples there are."""


def as_labels(values: object) -> Labels:
    """Return labels as an array that keeps their types: NumPy would turn a list of 1 and "1" into text.

    >>> as_labels([1, "1", None]).tolist()
    [1, '1', None]
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.is_floating_point() else values).numpy()
    if isinstance(values, np.ma.MaskedArray) and np.ma.getmaskarray(values).any():
        return _objects(values.tolist())  # None where a value is hidden
    if isinstance(values, np.ndarray):
        return np.asarray(values)
    items = list(values) if isinstance(values, Iterable) else [values]
    try:
        array = np.asarray(values)
    except ValueError:  # rows of different lengths
        return _objects(items)
    return array if array.dtype.kind in "biuf" else _objects(items)


def label_form(values: Labels) -> LabelForm:
    """Return which form labels have.

    "numbers": one value, a class number or name. "one-hot": a row of 0 and 1 with a single 1. "several": any number of
    classes, as a row of 0 and 1 or as a list. "shares": a row of numbers that sum to 1. "other": none of these.

    >>> label_form(np.array([[1, 0], [0, 1]])), label_form(np.array([[1, 1], [0, 0]]))
    ('one-hot', 'several')
    >>> label_form(np.array([[0.2, 0.8], [1.0, 0.0]])), label_form(np.array(["cat", "ant"]))
    ('shares', 'numbers')
    """
    rows = _rows(values)
    if rows is None:
        if any(isinstance(value, dict) for value in values):
            return "other"
        return "several" if any(map(is_list, values)) else "numbers"
    if rows.ndim != 2 or rows.dtype.kind not in "biuf":
        return "several" if rows.ndim == 2 and rows.dtype.kind in "UST" else "other"
    for off in (0, -1):
        if np.isin(rows, (off, 1)).all():
            return "one-hot" if bool(((rows == 1).sum(1) == 1).all()) else "several"
    return "shares" if _are_shares(rows) else "other"


ADVICE: dict[LabelForm, str] = {
    "one-hot": "they are one-hot rows: turn one-hot rows into class numbers by argmax",
    "several": "they mark several classes a sample, and argmax would throw all but one away: choose one question, and "
    "give one column of the marks as the label; rows of 0 and 1 of npz files and arrays are taken as they are",
    "shares": "they are shares of classes that sum to 1: give the largest by argmax, or let a teacher give such shares",
    "other": "give one class number or name for each sample",
}
"""What to do about labels that are not one value a sample."""


def plain_labels(split: str, values: Labels) -> Labels:
    """Return labels as whole numbers, truth values, text in one Unicode form, or, for quantities, fractions.

    Args:
        split: which they are, for messages.
        values: one value a sample.

    Raises:
        UsageError: they are several values a sample; some are missing; they are of several kinds, or of one that names
            no classes.
    """
    form = label_form(values)
    if form != "numbers":
        raise UsageError(
            f"the labels of the {split} split must be one value a sample, received shape {tuple(values.shape)}: "
            f"{_strange_marks(values) if form == 'other' else ADVICE[form]}"
        )
    if values.dtype.kind == "f":
        missing = np.isnan(values)
    elif values.dtype.kind in "biu":
        return values
    else:
        values = values.astype(object)
        missing = np.array([is_missing(value) for value in values], bool)
    if missing.any():
        raise UsageError(
            f"the {split} split has {int(missing.sum())} samples without a label, the first in row "
            f"{int(missing.argmax())} (counted from 0): remove them, or choose another label column"
        )
    return _whole(split, values) if values.dtype.kind == "f" else _of_one_kind(split, values)


def _strange_marks(values: Labels) -> str:
    """Return what to do about rows that are neither marks nor shares."""
    rows = _rows(values)
    if rows is None or rows.ndim != 2 or rows.shape[1] < 2 or rows.dtype.kind not in "biuf":
        return ADVICE["other"]
    strange = [value for value in np.unique(rows).tolist() if value not in (0, 1)]
    return (
        f"they hold {', '.join(f'{value:g}' for value in strange[:3])}; where a sample may have several labels, give "
        "rows of 0 and 1, else one class number or name for each sample"
    )


def is_missing(value: object) -> bool:
    """Return whether a label is missing: None, NaN of any type, or blank text.

    >>> [is_missing(value) for value in (None, float("nan"), np.datetime64("NaT"), " ", "NA", 0)]
    [True, True, True, True, False, False]
    """
    if isinstance(value, str | bytes):
        return not value.strip()
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return bool(value != value) if isinstance(value, float | np.floating | np.datetime64) else False


def unlabeled(values: Labels, train: Labels) -> int:
    """Return how many test samples have no label: a gap, or −1 where no training sample has that.

    >>> unlabeled(np.array([-1, -1, 2]), np.array([0, 1, 2])), unlabeled(np.array([-1]), np.array([-1, 1]))
    (2, 0)
    """
    if values.ndim != 1:
        return 0
    if values.dtype.kind in "if":
        marked = (values == -1) & (not bool((train == -1).any()))
        return int((marked | (values != values)).sum())
    return 0 if values.dtype.kind in ("b", "u") else sum(map(is_missing, values))


def alike(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the groups of names that differ by case or spaces alone.

    >>> alike(("cat", "Cat", "dog", "cat "))
    [('cat', 'Cat', 'cat ')]
    """
    together: dict[str, list[str]] = {}
    for name in names:
        together.setdefault("".join(name.casefold().split()), []).append(name)
    return [tuple(group) for group in together.values() if len(group) > 1]


def spelled_as(texts: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return values in their known spelling: 01 and 1.0 are the number 1, TRUE is true.

    >>> spelled_as(["1.0"], ("1", "2")), spelled_as(["TRUE"], ("false", "true")), spelled_as(["01"], ("01", "1"))
    (['1'], ['true'], ['01'])
    """
    by_meaning: dict[str | float, set[str]] = {}
    for name in known:
        by_meaning.setdefault(_meaning(name), set()).add(name)

    def spelled(text: str) -> str:
        same = by_meaning.get(_meaning(text), set())
        return next(iter(same)) if len(same) == 1 else text

    return [spelled(text) for text in texts]


def _meaning(text: str) -> str | float:
    text = text.strip()
    if text.casefold() in ("true", "false"):
        return text.casefold()
    return float(text) if re.fullmatch(r"[+-]?(\d{1,15}([.]\d*)?|[.]\d+)", text) else text


def alike_note(what: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return a note on names that differ by case or spaces alone, and may be one thing."""
    groups = ["/".join(map(repr, group)) for group in alike(names)]
    if not groups:
        return ()
    more = ", …" if len(groups) > 3 else ""
    return (f"{what} differ by case or spaces alone, and are not merged: {', '.join(groups[:3])}{more}",)


def gap_code_note(classes: Sequence[str]) -> tuple[str, ...]:
    """Return a note if exactly one class has a negative number: programs write -999 for a gap.

    >>> gap_code_note(("-999", "0", "1"))[0][:35], gap_code_note(("-1", "1")), gap_code_note(("a", "b"))
    ("class '-999' is the only one below ", (), ())
    """
    if len(classes) < 2 or not all(re.fullmatch(r"-?\d+", name) for name in classes):
        return ()
    below = [name for name in classes if int(name) < 0]
    if len(below) != 1 or sorted(map(int, classes)) == [-1, 1]:
        return ()
    return (f"class {below[0]!r} is the only one below 0: if it stands for an unknown label, leave its samples out",)


def require_classes(what: str, values: Labels) -> None:
    """Raise if labels are a quantity: fractions, or about as many different whole numbers as samples.

    Args:
        what: the labels, for the message.
        values: those of all splits together.
    """
    kinds = np.unique(values)
    if not len(kinds):
        return
    gapless = values.dtype.kind in "iu" and int(kinds[-1]) - int(kinds[0]) + 1 == len(kinds)
    many = values.dtype.kind in "iu" and len(kinds) > FEW_CLASSES and 2 * len(kinds) > len(values) and not gapless
    if values.dtype.kind == "f" or many:
        shown = next((kind for kind in kinds.tolist() if kind != int(kind)), kinds[0])
        raise UsageError(
            f"{what} holds {len(kinds)} different numbers, such as {shown:g}: expected classes; regression is not "
            "supported"
        )


def _are_shares(rows: Labels) -> bool:
    return rows.dtype.kind == "f" and bool((rows >= 0).all()) and np.allclose(rows.sum(1), 1, atol=1e-3)


def _objects(items: list[Any]) -> Labels:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def is_list(value: object) -> bool:
    """Return whether a value is a collection."""
    return isinstance(value, list | tuple | set | frozenset | np.ndarray) and not isinstance(value, str)


def _rows(values: Labels) -> Labels | None:
    """Return labels of several values a sample as a matrix; None for one value, or for different numbers of values."""
    if values.ndim != 1:
        return values
    if values.dtype.kind != "O" or not any(map(is_list, values)):
        return None
    try:
        rows = np.array([list(value) for value in values])
    except (ValueError, TypeError):
        return None
    # Lists of class numbers, all of one length, are no rows of marks.
    if rows.ndim != 2 or rows.shape[1] < 2 or rows.dtype.kind not in "biuf":
        return None
    return rows if np.isin(rows, (0, 1)).all() or _are_shares(rows) else None


def _whole(split: str, values: Labels) -> Labels:
    """Return numbers as integers where they are whole; fractions as they are."""
    if not np.isfinite(values).all():
        raise UsageError(f"the labels of the {split} split hold infinity: repair them")
    return values.astype(np.int64) if bool((values == np.floor(values)).all()) else values.astype(np.float64)


KINDS: dict[str, tuple[type, ...]] = {
    "truth values": (bool, np.bool_),
    "numbers": (int, float, np.integer, np.floating),
    "text": (str, bytes),
}


def _of_one_kind(split: str, values: Labels) -> Labels:
    """Return objects as numbers, truth values or text."""
    examples: dict[str, Any] = {}
    for value in values:
        kind = next((name for name, types in KINDS.items() if isinstance(value, types)), None)
        if kind is None:
            raise UsageError(
                f"the labels of the {split} split hold {value!r} ({type(value).__name__}), which names no class: give "
                "class numbers or names"
            )
        examples.setdefault(kind, value)
    if len(examples) > 1:
        shown = " and ".join(f"{kind} ({value!r})" for kind, value in examples.items())
        raise UsageError(f"the labels of the {split} split mix {shown}: write all of them as one kind")
    if "text" in examples:
        return np.array([composed(_decoded(value)) for value in values])
    if "truth values" in examples:
        return values.astype(bool)
    if _fractions(values):
        return _whole(split, values.astype(np.float64))
    small = all(abs(int(value)) < 2**63 for value in values)
    return values.astype(np.int64) if small else np.array([str(value) for value in values])


def _fractions(values: Labels) -> bool:
    return any(isinstance(value, float | np.floating) for value in values)


def _decoded(value: str | bytes) -> str:
    if isinstance(value, str):
        return str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


SEVERAL = "samples with several labels"


def marks_several(labels: Mapping[str, NDArray[Any]]) -> bool:
    """Return whether labels are rows of 0 and 1, or −1 and 1, of which some hold no 1, or more than one.

    Rows with exactly one 1 each are one-hot, and mean one class a sample.

    >>> marks_several({"train": np.array([[1, 0], [1, 1]])}), marks_several({"train": np.array([[1, 0], [0, 1]])})
    (True, False)
    """
    if any(rows.ndim != 2 or rows.shape[1] < 2 or rows.dtype.kind not in "biuf" for rows in labels.values()):
        return False  # lists of names, as rows of different lengths: `label_marks` reads numbers alone
    forms = {label_form(rows) for rows in labels.values()}
    return "several" in forms and forms <= {"several", "one-hot"}


def label_marks(
    labels: Mapping[str, NDArray[Any]], names: Sequence[str] | None = None
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the rows of each split as float32, N×C, and the names of the labels.

    Raises:
        UsageError: splits of another number of labels, or another number of names; a label that no training sample has.
    """
    width = labels["train"].shape[1]
    classes = tuple(str(number) for number in range(width)) if names is None else tuple(map(str, names))
    other = next((split for split, rows in labels.items() if rows.shape[1] != width), None)
    if other is not None:
        raise UsageError(f"the train split has {width} labels a sample and the {other} split {labels[other].shape[1]}")
    if len(classes) != width:
        raise UsageError(f"labels have {width} columns, but there are {len(classes)} names of classes")
    targets = {split: torch.from_numpy((rows == 1).astype(np.float32)) for split, rows in labels.items()}
    bare = [name for name, count in zip(classes, targets["train"].sum(0).tolist(), strict=True) if not count]
    if bare:
        raise UsageError(f"no training sample has the label(s) {', '.join(bare[:5])}: leave out their columns")
    return targets, classes


def refuse_several(targets: Tensor, what: str) -> None:
    """Raise if samples have several labels, for what takes one class a sample.

    >>> refuse_several(torch.zeros(3, 2), "--merge")
    Traceback (most recent call last):
        ...
    wcord.checks.UsageError: --merge is for one class a sample, received samples with several labels: ...
    """
    if targets.is_floating_point():
        raise UsageError(
            f"{what} is for one class a sample, received {SEVERAL}: leave it out, or choose one label as the class"
        )
