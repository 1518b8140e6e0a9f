"""Sources that are arrays already: Python arrays, npz files, and scikit-learn's digits."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from wcord.checks import UsageError, require_file
from wcord.data.config import Columns
from wcord.data.label_values import as_labels, unlabelled
from wcord.data.labels import no_labels, number_labels
from wcord.data.npz import DamagedError, read_npz
from wcord.data.samples import Source, all_rows
from wcord.data.selection import held_out
from wcord.data.several import label_marks, marks_several

Array = NDArray[np.generic]


def digits_source() -> Source:
    """Return scikit-learn's 1,797 handwritten digits, 8×8, grey, with a fixed fifth of each class as the test split."""
    from sklearn.datasets import load_digits  # imported here: scikit-learn takes longer to load than the digits

    pixels, numbers = load_digits(return_X_y=True)
    images = as_images("digits", np.rint(pixels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8))
    targets = torch.as_tensor(numbers, dtype=torch.long)
    samples = all_rows(images, targets)
    kept, held = held_out(targets, 0.2, seed=0)
    classes = tuple(str(number) for number in range(10))
    return Source(samples.take(kept), samples.take(held), classes, "digits", augment="shift")


def npz_source(path: str, columns: Columns) -> Source:
    """Read x_train, y_train and, where they are, x_test, y_test from a NumPy archive; without labels, the x alone."""
    file = require_file(path, "npz file")
    try:
        held = read_npz(file)
    except DamagedError as error:
        raise UsageError(f"npz file {path!r} cannot be read ({error}): write it by np.savez") from None
    if not columns.labels:
        held |= {
            f"y_{split}": no_labels(held[f"x_{split}"].size and len(np.atleast_1d(held[f"x_{split}"])))
            for split in ("train", "test")
            if f"x_{split}" in held
        }
    missing = [name for name in ("x_train", "y_train") if name not in held]
    if missing or ("x_test" in held) != ("y_test" in held):
        raise UsageError(
            f"npz file {path!r} must hold x_train and y_train, and either both or none of x_test and y_test; "
            f"it holds {', '.join(held) or 'nothing'}"
        )
    return array_source(
        held["x_train"],
        held["y_train"],
        held.get("x_test"),
        held.get("y_test"),
        classes=None,
        name=Path(path).stem,
        partial=columns.partial,
    )


def array_source(
    x_train: ArrayLike | Tensor,
    y_train: ArrayLike | Tensor,
    x_test: ArrayLike | Tensor | None,
    y_test: ArrayLike | Tensor | None,
    *,
    classes: tuple[str, ...] | None,
    name: str,
    partial: bool = False,
) -> Source:
    """Check arrays of images and labels and return them as a source; augmentation "none", as nothing is known.

    A test split without any label is passed over, with a note; where `partial`, also one that lacks some.
    """
    if (x_test is None) != (y_test is None):
        raise UsageError("x_test and y_test go together: give both or none")
    images = {"train": as_images("x_train", np.asarray(x_train))}
    labels = {"train": _flat(as_labels(y_train))}
    if x_test is not None and y_test is not None:
        images["test"] = as_images("x_test", np.asarray(x_test))
        labels["test"] = _flat(as_labels(y_test))
    for split in images:
        if labels[split].ndim == 0:
            raise UsageError(f"y_{split} must hold a label for each image, received one value without a dimension")
        if len(images[split]) != len(labels[split]):
            raise UsageError(
                f"x_{split} has {len(images[split])} images and y_{split} {len(labels[split])} labels: "
                "they must be of one length"
            )
    if "test" in images and images["test"].shape[1:] != images["train"].shape[1:]:
        shapes = tuple(images["train"].shape[1:]), tuple(images["test"].shape[1:])
        raise UsageError(f"x_train and x_test must hold images of one shape, received {shapes[0]} and {shapes[1]}")
    bare = unlabelled(labels["test"], labels["train"]) if "test" in labels else 0
    notes: tuple[str, ...] = ()
    if bare and (partial or bare == len(labels["test"])):
        del images["test"], labels["test"]
        notes = (f"the test split is passed over: {bare} of its samples have no label",)
    targets, names = (label_marks if marks_several(labels) else number_labels)(labels, classes)
    samples = {split: all_rows(images[split], targets[split]) for split in images}
    pictures = images["train"].shape[3] > 1
    return Source(samples["train"], samples.get("test"), names, name, augment="none", notes=notes, pictures=pictures)


def as_images(name: str, array: Array) -> Tensor:
    """Return an array of images as a tensor N×C×H×W: uint8, or float32 in [0, 1].

    N×H×W is taken as grey; of N×C×H×W and N×H×W×C, the one with fewer channels than pixels a side; N×C×1×1 are rows
    of C numbers. Whole numbers of any type in 0 … 255 become uint8.

    >>> as_images("x_train", np.zeros((5, 32, 32, 3), np.uint8)).shape
    torch.Size([5, 3, 32, 32])

    Raises:
        UsageError: another number of dimensions, no sample, NaN, or values outside the range.
    """
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise UsageError(
            f"{name} must hold images, N×H×W, N×C×H×W or N×H×W×C, none of these 0; received shape {array.shape}"
        )
    if array.ndim == 3:
        array = array[:, None]
    elif array.shape[3] < array.shape[1] and array.shape[2:] != (1, 1):
        array = array.transpose(0, 3, 1, 2)
    if array.dtype.kind == "f":
        _require_unit(name, array)
        rows_of_numbers = array.shape[2:] == (1, 1)  # whose columns may differ in late digits alone
        kept = np.float64 if rows_of_numbers and array.dtype.itemsize > 4 else np.float32
        return torch.from_numpy(np.array(array, kept, order="C"))
    if array.dtype.kind not in "iub":
        raise UsageError(f"{name} must hold numbers, uint8 in 0 … 255 or float in [0, 1]; received {array.dtype}")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > 255:
        raise UsageError(
            f"whole numbers in {name} must lie in 0 … 255, received {low} … {high}: divide others by their largest "
            "possible value (16 bits: 65535) and give floats"
        )
    return torch.from_numpy(np.array(array, np.uint8, order="C"))


def _require_unit(name: str, array: Array) -> None:
    flat = array.reshape(len(array), -1)
    rows = np.flatnonzero(~np.isfinite(flat).all(axis=1))
    if len(rows):
        first = ", ".join(map(str, rows[:5])) + (", …" if len(rows) > 5 else "")
        raise UsageError(
            f"{name} holds NaN or infinity in {len(rows)} of {len(array)} samples (rows {first}): repair or remove them"
        )
    low, high = float(flat.min()), float(flat.max())
    if low < 0 or high > 1:
        raise UsageError(
            f"{name} holds floats in {low:g} … {high:g}: scale them to [0, 1]; each network normalises for itself"
        )


def _flat(labels: Array) -> Array:
    """Return labels N×1 as N, as Keras' sets have them."""
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
