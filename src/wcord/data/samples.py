"""Samples before they are read: where the images lie, which rows of them are used, and their class numbers."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from wcord.data.stores import ImageStore


@dataclass(frozen=True)
class Samples:
    """The samples of one split, before anything is decoded, so that choosing some of them costs nothing.

    Attributes:
        store: undecoded images, or a tensor N×C×H×W (uint8, or float32 in [0, 1]) where a source has them decoded.
        rows: the rows of the store that are used.
        targets: class numbers, one for each entry of `rows`.
    """

    store: ImageStore | Tensor
    rows: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return self.rows.shape[0]

    def take(self, chosen: Tensor) -> "Samples":
        """Return the samples at the positions `chosen`."""
        return replace(self, rows=self.rows[chosen], targets=self.targets[chosen])


def all_rows(store: ImageStore | Tensor, targets: Tensor) -> Samples:
    """Return the samples of a whole store."""
    return Samples(store, torch.arange(len(store)), targets)


@dataclass(frozen=True)
class Source:
    """What reading a source gives, before subsets are chosen and images decoded.

    Attributes:
        train: samples to train on.
        test: samples to evaluate on, or None where the source has none.
        classes: class names.
        name: how a report calls the data.
        augment: the training augmentation that suits it, or None where that follows from the images' form.
    """

    train: Samples
    test: Samples | None
    classes: tuple[str, ...]
    name: str
    augment: str | None = None
