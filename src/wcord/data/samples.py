"""Samples before they are read: where the images lie, which rows of them are used, and their class numbers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wcord.checks import UsageError
from wcord.data.label_values import spelled_as
from wcord.data.number_text import PERCENT, PLAIN
from wcord.data.stores import ImageStore

Names = NDArray[Any]


@dataclass(frozen=True)
class Samples:
    """The samples of one split, before anything is decoded, so that choosing some of them costs nothing.

    Attributes:
        store: undecoded images, or a tensor N×C×H×W (uint8, or float32 in [0, 1]) where a source has them decoded.
        rows: the rows of the store that are used.
        targets: class numbers, one for each entry of `rows`; or the labels of each, rows of 0 and 1 (float).
        keys: what a sample is called, by which its partner in another set is found, or None where nothing says it.
            They are the values of a key column, or paths below the folder of the split, without suffix.
        groups: what samples must not be torn apart, such as those of one subject: a name for each, or None.
        strata: class numbers as they were read, where the targets are others (classes taken together): what is held
            out is a share of each, so that it does not depend on what was made of them.
        by_file: whether the keys are names of files.
    """

    store: ImageStore | Tensor
    rows: Tensor
    targets: Tensor
    keys: Names | None = None
    groups: Names | None = None
    strata: Tensor | None = None
    by_file: bool = False

    def __len__(self) -> int:
        return self.rows.shape[0]

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files that the samples are, path and all; none where they are no files."""
        return tuple(self.keys.tolist()) if self.by_file and self.keys is not None else ()

    def take(self, chosen: Tensor) -> "Samples":
        """Return the samples at the positions `chosen`."""
        places = chosen.numpy()
        return replace(
            self,
            rows=self.rows[chosen],
            targets=self.targets[chosen],
            keys=None if self.keys is None else self.keys[places],
            groups=None if self.groups is None else self.groups[places],
            strata=None if self.strata is None else self.strata[chosen],
        )

    def numbered(self, number: Tensor) -> "Samples":
        """Return the samples with other class numbers, of which `number` gives one for each old one."""
        return replace(self, targets=number[self.targets], strata=self.targets if self.strata is None else self.strata)


def all_rows(store: ImageStore | Tensor, targets: Tensor) -> Samples:
    """Return the samples of a whole store."""
    # With several labels a sample belongs to no one class, of which a share could be held out.
    strata = torch.zeros(len(targets), dtype=torch.long) if targets.is_floating_point() else None
    return Samples(store, torch.arange(len(store)), targets, strata=strata)


@dataclass(frozen=True)
class Source:
    """What reading a source gives, before subsets are chosen and images decoded.

    Attributes:
        train: samples to train on.
        test: samples to evaluate on, or None where the source has none.
        classes: class names; none where there are no labels, and all targets are then 0.
        name: how a report calls the data.
        augment: the training augmentation that suits it, or None where that follows from the images' form.
        columns: the columns of a table that are seen.
        categories: the values of each of its columns of text.
        formats: how the numbers of a column are written, where that is not in plain digits.
        notes: what a reader of the result should know about how the samples came about.
        pictures: whether samples are pictures, not rows of a table or spectrograms.
    """

    train: Samples
    test: Samples | None
    classes: tuple[str, ...]
    name: str
    augment: str | None = None
    columns: tuple[str, ...] = ()
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    formats: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    pictures: bool = True

    def numbered(self, number: Tensor, classes: tuple[str, ...]) -> "Source":
        """Return the source with other classes, of which `number` gives one for each old one."""
        test = None if self.test is None else self.test.numbered(number)
        return replace(self, train=self.train.numbered(number), test=test, classes=classes)


def forget_labels(source: Source) -> Source:
    """Return the source as if it had no labels."""
    train, test = source.train, source.test
    return replace(
        source,
        train=replace(train, targets=torch.zeros_like(train.targets)),
        test=None if test is None else replace(test, targets=torch.zeros_like(test.targets)),
        classes=(),
    )


def named_by(column: str, values: Sequence[object]) -> Names:
    """Return the values of a column that names samples or their groups, as text.

    Whole numbers are one name however they are stored: 7 and 7.0.

    Raises:
        UsageError: a value is missing.
    """
    missing = sum(value is None or value != value for value in values)
    if missing:
        raise UsageError(f"{missing} rows have no value in column {column!r}, which tells whose they are: remove them")
    whole = (int(v) if isinstance(v, float) and v.is_integer() else v for v in values)
    return np.array([str(value) for value in whole])


def require_known(categories: Mapping[str, Sequence[str]], known: Mapping[str, Sequence[str]]) -> None:
    """Raise where a table has a text that a network was not trained with: it would be taken for the first one.

    Args:
        categories: column → its values in the table.
        known: column → its values in the table that the network was trained on.
    """
    for column, values in categories.items():
        theirs = known.get(column, values)
        trained = set(theirs)
        spelled = zip(values, spelled_as(values, theirs), strict=True)
        strange = [value for value, known_as in spelled if known_as not in trained]
        if strange:
            raise UsageError(
                f"column {column!r} holds {strange[0]!r}, which the network was not trained with "
                f"({', '.join(known[column])}): write it as one of these, or leave it empty"
            )


def require_same_format(
    formats: Mapping[str, str], columns: Sequence[str], known: Mapping[str, str] | None, empty: Collection[str] = ()
) -> None:
    """Raise where a network was trained on 37 % and sees 37, or the reverse: one is 0.37 to it, and one 37.

    Args:
        formats: how the numbers of a column are written; those that it lacks in plain digits.
        columns: those that the network sees.
        known: how those were written that it was trained on; None where its file does not say it.
        empty: columns without numbers.
    """
    if known is None:
        return
    for name in columns:
        now, then = formats.get(name, PLAIN), known.get(name, PLAIN)
        if now != then and PERCENT in (now, then) and name not in empty:
            raise UsageError(
                f"column {name!r} is written with {now}, and with {then} in the table that the network was trained on: "
                "write it in the same way"
            )
