"""A split that is ready to be read: decoded in memory, or decoded anew at every reading."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wcord.data.images import BadImageError, Form, bad_image, decode, open_upright
from wcord.data.stores import ImageStore


class Split(ABC):
    """Images and class numbers by row, 0 … len − 1.

    Attributes:
        targets: class numbers, N.
        shape: channels, height, width of every image.
    """

    targets: Tensor
    shape: tuple[int, int, int]

    def __len__(self) -> int:
        return self.targets.shape[0]

    @abstractmethod
    def read(self, rows: Tensor) -> Tensor:
        """Return the images in `rows`, B×C×H×W: uint8, or float32 in [0, 1] where the source was."""


class MemorySplit(Split):
    """All images decoded in one tensor.

    Args:
        images: N×C×H×W, uint8, or float32 in [0, 1].
        targets: class numbers, N.
    """

    def __init__(self, images: Tensor, targets: Tensor) -> None:
        self.images = images
        self.targets = targets
        self.shape = (images.shape[1], images.shape[2], images.shape[3])

    def read(self, rows: Tensor) -> Tensor:
        """Copy the rows out of memory."""
        return self.images.index_select(0, rows)

    def to(self, device: torch.device | str) -> "MemorySplit":
        """Return the split with its images on `device`; nothing is copied where they are there already."""
        if self.images.device == torch.device(device):
            return self
        return MemorySplit(self.images.to(device), self.targets.to(device))


class StreamSplit(Split):
    """Images that are decoded when they are read, for sets larger than memory.

    Args:
        store: undecoded images.
        rows: the rows of the store that belong to the split, N.
        targets: class numbers, N.
        form: what every image is brought to.
    """

    def __init__(self, store: ImageStore, rows: Tensor, targets: Tensor, form: Form) -> None:
        self.store = store
        self.rows = rows
        self.targets = targets
        self.form = form
        self.shape = form.shape

    def read(self, rows: Tensor) -> Tensor:
        """Decode the rows, one after the other.

        Raises:
            UsageError: an image cannot be read.
        """
        images = np.empty((len(rows), *self.shape), np.uint8)
        for place, row in enumerate(self.rows[rows].tolist()):
            name = self.store.name(row)
            try:
                images[place] = decode(open_upright(lambda row=row: self.store.open(row), name), self.form)
            except BadImageError as error:
                raise bad_image(name, str(error)) from None
        return torch.from_numpy(images)


@dataclass(frozen=True)
class DataSet:
    """A data set that is ready to train and evaluate on.

    Attributes:
        train: the training split.
        test: the split to evaluate on.
        classes: class names, in the order of the class numbers.
        name: how a report calls the data.
        augment: the training augmentation, resolved ("auto" never stands here).
        notes: what a reader of the result should know about how the data came about.
    """

    train: Split
    test: Split
    classes: tuple[str, ...]
    name: str
    augment: str
    notes: tuple[str, ...] = ()
