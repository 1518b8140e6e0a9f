"""What can be said about the data: the only source of these defaults. Imports nothing heavy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from wcord.bounds import Bounds, Name, OptionalName, Seed, SideOrSides, Workers
from wcord.scope import Affects


@dataclass(frozen=True)
class DataConfig:
    """Where the samples come from, how they are read, and what the network that is trained sees of them."""

    data: Annotated[Name, Affects("place", "source", "opened data")] = "digits"
    """What the samples are read from: digits, or KIND:PLACE such as imagefolder:pictures. `wcord list --data` shows all
    kinds."""
    label: Annotated[Name, Affects("result")] | None = None
    """Label column, needed only where there are several."""
    no_labels: Annotated[bool, Affects("result", "opened data")] = False
    """Read no labels: folders without classes, tables without a label column. Only a teacher can then be learned
    from; its most probable class replaces the label where one is needed."""
    input: Annotated[tuple[Name, ...], Affects("result")] = ()
    """Column that holds the image, needed only where there are several; of a table, the columns that are seen (default:
    all). Beside a teacher also --student-input."""
    view: Annotated[OptionalName, Affects("result")] | None = None
    """What is seen of a sample, such as gray,resize=16: see `wcord list --views`. Default: all of it. Beside a teacher
    also --student-view."""
    merge: Annotated[tuple[Name, ...], Affects("result")] = ()
    """Classes to merge: ill=mild+severe"""
    class_order: Annotated[Literal["auto", "name", "number"], Affects("result")] = "auto"
    """How classes are numbered whose names are those of folders. name: in the order of the text (0, 1, 10, 2), as
    torchvision's ImageFolder does; number: 0, 1, 2, 10; auto: number where all names are whole numbers, else name."""
    group_by: Annotated[Name, Affects("result", "holdout")] | None = None
    """Column of a table whose samples of equal value (those of one subject) stay on one side of every split."""
    visits_of: Annotated[OptionalName, Affects("result")] | None = None
    """Column of a table whose rows of equal value are the visits of one subject, which is then one sample."""
    order_by: Annotated[OptionalName, Affects("result")] | None = None
    """Column with the order of the visits."""
    image_size: Annotated[SideOrSides, Affects("result")] | None = None
    """Resize every image to this many pixels a side, or to HEIGHTxWIDTH (150x200), until it covers that, and keep the
    middle. Default: as the network's weights file says that they were in its training, else as they are, or 224 where
    sizes differ."""
    crop_fraction: Annotated[float, Bounds(above=0, high=1), Affects("result")] = 1.0
    """With --image-size: the share of a resized side that is kept, in the middle; 0.875 is 224 of 256 pixels,
    ImageNet's usual evaluation."""
    subset: Annotated[float, Bounds(above=0), Affects("result")] | None = None
    """Train on fewer samples: at least 1 is images per class, below 1 a fraction of each class."""
    holdout: Annotated[float, Bounds(0, below=1), Affects("result", "holdout")] = 0.0
    """Evaluate on this fraction of the training samples, which are then not trained on, instead of the test split."""
    split_seed: Annotated[Seed, Affects("result", "holdout")] = 0
    """Seed of the subset and of held-out samples; not --seed, so that runs of several seeds, their teacher and a later
    evaluation use the same images."""
    augment: Annotated[Literal["auto", "none", "shift", "crop-flip", "resized-crop"], Affects("result")] = "auto"
    """Training augmentation; auto: what suits the source."""
    views: Annotated[int, Bounds(1, 1000), Affects("result", "opened data")] = 1
    """Augmented views of each image in a training batch, which grows by this factor over --batch-size."""
    in_memory: Annotated[Literal["auto", "yes", "no"], Affects("machine")] = "auto"
    """Hold the decoded split in memory; auto: where it takes less than 4 GiB."""
    workers: Annotated[Workers, Affects("machine", "opened data")] = 2
    """Worker processes that decode images when the split is not held in memory."""
    skip_bad_images: Annotated[bool, Affects("machine", "fixed")] = False
    """Leave out images that cannot be read, and count them, instead of stopping."""


@dataclass(frozen=True)
class Known:
    """What the file of a network says of the data that it was trained on, by which others are read.

    Attributes:
        categories: column of text → its values.
        formats: column → how its numbers are written, where that is not in plain digits; None where it is not known.
    """

    categories: Mapping[str, Sequence[str]] = field(default_factory=dict)
    formats: Mapping[str, str] | None = None


@dataclass(frozen=True)
class PairingConfig:
    """What the teacher sees, where that is not what the student sees, and how the two belong together."""

    teacher_view: Annotated[OptionalName, Affects("result")] | None = None
    """What the teacher sees of a sample, such as resize=32. Default: what its weights file says, else all of it."""
    teacher_input: Annotated[tuple[Name, ...], Affects("result")] = ()
    """Column of the teacher's input; of a table, columns. Default: what its weights file says, else the student's."""
    teacher_label: Annotated[Name, Affects("result")] | None = None
    """Column of the teacher's own labels, where its classes are others. Default: the student's."""
    teacher_data: Annotated[Name, Affects("place", "source")] | None = None
    """Where the teacher's samples come from, named as in --data. Default: the student's data."""
    teacher_image_size: Annotated[SideOrSides, Affects("result")] | None = None
    """Resize every image of --teacher-data to this many pixels a side, or to HEIGHTxWIDTH. Default: as the teacher's
    weights file says that they were in its training, else as they are, or 224 where sizes differ."""
    teacher_crop_fraction: Annotated[float, Bounds(above=0, high=1), Affects("result")] | None = None
    """With --teacher-image-size: the share of a side that is kept, in the middle (default: 1)."""
    teacher_visits_of: Annotated[OptionalName, Affects("result")] | None = None
    """Column of --teacher-data whose rows of equal value are the visits of one subject, where the student's data have
    none or call it otherwise; "" where each row of the teacher's is a sample."""
    teacher_order_by: Annotated[OptionalName, Affects("result")] | None = None
    """Column of --teacher-data with the order of the visits."""
    pair_by: Annotated[Literal["row", "stem", "path", "label"], Affects("result")] | None = None
    """How samples of --teacher-data find their partners. path: files of one path below train/ and test/, endings aside;
    stem: files of one name, in whatever folder; row: in their order; label: there are none, and one of the same class
    is drawn each time. Default: where files have names on both sides, path if any path occurs on both sides, else stem;
    where one side has none (arrays, tables), row; by key where --join is given."""
    join: Annotated[Name, Affects("result")] | None = None
    """Column whose equal values in both tables mark partners."""
    unpaired: Annotated[Literal["error", "drop"], Affects("result")] = "error"
    """What to do with samples that have no partner."""
    label_map: Annotated[Name, Affects("result", "file", "opened data")] | None = None
    """How the teacher's classes are parts of the student's, so that methods on logits compare sums: observed, where
    both labels of each sample are known (--teacher-label, --teacher-data), or a csv file of lines teacher's
    class,student's class (a line `*,` leaves out the teacher's classes that have no line)."""
    pair_augment: Annotated[Literal["shared", "separate"], Affects("result")] = "shared"
    """Whether teacher and student get the same random crop and mirroring, where both see pictures."""

    @property
    def way(self) -> str:
        """How partners are found; "auto": as the data have names or not."""
        return "key" if self.join is not None else self.pair_by or "auto"


MISSING_TEST = 0.2
"""Share of the training samples that are evaluated on where a source has no test split."""

VIEWS: dict[str, str] = {
    "crop=N": "the N×N pixels in the middle (N×M: --view crop=24x32)",
    "edges": "the magnitude of the gradient, one channel",
    "gray": "the luma, one channel",
    "lab-ab": "the two color channels of CIE L*a*b*",
    "lab-l": "the lightness of CIE L*a*b*, one channel",
    "rgb": "one channel three times, for networks that want color",
    "resize=N": "the picture resized to N×N pixels",
    "visits=N": "the first N visits of a subject",
}
"""What `--view` and `--teacher-view` take, joined by commas."""
