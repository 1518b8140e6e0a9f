"""Settings of the data, with the only source of their defaults. Imports nothing heavy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from wcord.bounds import Bounds, Check, Name, OptionalName, Seed, SideOrSides, Workers, convert
from wcord.checks import unknown
from wcord.scope import Affects, of_teacher


@dataclass(frozen=True)
class DataConfig:
    """The data source, how samples are read, and what the trained network sees of them."""

    data: Annotated[Name, Affects("place", "source", "opened data", "teacher")] = "digits"
    """Data source: digits, or KIND:PLACE such as imagefolder:pictures. `wcord list --data` shows all kinds."""
    label: Annotated[Name, Affects("result", "teacher")] | None = None
    """Label column, needed only if there are several."""
    no_labels: Annotated[bool, Affects("result", "opened data")] = False
    """Read no labels: folders without classes, tables without a label column. The student then learns only
    from a teacher, whose most probable class replaces the label in measures."""
    input: Annotated[tuple[Name, ...], Affects("result", "teacher")] = ()
    """Column of the image, needed only if there are several; of a table, the input columns (default: all)."""
    view: Annotated[OptionalName, Affects("result", "teacher")] | None = None
    """View of a sample, such as gray,resize=16: see `wcord list --views`. Default: all of it."""
    merge: Annotated[tuple[Name, ...], Affects("result")] = ()
    """Classes to merge: ill=mild+severe"""
    class_order: Annotated[Literal["auto", "name", "number"], Affects("result")] = "auto"
    """Order of classes that are named by folders. name: alphabetical (0, 1, 10, 2), as in torchvision's ImageFolder;
    number: 0, 1, 2, 10; auto: number if all names are whole numbers, else name."""
    group_by: Annotated[Name, Affects("result", "holdout")] | None = None
    """Column of a table, such as the subject; samples with equal values stay on one side of every split."""
    visits_of: Annotated[OptionalName, Affects("result", "teacher")] | None = None
    """Column of a table; rows with equal values are the visits of one subject, which form one sample."""
    order_by: Annotated[OptionalName, Affects("result", "teacher")] | None = None
    """Column that orders the visits."""
    image_size: Annotated[SideOrSides, Affects("result", "teacher")] | None = None
    """Resize every image until it covers this many pixels a side, or HEIGHTxWIDTH (150x200), and crop to the middle.
    Default: the size in the network's weights file, else no resizing, or 224 if sizes differ."""
    crop_fraction: Annotated[float, Bounds(above=0, high=1), Affects("result", "teacher")] = 1.0
    """With --image-size: the share of each resized side inside the crop; 0.875 is 224 of 256 pixels, ImageNet's usual
    evaluation."""
    subset: Annotated[float, Bounds(above=0), Affects("result")] | None = None
    """Train on fewer samples: a number of images per class, or, below 1, a fraction of each class."""
    holdout: Annotated[float, Bounds(0, below=1), Affects("result", "holdout")] = 0.0
    """Evaluate on this fraction of the training samples, held out from training, instead of the test split."""
    split_seed: Annotated[Seed, Affects("result", "holdout")] = 0
    """Seed of the subset and of held-out samples; apart from --seed, so that runs of several seeds, their teacher and a
    later evaluation use the same split."""
    augment: Annotated[Literal["auto", "none", "shift", "crop-flip", "resized-crop"], Affects("result")] = "auto"
    """Training augmentation; auto: the default of the source."""
    views: Annotated[int, Bounds(1, 1000), Affects("result", "opened data")] = 1
    """Augmented views of each image in a training batch; the batch then holds views × batch-size images."""
    in_memory: Annotated[Literal["auto", "yes", "no"], Affects("machine")] = "auto"
    """Hold the decoded split in memory; auto: if it takes less than 4 GiB."""
    workers: Annotated[Workers, Affects("machine", "opened data")] = 2
    """Worker processes that decode images if the split is not in memory."""
    skip_bad_images: Annotated[bool, Affects("result")] = False
    """Leave out images that cannot be read, and count them, instead of stopping."""


def require_of_teacher(name: str, values: Mapping[str, Any]) -> None:
    """Raise unless values are settings of the data that the teacher may have otherwise, by their names."""
    hints = of_teacher(DataConfig)
    for key, value in values.items():
        if key not in hints:
            raise unknown(f"setting in [{name.replace('_', '.')}]", key, hints)
        convert(f"teacher_{key}", value, hints[key])


TeacherData = Annotated[Mapping[Name, Any], Check(require_of_teacher)]
"""The settings of `DataConfig` that the teacher has otherwise, by name: it is laid over the student's."""


@dataclass(frozen=True)
class Known:
    """The training data according to a network's file, for the reading of other data.

    Attributes:
        categories: column of text → its values.
        formats: column → format of its numbers, unless in plain digits; None if unknown.
    """

    categories: Mapping[str, Sequence[str]] = field(default_factory=dict)
    formats: Mapping[str, str] | None = None


@dataclass(frozen=True)
class PairingConfig:
    """How the samples of student and teacher find their partners, and how the two are compared."""

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
"""Share of the training samples to evaluate on if a source has no test split."""

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
"""Parts of `--view` and `--teacher-view`, joined by commas."""
