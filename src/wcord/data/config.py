"""What can be said about the data: the only source of these defaults. Imports nothing heavy."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DataConfig:
    """Where the samples come from and how they are read."""

    data: str = "digits"
    """digits | parquet:DIR | imagefolder:DIR | hub:NAME | torchvision:NAME@DIR | npz:FILE"""
    label: str | None = None
    """Label column, needed only where there are several."""
    image: str | None = None
    """Image column, needed only where there are several."""
    image_size: int | None = None
    """Resize every image to this many pixels a side; default: as it is, or 224 where sizes differ."""
    subset: float | None = None
    """Train on fewer samples: at least 1 is images per class, below 1 a fraction of each class."""
    holdout: float = 0.0
    """Evaluate on this fraction of the training samples, which are then not trained on, instead of the test split."""
    split_seed: int = 0
    """Seed of the subset and of held-out samples; not --seed, so that runs of several seeds, their teacher and a later
    evaluation speak of the same images."""
    augment: Literal["auto", "none", "shift", "crop-flip", "resized-crop"] = "auto"
    """Training augmentation; auto: what suits the source."""
    views: int = 1
    """Augmented views of each image in a training batch, which is then so many times as large as --batch-size."""
    in_memory: Literal["auto", "yes", "no"] = "auto"
    """Hold the decoded split in memory; auto: where it takes less than 4 GiB."""
    workers: int = 2
    """Worker processes that decode images when the split is not held in memory."""
    skip_bad_images: bool = False
    """Leave out images that cannot be read, and count them, instead of stopping."""


SOURCES: dict[str, str] = {
    "digits": "1,797 handwritten digits of 8×8 pixels, embedded (scikit-learn)",
    "parquet:DIR": "parquet files named train* and test*, as on the Hugging Face hub",
    "imagefolder:DIR": "a folder per class, or train/ and test/ (val/) with a folder per class",
    "hub:NAME": "a data set of the Hugging Face hub",
    "torchvision:NAME@DIR": "a data set of torchvision that lies in DIR: CIFAR100, MNIST, …",
    "npz:FILE": "arrays x_train, y_train and, if there, x_test, y_test",
}
"""What `--data` takes."""
