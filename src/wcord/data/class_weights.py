"""The weight of each class in the cross-entropy: from how often it occurs, or from a file."""

import math
import unicodedata
from collections.abc import Sequence

import torch
from torch import Tensor

from wcord.checks import UsageError, unknown
from wcord.data.labels import csv_lines
from wcord.paths import require_file

CLEARLY_UNBALANCED = 3.0
"""Samples of the commonest class per sample of the rarest from which `auto` weights the classes."""


def class_weights(choice: str, targets: Tensor, classes: Sequence[str]) -> tuple[Tensor | None, str]:
    """Return a weight for each class, or None for equal weights, and a note on them.

    >>> class_weights("auto", torch.tensor([0, 0, 0, 1]), ("common", "rare"))
    (tensor([0.6667, 2.0000]), 'class weights: 0.6667 (common) to 2 (rare), balanced')
    >>> class_weights("auto", torch.tensor([0, 0, 1]), ("common", "rare"))
    (None, 'class weights: none, since the commonest class has fewer than 3 times the samples of the rarest')

    Args:
        choice: `balanced`; `auto`, which is that where the commonest class has at least three times the samples of
            the rarest, and no weights elsewhere; or a csv file of lines `class,weight`.
        targets: class numbers of the training samples.
        classes: names of the classes.

    Raises:
        UsageError: a file that cannot be read, names other classes, or holds a weight that is not above 0.
    """
    counts = torch.bincount(targets, minlength=len(classes))
    present = counts[counts > 0]
    if choice == "auto" and int(present.max()) < CLEARLY_UNBALANCED * int(present.min()):
        why = f"the commonest class has fewer than {CLEARLY_UNBALANCED:g} times the samples of the rarest"
        return None, f"class weights: none, since {why}"
    if choice in ("auto", "balanced"):
        weights, source = balanced(counts), "balanced"
    else:
        weights, source = read_weights(choice, classes), f"from {choice}"
    least, most = int(weights.argmin()), int(weights.argmax())
    if float(weights[least]) == float(weights[most]):
        return weights, f"class weights: {float(weights[least]):.4g} for each class, {source}"
    span = f"{float(weights[least]):.4g} ({classes[least]}) to {float(weights[most]):.4g} ({classes[most]})"
    return weights, f"class weights: {span}, {source}"


def balanced(counts: Tensor) -> Tensor:
    """Return N / (C·n_c) for each class of n_c of N samples, where C classes occur; 1 for a class without samples.

    This is scikit-learn's `class_weight="balanced"`.

    >>> balanced(torch.tensor([6, 2, 0]))
    tensor([0.6667, 2.0000, 1.0000])
    """
    present = counts > 0
    weights = counts.sum() / (present.sum() * counts.clamp_min(1).double())
    return torch.where(present, weights, 1.0).float()


def read_weights(path: str, classes: Sequence[str]) -> Tensor:
    """Return the weight of each class from a csv file of lines `class,weight`; a header of these words may precede.

    Raises:
        UsageError: a missing file, a line of another form, an unknown class, one without a line or with two, a weight
            that is not a finite number above 0.
    """
    file = require_file(path, "file of class weights (or auto, balanced)")
    number = {_normal(name): place for place, name in enumerate(classes)}
    weights: dict[int, float] = {}
    for row, line in enumerate(csv_lines(file, "file of class weights"), 1):
        cells = [cell.strip() for cell in line]
        if not any(cells) or (row == 1 and [cell.casefold() for cell in cells] == ["class", "weight"]):
            continue
        where = f"class weights {path!r}, line {row}"
        if len(cells) != 2:
            raise UsageError(f"{where}: must be class,weight; received {','.join(cells)!r}")
        if _normal(cells[0]) not in number:
            raise unknown(f"class in line {row} of the class weights", cells[0], classes)
        place = number[_normal(cells[0])]
        if place in weights:
            raise UsageError(f"{where}: class {cells[0]!r} has a weight already; keep one of the two lines")
        weights[place] = _weight(cells[1], where)
    missing = [name for place, name in enumerate(classes) if place not in weights]
    if missing:
        raise UsageError(f"class weights {path!r} lack {len(missing)} class(es): add a line for {missing[0]!r}")
    return torch.tensor([weights[place] for place in range(len(classes))])


def _weight(text: str, where: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise UsageError(f"{where}: the weight must be a finite number above 0, received {text!r}")
    return weight


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)
