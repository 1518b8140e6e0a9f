"""A data set that is ready to train and evaluate on, and what the teacher sees of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from wcord.checks import UsageError, require_text
from wcord.data.label_values import refuse_several
from wcord.data.names import compare_rows
from wcord.data.pairing import TEST_UNSEEN, crossing
from wcord.data.split import Split, ViewedSplit, base_and_view, seen_through
from wcord.data.view import View

Pairs = Literal["shared", "separate", "label"]
"""How the teacher's samples belong to the student's. shared: pairs with the same random crop and mirroring; separate:
pairs with an augmentation for each side; label: no pairs, a sample of the same class is drawn each time."""


@dataclass(frozen=True)
class Partner:
    """What the teacher sees of a split, where that is not what the student sees.

    Attributes:
        split: row i belongs to row i of the student's split, unless paired by label.
        augment: its training augmentation, where it is not shared.
        pairs: see `Pairs`.
    """

    split: Split
    augment: str = "none"
    pairs: Pairs = "shared"


@dataclass(frozen=True)
class DataSet:
    """A data set that is ready to train and evaluate on.

    Attributes:
        train: the training split.
        test: the split to evaluate on.
        classes: class names, in the order of the class numbers.
        name: what a report calls the data.
        augment: the training augmentation, resolved (never "auto").
        notes: what a reader of the result should know about how the data came about.
        columns: the input columns of a table.
        categories: text column of a table → its values.
        formats: column → how its numbers are written, where that is not in plain digits.
        crop_fraction: share of a resized picture's side that is kept in its center.
        cut: which samples are held out, where those are a part of the training samples: the settings that decided it
            (`choice.HOLDOUT`), the number of samples, and a digest of those held out.
        pictures: whether samples are pictures, which can be cropped and mirrored, not rows of a table or spectrograms.
        files: split → paths of its files, where samples are files.
        teacher: what the teacher sees, where that is something else; its test split is empty where it sees none of the
            test samples.
        pairs: how the teacher's samples belong to these.
        source_classes: class names in the order of the data's own, where the student's order has replaced it.
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
    teacher: "DataSet | None" = None
    pairs: Pairs = "shared"
    source_classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for what, names in (("data set", self.name), ("class", self.classes), ("column", self.columns)):
            require_text(what, names)
        for column, values in self.categories.items():
            require_text(f"a value of column {column!r},", values)

    def through(self, view: str) -> "DataSet":
        """Return the data seen through a view, such as `gray,resize=16`."""
        parsed = View.parse(view)
        return replace(self, train=seen_through(self.train, parsed), test=seen_through(self.test, parsed))

    def in_channels(self, channels: int) -> "DataSet":
        """Return the data in a form that a network with this many input channels can see: see `View.fitted`."""
        base, view = base_and_view(self.train)
        fitted = view.fitted(base.shape, channels)
        if fitted == view:
            return self
        train, test = (ViewedSplit(base_and_view(split)[0], fitted, split.targets) for split in (self.train, self.test))
        return replace(self, train=train, test=test)

    def beside(self, teacher: "DataSet", *, by_label: bool = False, shared: bool = True) -> "DataSet":
        """Return the data with what the teacher sees of them.

        Args:
            teacher: as many samples in the same order, or, `by_label`, any of the same classes. If the teacher sees
                none of the test samples, `dataclasses.replace(teacher, test=none_like(teacher.test))`.
            by_label: draw a sample of the same class each time.
            shared: both get the same random crop and mirroring, where both are pictures.

        Raises:
            UsageError: the numbers of samples differ, or the classes where samples are drawn by label.
        """
        lengths = [(len(self.train), len(teacher.train)), (len(self.test), len(teacher.test) or len(self.test))]
        if not by_label and any(count != other for count, other in lengths):
            raise UsageError(
                f"student and teacher must see the same samples, received {lengths[0][0]} and {lengths[0][1]} to train "
                f"on, {lengths[1][0]} and {lengths[1][1]} to test on; by_label=True draws partners by class"
            )
        if by_label:
            refuse_several(self.train.targets, "pairing by label")
        if by_label and self.classes != teacher.classes:
            raise UsageError("pairs by label need the same classes in the same order on both sides")
        notes = [*self.notes, *(() if by_label else _file_notes(self, teacher))]
        notes += [] if len(teacher.test) else [TEST_UNSEEN]
        notes += [] if by_label else _label_notes(self, teacher)
        same_records = base_and_view(self.train)[0] is base_and_view(teacher.train)[0]
        shared = shared and (same_records or (self.pictures and teacher.pictures))
        pairs: Pairs = "label" if by_label else "shared" if shared else "separate"
        return replace(self, teacher=teacher, pairs=pairs, notes=tuple(notes))

    @property
    def several_labels(self) -> bool:
        """Whether a sample may have several labels."""
        return self.train.targets.is_floating_point()

    @property
    def seen(self) -> str:
        """The input in words: `resize=8, 3×8×8 pixels`, `2 columns`, `9 columns of 5 visits`."""
        channels, height, width = self.train.shape
        if width == 1:
            return f"{channels} columns" + (f" of {height} visits" if height > 1 else "")
        parts = (*self.columns, base_and_view(self.train)[1].text, f"{channels}×{height}×{width} pixels")
        return ", ".join(part for part in parts if part)

    @property
    def of_teacher(self) -> "DataSet":
        """The data as the teacher sees them."""
        return self if self.teacher is None else self.teacher

    def partner(self, name: Literal["train", "test"]) -> Partner | None:
        """Return what the teacher sees of a split, or None where that is what the student sees."""
        if self.teacher is None:
            return None
        split = self.teacher.train if name == "train" else self.teacher.test
        return Partner(split, self.teacher.augment, self.pairs)


def _file_notes(student: DataSet, teacher: DataSet) -> tuple[str, ...]:
    """Return notes on the names of files that are paired by row; splits that were replaced since have no names."""
    notes: tuple[str, ...] = ()
    for name, split in (("train", student.train), ("test", student.test)):
        files = student.files.get(name, ())
        if len(files) == len(split):
            remedy = "wcord.distill(…, data=…, teacher_data=…) pairs files by name"
            notes += compare_rows(name, files, teacher.files.get(name, ()), remedy)
    return tuple(dict.fromkeys(notes))


def _label_notes(student: DataSet, teacher: DataSet) -> list[str]:
    """Return notes on pairs whose labels differ or, where the classes have other names, on how these correspond."""
    notes: list[str] = []
    same_classes = student.classes == teacher.classes
    for name, split, other in (("train", student.train, teacher.train), ("test", student.test, teacher.test)):
        targets = split.targets[: len(other)]
        if same_classes:
            wrong = int((targets != other.targets).sum())
            line = f"{wrong} of {len(split)} {name} pairs have different labels: are both in one order?"
            notes += [line] if wrong else []
        elif not student.several_labels and not teacher.several_labels:
            crossed = crossing(name, targets, other.targets, student.classes, teacher.classes)
            notes += [] if crossed is None else [crossed.text]
    return notes
