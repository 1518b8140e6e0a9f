"""What a reader of data gets and returns: samples before they are decoded, with their class numbers and their names."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wcord.checks import UsageError
from wcord.data.config import DataConfig, Known
from wcord.data.label_values import spelled_as
from wcord.data.sources.number_formats import PERCENT, PLAIN
from wcord.data.stores import ImageStore

Names = NDArray[Any]


@dataclass(frozen=True)
class ReadRequest:
    """What a reader has to know in addition to the place of the data.

    Attributes:
        config: input and label columns, groups, visits, order of the classes.
        key: column whose values name the samples, for pairs.
        hidden: columns that a network must not see, such as the label of the other network.
        partial: skip a test split that lacks a column or labels, instead of raising.
        known: what the weights file of a network says about the data that it was trained on.
    """

    config: DataConfig = field(default_factory=DataConfig)
    key: str | None = None
    hidden: tuple[str, ...] = ()
    partial: bool = False
    known: Known | None = None


@dataclass(frozen=True)
class Samples:
    """The samples of one split, before anything is decoded, so that choosing some of them costs nothing.

    Attributes:
        store: undecoded images, or a tensor N×C×H×W (uint8, or float32 in [0, 1]) where a source has them decoded.
        rows: rows of the store, one for each sample; −1 for a missing partner.
        targets: class numbers, one for each sample; or its labels, rows of 0 and 1 (float).
        keys: names by which partners in another data set are found, or None. They are the values of a key column, or
            paths below the folder of the split, without suffix.
        groups: the group of each sample, such as its subject, or None. No split separates the samples of a group.
        strata: class numbers before classes were merged. The held-out part takes the same share of each stratum, so
            that merging classes does not change it.
        by_file: whether the keys are names of files.
        partner: the teacher's samples, one for each sample, or None.
    """

    store: ImageStore | Tensor
    rows: Tensor
    targets: Tensor
    keys: Names | None = None
    groups: Names | None = None
    strata: Tensor | None = None
    by_file: bool = False
    partner: "Samples | None" = None

    def __len__(self) -> int:
        return self.rows.shape[0]

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of the files that the samples are; empty where they are no files."""
        return tuple(self.keys.tolist()) if self.by_file and self.keys is not None else ()

    def take(self, positions: Tensor) -> "Samples":
        """Return the samples at some positions, with their partners."""
        places = positions.numpy()
        return replace(
            self,
            rows=self.rows[positions],
            targets=self.targets[positions],
            keys=None if self.keys is None else self.keys[places],
            groups=None if self.groups is None else self.groups[places],
            strata=None if self.strata is None else self.strata[positions],
            partner=None if self.partner is None else self.partner.take(positions),
        )

    def with_partner(self, pool: "Samples", places: Tensor) -> "Samples":
        """Return the samples, each with the one at its place in a pool as its partner; −1: it has none."""
        partner = pool.take(places.clamp_min(0))
        return replace(self, partner=replace(partner, rows=torch.where(places < 0, -1, partner.rows)))

    def paired(self) -> "Samples":
        """Return the samples that have a partner; all of them where there are no partners at all."""
        return self if self.partner is None else self.take(torch.where(self.partner.rows >= 0)[0])

    def numbered(self, number: Tensor) -> "Samples":
        """Return the samples with other class numbers: `number` maps old ones to new ones."""
        return replace(self, targets=number[self.targets], strata=self.targets if self.strata is None else self.strata)


def all_rows(store: ImageStore | Tensor, targets: Tensor) -> Samples:
    """Return the samples of a whole store."""
    # A sample with several labels belongs to no single class from which a share could be held out.
    strata = torch.zeros(len(targets), dtype=torch.long) if targets.is_floating_point() else None
    return Samples(store, torch.arange(len(store)), targets, strata=strata)


@dataclass(frozen=True)
class Source:
    """What a reader returns, before samples are chosen and images are decoded.

    Attributes:
        train: samples to train on.
        test: samples to evaluate on, or None where the source has no test split.
        classes: class names; empty where there are no labels, and all targets are then 0.
        name: what a report calls the data.
        augment: the training augmentation that suits the data, or None where the form of the images decides.
        columns: the input columns of a table.
        categories: text column of a table → its values.
        formats: column → how its numbers are written, where that is not in plain digits.
        notes: what a reader of the result should know about how the samples came about.
        pictures: whether samples are pictures, not rows of a table or spectrograms.
        cut: see `DataSet.cut`; empty until samples are held out.
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
    cut: Mapping[str, object] = field(default_factory=dict)

    @property
    def splits(self) -> dict[str, Samples]:
        """The splits by name."""
        return {"train": self.train} | ({} if self.test is None else {"test": self.test})

    def numbered(self, number: Tensor, classes: tuple[str, ...]) -> "Source":
        """Return the source with other classes: `number` maps old class numbers to new ones."""
        splits = {split: samples.numbered(number) for split, samples in self.splits.items()}
        return replace(self, **splits, classes=classes)


def forget_labels(source: Source) -> Source:
    """Return the source as if it had no labels."""
    splits = {split: replace(s, targets=torch.zeros_like(s.targets)) for split, s in source.splits.items()}
    return replace(source, **splits, classes=())


def named_by(column: str, values: Sequence[object]) -> Names:
    """Return the values of a column that names samples or their groups, as text.

    Whole numbers are one name however they are stored: 7 and 7.0.

    Raises:
        UsageError: a value is missing.
    """
    missing = sum(value is None or value != value for value in values)
    if missing:
        raise UsageError(
            f"{missing} rows have no value in column {column!r}, which identifies the subject: remove them"
        )
    whole = (int(v) if isinstance(v, float) and v.is_integer() else v for v in values)
    return np.array([str(value) for value in whole])


def require_known(categories: Mapping[str, Sequence[str]], known: Mapping[str, Sequence[str]]) -> None:
    """Raise if a table holds a text that was not in the network's training table: it would be encoded as the first one.

    Args:
        categories: column → its values in the table.
        known: column → its values in the training table.
    """
    for column, values in categories.items():
        trained = known.get(column, values)
        spelled = zip(values, spelled_as(values, trained), strict=True)
        strange = [value for value, known_as in spelled if known_as not in set(trained)]
        if strange:
            raise UsageError(
                f"column {column!r} holds {strange[0]!r}, which the network was not trained on "
                f"({', '.join(known[column])}): write it as one of these, or leave it empty"
            )


def require_same_format(
    formats: Mapping[str, str], columns: Sequence[str], known: Mapping[str, str] | None, empty: Collection[str] = ()
) -> None:
    """Raise if a column is in percent and was not in training, or the reverse: 37 % is read as 0.37, and 37 as 37.

    Args:
        formats: column → how its numbers are written; columns that are not listed are in plain digits.
        columns: the input columns of the network.
        known: `formats` of the network's training table; None where its file does not say.
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
