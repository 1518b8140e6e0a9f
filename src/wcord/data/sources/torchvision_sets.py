"""The small data sets of torchvision, read from local files."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from torchvision import datasets

from wcord.checks import UsageError, require_choice
from wcord.data.label_values import Labels
from wcord.data.labels import number_labels
from wcord.data.samples import ReadRequest, Source, all_rows
from wcord.data.sources.arrays import as_images

AUGMENT = {
    "CIFAR10": "crop-flip",
    "CIFAR100": "crop-flip",
    "FashionMNIST": "crop-flip",
    "KMNIST": "shift",
    "MNIST": "shift",
    "STL10": None,
    "SVHN": "shift",
}
"""Known data sets → the augmentation that suits each: no mirror images of digits and letters."""


def torchvision_source(place: str, request: ReadRequest) -> Source:
    """Read `NAME@DIR`, for instance MNIST@~/data, with download switched off.

    Raises:
        UsageError: an unknown set, no folder given, or missing files.
    """
    name, _, root = place.partition("@")
    require_choice("torchvision data set", name, AUGMENT)
    if not root:
        raise UsageError(f"torchvision:{name} needs the folder of its files: torchvision:{name}@DIR")
    images, labels, names = {}, {}, None
    for split in ("train", "test"):
        pixels, values, names = _read(name, root, split)
        images[split], labels[split] = as_images(f"{name} {split}", pixels), values
    targets, classes = number_labels(labels, names)
    samples = {split: all_rows(images[split], targets[split]) for split in images}
    return Source(samples["train"], samples["test"], classes, name, augment=AUGMENT[name])


def _read(name: str, root: str, split: str) -> tuple[np.ndarray[Any, Any], Labels, Sequence[str] | None]:
    """Return the images, the labels and the class names of one split."""
    try:
        if name in ("SVHN", "STL10"):
            kind = {"SVHN": datasets.SVHN, "STL10": datasets.STL10}[name]
            by_name = cast("Any", kind(root, split=split, download=False))
            return by_name.data, np.asarray(by_name.labels), None
        kind = {
            "CIFAR10": datasets.CIFAR10,
            "CIFAR100": datasets.CIFAR100,
            "FashionMNIST": datasets.FashionMNIST,
            "KMNIST": datasets.KMNIST,
            "MNIST": datasets.MNIST,
        }[name]
        by_train = cast("Any", kind(root, train=split == "train", download=False))
        return np.asarray(by_train.data), np.asarray(by_train.targets), by_train.classes
    except Exception as error:  # torchvision raises nearly anything for damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise UsageError(
            f"torchvision data set {name!r} has no usable {split} files in {root!r} ({reason}): "
            f"fetch them by torchvision.datasets.{name}({root!r}, …, download=True)"
        ) from None
