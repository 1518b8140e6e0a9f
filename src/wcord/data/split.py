"""A split that is ready to be read: decoded in memory, or decoded anew at every reading."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from wcord.checks import UsageError, require_text
from wcord.data.augment import boxes, to_unit
from wcord.data.crossing import crossing
from wcord.data.images import BadImageError, Box, Form, UnreadableError, decode, open_upright
from wcord.data.names import compare_rows
from wcord.data.several import refuse_several
from wcord.data.stores import ImageStore
from wcord.data.view import View

TEST_UNSEEN = (
    "the teacher sees none of the test samples: its own accuracy on them, and how the student agrees with it there, "
    "are not measured"
)


Origin = tuple[ImageStore | Tensor, Tensor]
"""Where images lie undecoded, or before they were resized, and which rows of that are meant."""


class Split(ABC):
    """Images and class numbers by row, 0 … len − 1.

    Attributes:
        targets: class numbers, N; or the labels of each row where it may have several, N×C of 0 and 1 (float).
        shape: channels, height, width of every image.
        origin: store and rows that the images were, or are, decoded from; None where they are what is kept of them.
    """

    targets: Tensor
    shape: tuple[int, int, int]
    origin: Origin | None = None

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
        origin: see `Split`.
    """

    def __init__(self, images: Tensor, targets: Tensor, origin: Origin | None = None) -> None:
        self.images = images
        self.origin = origin
        self.targets = targets
        self.shape = (images.shape[1], images.shape[2], images.shape[3])

    def read(self, rows: Tensor) -> Tensor:
        """Copy the rows out of memory."""
        return self.images.index_select(0, rows)

    def to(self, device: torch.device | str) -> "MemorySplit":
        """Return the split with its images on `device`; nothing is copied where they are there already."""
        if self.images.device == torch.device(device):
            return self
        return MemorySplit(moved(self.images, device), self.targets.to(device), self.origin)


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
        self.origin = (store, rows)
        self.targets = targets
        self.form = form
        self.shape = form.shape

    def name(self, row: int) -> str:
        """Return what one of the images is for a user."""
        return self.store.name(int(self.rows[row]))

    def read(self, rows: Tensor, crops: Tensor | None = None) -> Tensor:
        """Decode the rows, one after the other.

        Args:
            rows: which, B.
            crops: what `augment.draw` drawn as "resized-crop" for each, B×41: parts of the originals are read, which
                are sharper and see more of them than parts of what they are brought to; not mirrored yet.

        Raises:
            UsageError: an image cannot be read.
        """
        images = np.empty((len(rows), *self.shape), self.form.dtype)
        for place, row in enumerate(self.rows[rows].tolist()):
            name = self.store.name(row)
            try:
                image = open_upright(lambda row=row: self.store.open(row), name)
                box = None if crops is None else _part(image.size, crops[place])
                images[place] = decode(image, self.form, box)
            except BadImageError as error:
                raise UnreadableError(name, str(error)) from None
        return torch.from_numpy(images)


def _part(size: tuple[int, int], crop: Tensor) -> Box:
    """Return the part of a picture of (width, height) that was drawn."""
    top, left, tall, wide, _ = boxes(crop[None], size[1], size[0])[0].int().tolist()
    return left, top, left + wide, top + tall


class ViewedSplit(Split):
    """A split as one network sees it.

    Args:
        base: where the records are read.
        view: what is seen of them.
        targets: class numbers, where they are others than the base's.

    Raises:
        UsageError: the view does not suit the records.
    """

    def __init__(self, base: Split, view: View, targets: Tensor | None = None) -> None:
        self.base = base
        self.origin = base.origin
        self.view = view
        self.targets = base.targets if targets is None else targets
        self.shape = view.shape(base.shape)

    def read(self, rows: Tensor) -> Tensor:
        """Return what is seen of the records in `rows`, float32."""
        return self.view(to_unit(self.base.read(rows)))


def seen_through(split: Split, view: View) -> Split:
    """Return the split as it is seen through a view, after the one it has; itself where there is none."""
    if not view:
        return split
    base, before = base_and_view(split)
    return ViewedSplit(base, before.then(view), split.targets)


def base_and_view(split: Split) -> tuple[Split, View]:
    """Return where a split's records are read, and what is then seen of them."""
    return (split.base, split.view) if isinstance(split, ViewedSplit) else (split, View())


def none_like(split: Split) -> MemorySplit:
    """Return a split of records of the same form that holds none.

    >>> len(none_like(MemorySplit(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1]))))
    0
    """
    return MemorySplit(torch.zeros(0, *split.shape, dtype=torch.uint8), split.targets[:0])


def moved(records: Tensor, device: torch.device | str) -> Tensor:
    """Return records on a device, in float32 where that has no float64."""
    narrow = records.dtype == torch.float64 and torch.device(device).type == "mps"
    return (records.float() if narrow else records).to(device)


def on_device(split: Split, device: torch.device | str) -> Split:
    """Return a split in memory on `device`; others read where they lie."""
    return split.to(device) if isinstance(split, MemorySplit) else split


@dataclass(frozen=True)
class Partner:
    """What the teacher sees of a split's samples, where that is not what the student sees.

    Attributes:
        split: row i belongs to row i of the student's split, unless `by_label`.
        augment: its training augmentation.
        by_label: whether there are no partners by nature, so that a sample of the same class is drawn each time.
        shared: whether both get the same random crop and mirroring, of the student's kind; else each has its own.
    """

    split: Split
    augment: str = "none"
    by_label: bool = False
    shared: bool = True


@dataclass(frozen=True)
class TeacherSide:
    """The data set that the teacher sees, and how its samples belong to the student's.

    Attributes:
        data: what the teacher sees; its test split is empty where it sees none of the student's test samples.
        by_label: see `Partner`.
        shared: see `Partner`.
        classes: names of the classes in the order of the teacher's own data, where those have another.
    """

    data: "DataSet"
    by_label: bool = False
    shared: bool = True
    classes: tuple[str, ...] = ()


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
        columns: the columns of a table that are seen.
        categories: the values of each of its columns of text.
        formats: how the numbers of a column are written, where that is not in plain digits.
        crop_fraction: share of a resized picture's side that is kept in its middle.
        cut: which samples are held out, where that is a part of the training samples: the settings that decided it
            (`choice.HOLDOUT`), how many samples there were, and a digest of those held out.
        pictures: whether samples are pictures, not rows of a table or spectrograms, so that they can be moved and
            mirrored as those of another source are.
        files: split → names of its files, path and all, where samples are files.
        teacher: what the teacher sees, where it is something else.
    """

    train: Split
    test: Split
    classes: tuple[str, ...]
    name: str
    augment: str
    notes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    formats: Mapping[str, str] = field(default_factory=dict)
    crop_fraction: float = 1.0
    cut: Mapping[str, object] = field(default_factory=dict)
    pictures: bool = True
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    teacher: TeacherSide | None = None

    def __post_init__(self) -> None:
        for what, names in (("data set", self.name), ("class", self.classes), ("column", self.columns)):
            require_text(what, names)
        for column, values in self.categories.items():
            require_text(f"a value of column {column!r},", values)

    def through(self, view: str) -> "DataSet":
        """Return the data as they are seen through a view, such as `gray,resize=16`."""
        seen = View.parse(view)
        return replace(self, train=seen_through(self.train, seen), test=seen_through(self.test, seen))

    def in_channels(self, channels: int) -> "DataSet":
        """Return the data as a network of so many input channels can see them: see `View.fitted`."""
        base, view = base_and_view(self.train)
        fitted = view.fitted(base.shape, channels)
        if fitted == view:
            return self
        train, test = (ViewedSplit(base_and_view(split)[0], fitted, split.targets) for split in (self.train, self.test))
        return replace(self, train=train, test=test)

    def beside(self, teacher: "DataSet", *, by_label: bool = False, shared: bool = True) -> "DataSet":
        """Return the data with what the teacher sees of them.

        Args:
            teacher: as many samples in the same order, or, `by_label`, any of the same classes. Where it sees none of
                the test samples, `dataclasses.replace(teacher, test=none_like(teacher.test))`.
            by_label: draw a sample of the same class each time.
            shared: both get the same random crop and mirroring, where both are pictures.

        Raises:
            UsageError: other lengths, or other classes where those decide.
        """
        lengths = [(len(self.train), len(teacher.train)), (len(self.test), len(teacher.test) or len(self.test))]
        if not by_label and any(own != theirs for own, theirs in lengths):
            raise UsageError(
                f"student and teacher must see the same samples, received {lengths[0][0]} and {lengths[0][1]} to train "
                f"on, {lengths[1][0]} and {lengths[1][1]} to test on; by_label=True draws partners by class"
            )
        if by_label:
            refuse_several(self.train.targets, "pairing by label")
        if by_label and self.classes != teacher.classes:
            raise UsageError("pairs by label need the same classes in the same order on both sides")
        strange = () if by_label else _compare_files(self, teacher)
        notes = (*self.notes, *strange, *(() if len(teacher.test) else (TEST_UNSEEN,)))
        if not by_label and self.classes == teacher.classes:
            for name, own, theirs in (("train", self.train, teacher.train), ("test", self.test, teacher.test)):
                wrong = int((own.targets[: len(theirs)] != theirs.targets).sum())
                told = f"{wrong} of {len(own)} {name} pairs have different labels: are both in one order?"
                notes = (*notes, told) if wrong else notes
        elif not by_label and not self.several_labels and not teacher.several_labels:
            for name, own, theirs in (("train", self.train, teacher.train), ("test", self.test, teacher.test)):
                labels = own.targets[: len(theirs)], theirs.targets
                met = crossing(name, *labels, self.classes, teacher.classes)
                notes = notes if met is None else (*notes, met.text)
        same_records = base_and_view(self.train)[0] is base_and_view(teacher.train)[0]
        shared = shared and not by_label and (same_records or (self.pictures and teacher.pictures))
        return replace(self, teacher=TeacherSide(teacher, by_label, shared), notes=notes)

    @property
    def several_labels(self) -> bool:
        """Whether a sample may have several labels."""
        return self.train.targets.is_floating_point()

    @property
    def seen(self) -> str:
        """What is seen of a sample, in words: `resize=8, 3×8×8 pixels`, `2 columns`, `9 columns of 5 visits`."""
        channels, height, width = self.train.shape
        if width == 1:
            return f"{channels} columns" + (f" of {height} visits" if height > 1 else "")
        parts = (*self.columns, base_and_view(self.train)[1].text, f"{channels}×{height}×{width} pixels")
        return ", ".join(part for part in parts if part)

    @property
    def of_teacher(self) -> "DataSet":
        """The data as the teacher sees them."""
        return self if self.teacher is None else self.teacher.data

    def partner(self, name: Literal["train", "test"]) -> Partner | None:
        """Return what the teacher sees of one of the splits, or None where that is what the student sees."""
        if self.teacher is None:
            return None
        data = self.teacher.data
        split = data.train if name == "train" else data.test
        return Partner(split, data.augment, self.teacher.by_label, self.teacher.shared)


def _compare_files(student: DataSet, teacher: DataSet) -> tuple[str, ...]:
    """Compare the names of files that are paired by row; samples that were exchanged since have none."""
    notes: tuple[str, ...] = ()
    for name, split in (("train", student.train), ("test", student.test)):
        own = student.files.get(name, ())
        if len(own) == len(split):
            remedy = "wcord.distill(…, data=…, teacher_data=…) pairs files by name"
            notes += compare_rows(name, own, teacher.files.get(name, ()), remedy)
    return tuple(dict.fromkeys(notes))
