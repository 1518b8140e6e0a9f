"""Data sources that are arrays: Python arrays, npz files, and scikit-learn's digits."""

import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from wcord.checks import UsageError
from wcord.data.choice import held_out
from wcord.data.label_values import as_labels, label_marks, marks_several, unlabeled
from wcord.data.labels import no_labels, number_labels
from wcord.data.samples import ReadRequest, Source, all_rows
from wcord.data.sources.layout import ROLES, role_of
from wcord.paths import require_file

Array = NDArray[np.generic]


def digits_source(place: str, request: ReadRequest) -> Source:
    """Return scikit-learn's 1,797 handwritten digits, 8×8, gray, with a fixed fifth of each class as the test split."""
    from sklearn.datasets import load_digits  # scikit-learn takes longer to load than the digits

    pixels, numbers = load_digits(return_X_y=True)
    images = as_images("digits", np.rint(pixels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8))
    targets = torch.as_tensor(numbers, dtype=torch.long)
    samples = all_rows(images, targets)
    kept, held = held_out(targets, 0.2, seed=0)
    classes = tuple(str(number) for number in range(10))
    return Source(samples.take(kept), samples.take(held), classes, "digits", augment="shift")


def npz_source(path: str, request: ReadRequest) -> Source:
    """Read x_train, y_train and optionally x_test, y_test from a NumPy archive; without labels, x alone."""
    file = require_file(path, "npz file")
    try:
        arrays = read_npz(file)
    except DamagedError as error:
        raise UsageError(f"npz file {path!r} cannot be read ({error}): write it by np.savez") from None
    named, unread = _by_split(path, arrays)
    if request.config.no_labels:
        named |= {("y", split): no_labels(len(np.atleast_1d(named[x, split]))) for x, split in list(named) if x == "x"}
    pairs = [split for split in SPLITS if ("x", split) in named and ("y", split) in named]
    odd = [split for split in SPLITS if (("x", split) in named) != (("y", split) in named)]
    if "train" not in pairs or odd:
        raise UsageError(
            f"npz file {path!r} must hold x_train and y_train, and either both or none of x_test and y_test; "
            f"it holds {', '.join(arrays) or 'nothing'}"
        )
    test = pairs[1] if len(pairs) > 1 else None
    unread += [f"{one}_{split}" for split in pairs[2:] for one in "xy"]
    notes = [f"x_{test} and y_{test} are the test split"] if test not in (None, "test") else []
    notes += [f"arrays not read: {', '.join(unread)}"] if unread else []
    source = array_source(
        named["x", "train"],
        named["y", "train"],
        named.get(("x", str(test))),
        named.get(("y", str(test))),
        classes=None,
        name=Path(path).stem,
        partial=request.partial,
    )
    return replace(source, notes=(*notes, *source.notes))


SPLITS = tuple(ROLES)
"""In this order; the first one after train is the test split."""
_SAMPLES = {(), ("x",), ("inputs",), ("features",)}
_LABELS = {("y",), ("label",), ("labels",), ("target",), ("targets",)}


def _by_split(path: str, arrays: Mapping[str, Array]) -> tuple[dict[tuple[str, str], Array], list[str]]:
    """Return arrays by role, x or y, and split, and the names of the others.

    All usual names are known: x_train, X_train, train_images, val_labels.

    Raises:
        UsageError: two arrays have the same role.
    """
    named: dict[tuple[str, str], Array] = {}
    names: dict[tuple[str, str], str] = {}
    unread: list[str] = []
    for name, array in arrays.items():
        role, words = role_of(name)
        if role is None or words not in _SAMPLES | _LABELS:
            unread.append(name)
            continue
        place = "x" if words in _SAMPLES else "y", role
        if place in named:
            raise UsageError(f"npz file {path!r} holds {names[place]} and {name}, which may mean the same: remove one")
        named[place], names[place] = array, name
    return named, unread


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
    """Check arrays of images and labels and return them as a source; augmentation "none", as their content is unknown.

    A test split without any label is skipped, with a note; if `partial`, also one that lacks some.
    """
    if (x_test is None) != (y_test is None):
        raise UsageError("x_test and y_test go together: give both or none")
    images = {"train": as_images("x_train", _as_array("x_train", x_train))}
    labels = {"train": _flat(as_labels(y_train))}
    if x_test is not None and y_test is not None:
        images["test"] = as_images("x_test", _as_array("x_test", x_test))
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
    bare = unlabeled(labels["test"], labels["train"]) if "test" in labels else 0
    notes: tuple[str, ...] = ()
    if bare and (partial or bare == len(labels["test"])):
        del images["test"], labels["test"]
        notes = (f"the test split is skipped: {bare} of its samples have no label",)
    _require_one_form(labels)
    targets, names = (label_marks if marks_several(labels) else number_labels)(labels, classes)
    samples = {split: all_rows(images[split], targets[split]) for split in images}
    pictures = images["train"].shape[3] > 1
    return Source(samples["train"], samples.get("test"), names, name, augment="none", notes=notes, pictures=pictures)


def _as_array(name: str, values: ArrayLike | Tensor) -> Array:
    """Return images as an array; a tensor may need a gradient, be on a device, or have a type that NumPy lacks."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    masked = int(np.ma.getmaskarray(values).sum()) if isinstance(values, np.ma.MaskedArray) else 0
    if masked:
        raise UsageError(f"{name} is a masked array that hides {masked} values: give them values, or leave samples out")
    return np.asarray(values)


def _require_one_form(labels: Mapping[str, Array]) -> None:
    """Raise if one split has a class for each sample and the other a row of 0 and 1."""
    shapes = {split: values.shape for split, values in labels.items()}
    if len({len(shape) for shape in shapes.values()}) > 1:
        shown = " and ".join(f"y_{split} of shape {shape}" for split, shape in shapes.items())
        raise UsageError(f"labels must be class numbers, or rows of 0 and 1, in both splits; received {shown}")


def as_images(name: str, array: Array) -> Tensor:
    """Return an array of images as a tensor N×C×H×W: uint8, or float32 in [0, 1].

    N×H×W is gray; N×C×H×W and N×H×W×C are distinguished by having fewer channels than pixels a side; N×C×1×1 are rows
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
        rows_of_numbers = array.shape[2:] == (1, 1)  # a column may vary in its last digits alone
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
            f"{name} holds floats in {low:g} … {high:g}: scale them to [0, 1]; each network normalizes for itself"
        )


def _flat(labels: Array) -> Array:
    """Return labels N×1, as in Keras' data sets, as N."""
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


Arrays = dict[str, NDArray[Any]]


SINGLE = b"\x93NUMPY"
"""First bytes of a file with a single array."""


class DamagedError(ValueError):
    """An archive that cannot be read; the text is the reason."""


def read_npz(path: Path) -> Arrays:
    """Return all arrays of an archive by name; no code in it is run.

    Raises:
        DamagedError: it is no archive, is damaged, holds objects, or does not fit into memory.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(SINGLE)) == SINGLE:
                raise DamagedError("it holds one array without a name")
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
            for entry in entries:
                _require_honest(archive, entry)
        if not entries:
            raise DamagedError("it holds no arrays")
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except DamagedError:
        raise
    except MemoryError:
        raise DamagedError("its arrays do not fit into memory") from None
    except Exception as error:  # zipfile, zlib and NumPy raise nearly anything
        raise DamagedError((str(error).splitlines() or [type(error).__name__])[0][:200]) from None


def _require_honest(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Raise if an array's header promises more bytes than follow it: NumPy would allocate them first."""
    form = np.lib.format
    with archive.open(entry) as opened:
        file = cast("IO[bytes]", opened)
        version = form.read_magic(file)
        header = form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
        shape, _, kind = header(file)
        size = kind.itemsize
        for length in shape:
            size *= length
        if size > entry.file_size:
            raise DamagedError(f"{entry.filename} says that it is {size:,} bytes, and is {entry.file_size:,}")
