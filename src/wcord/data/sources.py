"""Opens a data set by name: reads the source, chooses the samples, brings the images to one form."""

from collections.abc import Callable

from numpy.typing import ArrayLike
from torch import Tensor

from wcord.checks import UsageError, require_choice
from wcord.data.augment import AUGMENTATIONS
from wcord.data.config import DataConfig
from wcord.data.form import find_form
from wcord.data.images import Form
from wcord.data.memory import check_all, decode_all, resize_all, without_bad
from wcord.data.samples import Samples, Source
from wcord.data.selection import held_out, subset
from wcord.data.split import DataSet, MemorySplit, Split, StreamSplit

MEMORY_LIMIT = 4 * 2**30
"""Bytes of decoded images, of both splits together, up to which `in_memory="auto"` keeps them."""
MISSING_TEST = 0.2
"""Share of the training samples that are evaluated on where a source has no test split."""


def open_data(config: DataConfig) -> DataSet:
    """Open the data set that a configuration names.

    >>> data = open_data(DataConfig(data="digits"))
    >>> len(data.train), len(data.test), data.train.shape, data.augment
    (1438, 359, (1, 8, 8), 'shift')

    Args:
        config: source, columns, choice of samples, augmentation.

    Raises:
        UsageError: whatever is wrong with the name, the files or the samples.
    """
    kind, _, place = config.data.partition(":")
    require_choice("data source", kind, READERS)
    if kind != "digits" and not place:
        raise UsageError(f"data source {kind!r} needs a name or path after the colon, for instance {EXAMPLES[kind]}")
    return _assemble(READERS[kind](place, config), config)


def from_arrays(
    x_train: ArrayLike | Tensor,
    y_train: ArrayLike | Tensor,
    x_test: ArrayLike | Tensor | None = None,
    y_test: ArrayLike | Tensor | None = None,
    *,
    classes: tuple[str, ...] | None = None,
) -> DataSet:
    """Make a data set of arrays: images uint8 or float in [0, 1], N×H×W, N×C×H×W or N×H×W×C, and labels, N.

    Augmentation is "none"; where another suits, `dataclasses.replace(data, augment="crop-flip")`.

    >>> import numpy as np
    >>> data = from_arrays(np.zeros((10, 6, 6), np.uint8), ["a", "b"] * 5)
    >>> data.classes, len(data.train), data.notes
    (('a', 'b'), 8, ('no test split: a fixed fifth of each class of the train split is held out as test',))

    Args:
        x_train: images to train on.
        y_train: their labels: class numbers, or any values, whose sorted set is then the classes.
        x_test: images to evaluate on; without them a fifth of the training samples is held out.
        y_test: their labels.
        classes: class names; labels must then be class numbers.
    """
    from wcord.data.arrays import array_source

    source = array_source(x_train, y_train, x_test, y_test, classes=classes, name="arrays")
    return _assemble(source, DataConfig(data="arrays"))


def _digits(place: str, config: DataConfig) -> Source:
    if place:
        raise UsageError(f"data source 'digits' takes nothing after its name, received {place!r}")
    from wcord.data.arrays import digits_source

    return digits_source()


def _parquet(place: str, config: DataConfig) -> Source:
    from wcord.data.huggingface import parquet_source  # imported when asked for: datasets takes a second to load

    return parquet_source(place, image=config.image, label=config.label)


def _hub(place: str, config: DataConfig) -> Source:
    from wcord.data.huggingface import hub_source

    return hub_source(place, image=config.image, label=config.label)


def _folder(place: str, config: DataConfig) -> Source:
    from wcord.data.folder import folder_source

    return folder_source(place)


def _torchvision(place: str, config: DataConfig) -> Source:
    from wcord.data.torchvision_sets import torchvision_source

    return torchvision_source(place)


def _npz(place: str, config: DataConfig) -> Source:
    from wcord.data.arrays import npz_source

    return npz_source(place)


READERS: dict[str, Callable[[str, DataConfig], Source]] = {
    "digits": _digits,
    "hub": _hub,
    "imagefolder": _folder,
    "npz": _npz,
    "parquet": _parquet,
    "torchvision": _torchvision,
}
EXAMPLES = {
    "hub": "hub:uoft-cs/cifar100",
    "imagefolder": "imagefolder:pictures",
    "npz": "npz:data.npz",
    "parquet": "parquet:folder",
    "torchvision": "torchvision:MNIST@data",
}


def _assemble(source: Source, config: DataConfig) -> DataSet:
    """Choose the samples, then read them."""
    require_choice("augmentation", config.augment, ("auto", *AUGMENTATIONS))
    require_choice("in_memory", config.in_memory, ("auto", "yes", "no"))
    if config.image_size is not None and config.image_size < 1:
        raise UsageError(f"image_size must be at least 1 pixel, received {config.image_size}")
    train, test, notes = _choose(source, config)
    splits, more = _read({"train": train, "test": test}, config)
    return DataSet(
        train=splits["train"],
        test=splits["test"],
        classes=source.classes,
        name=source.name,
        augment=_suitable(source, splits["train"]) if config.augment == "auto" else config.augment,
        notes=(*notes, *more),
    )


def _choose(source: Source, config: DataConfig) -> tuple[Samples, Samples, tuple[str, ...]]:
    train, test, notes = source.train, source.test, ()
    if config.holdout:
        kept, held = held_out(train.targets, config.holdout, seed=config.split_seed)
        train, test = train.take(kept), train.take(held)
        notes = (f"evaluated on {len(held)} samples held out of the train split, which are not trained on",)
    elif test is None:
        kept, held = held_out(train.targets, MISSING_TEST, seed=config.split_seed)
        train, test = train.take(kept), train.take(held)
        notes = ("no test split: a fixed fifth of each class of the train split is held out as test",)
    if not len(test):
        raise UsageError(f"no sample is left to evaluate on: {len(train)} in all are too few to hold some out")
    if config.subset is not None:
        whole = len(train)
        train = train.take(subset(train.targets, config.subset, source.classes, seed=config.split_seed))
        notes = (*notes, f"trained on a subset: {len(train)} of {whole} samples, the same share of each class")
    return train, test, notes


def _read(chosen: dict[str, Samples], config: DataConfig) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Bring the images of both splits to one form, in memory or streamed."""
    splits: dict[str, Split] = {}
    for split, samples in chosen.items():
        if isinstance(samples.store, Tensor):
            images = samples.store[samples.rows]
            resized = images if config.image_size is None else resize_all(images, config.image_size)
            splits[split] = MemorySplit(resized, samples.targets)
    if splits:
        return splits, ()
    form, notes = find_form(list(chosen.values()), config.image_size)
    stream = config.in_memory == "no" or (config.in_memory == "auto" and _bytes(chosen, form) > MEMORY_LIMIT)
    for split, samples in chosen.items():
        splits[split], more = _decoded(samples, form, config, split, stream)
        notes = (*notes, *more)
    return splits, notes


def _decoded(
    samples: Samples, form: Form, config: DataConfig, split: str, stream: bool
) -> tuple[Split, tuple[str, ...]]:
    if not stream:
        images, bad = decode_all(samples, form, title=f"reading {split} images")
        good, notes = without_bad(samples, bad, skip=config.skip_bad_images, split=split)
        return MemorySplit(images if not bad else images[good], samples.targets[good]), notes
    notes = ()
    if config.skip_bad_images:  # rows must be settled before the first epoch, so every image is tried once
        bad = check_all(samples, form, title=f"checking {split} images")
        good, notes = without_bad(samples, bad, skip=True, split=split)
        samples = samples.take(good)
    assert not isinstance(samples.store, Tensor)
    return StreamSplit(samples.store, samples.rows, samples.targets, form), notes


def _bytes(chosen: dict[str, Samples], form: Form) -> int:
    channels, height, width = form.shape
    return sum(map(len, chosen.values())) * channels * height * width


def _suitable(source: Source, train: Split) -> str:
    """Return the augmentation that suits the source, or else the form of its images.

    Small grey pictures are mostly signs, which have no mirror image; large pictures are cropped and resized, as
    ImageNet's are; the rest is treated as CIFAR is.
    """
    if source.augment is not None:
        return source.augment
    channels, height, width = train.shape
    if min(height, width) >= 96:
        return "resized-crop"
    return "shift" if channels == 1 else "crop-flip"
