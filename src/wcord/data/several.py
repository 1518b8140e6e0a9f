"""Several labels a sample: rows of 0 and 1, a column for each label."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wcord.checks import UsageError
from wcord.data.label_values import label_form

SEVERAL = "samples with several labels"


def marks_several(labels: Mapping[str, NDArray[Any]]) -> bool:
    """Tell whether labels are rows of 0 and 1, or −1 and 1, of which some hold no 1, or more than one.

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
    """Raise where samples have several labels, for what takes one class a sample.

    >>> refuse_several(torch.zeros(3, 2), "--merge")
    Traceback (most recent call last):
        ...
    wcord.checks.UsageError: --merge is for one class a sample, received samples with several labels: ...
    """
    if targets.is_floating_point():
        raise UsageError(
            f"{what} is for one class a sample, received {SEVERAL}: leave it out, or choose one label as the class"
        )
