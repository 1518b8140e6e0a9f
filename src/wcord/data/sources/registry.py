"""The table of data sources: a new source is one file with its reader and one row here. Imports nothing heavy."""

from dataclasses import dataclass

IMAGE_COLUMNS = ("input", "label", "join", "group_by")
TABLE_COLUMNS = (*IMAGE_COLUMNS, "visits_of", "order_by")


@dataclass(frozen=True)
class SourceKind:
    """A kind of data source.

    Attributes:
        place: what follows the colon in `--data KIND:PLACE`: a path (DIR, FILE), a NAME, NAME@DIR, or NAME|DIR for
            either; empty for data that are embedded. A run resolves and protects the path.
        about: what it is, for `wcord list`.
        reader: `module:function`, imported when the source is opened; called as `function(place, request)` with a
            `samples.ReadRequest`, it returns a `samples.Source`.
        example: a name of such data, for messages.
        columns: settings that name a column of such data.
        class_folders: whether the names of folders are the classes, so that `--class-order` applies.
    """

    place: str
    about: str
    reader: str
    example: str = ""
    columns: tuple[str, ...] = ()
    class_folders: bool = False


KINDS: dict[str, SourceKind] = {
    "digits": SourceKind(
        "", "1,797 handwritten digits of 8×8 pixels, embedded (scikit-learn)", "wcord.data.sources.arrays:digits_source"
    ),
    "sklearn": SourceKind(
        "NAME",
        "a table of scikit-learn, embedded: breast_cancer, iris, wine",
        "wcord.data.sources.table:sklearn_source",
        "sklearn:breast_cancer",
        TABLE_COLUMNS,
    ),
    "parquet": SourceKind(
        "DIR",
        "parquet files named train* and test*, as on the Hugging Face hub",
        "wcord.data.sources.huggingface:parquet_source",
        "parquet:folder",
        IMAGE_COLUMNS,
    ),
    "imagefolder": SourceKind(
        "DIR",
        "a folder per class, or train/ and test/ (val/, Training/, …) with a folder per class",
        "wcord.data.sources.folder:folder_source",
        "imagefolder:pictures",
        class_folders=True,
    ),
    "hub": SourceKind(
        "NAME|DIR",
        "a data set of the Hugging Face hub, by name or in a folder",
        "wcord.data.sources.huggingface:hub_source",
        "hub:uoft-cs/cifar100",
        IMAGE_COLUMNS,
    ),
    "torchvision": SourceKind(
        "NAME@DIR",
        "a data set of torchvision in the folder DIR: CIFAR100, MNIST, …",
        "wcord.data.sources.torchvision_sets:torchvision_source",
        "torchvision:MNIST@data",
    ),
    "audiofolder": SourceKind(
        "DIR",
        "sound files (wav) in folders like those of images, read as spectrograms",
        "wcord.data.sources.audio:audio_source",
        "audiofolder:recordings",
        class_folders=True,
    ),
    "npz": SourceKind(
        "FILE",
        "arrays x_train, y_train and optionally x_test, y_test",
        "wcord.data.sources.arrays:npz_source",
        "npz:data.npz",
    ),
    "table": SourceKind(
        "FILE",
        "a csv, tsv or parquet file of numbers, or a folder with train.csv and test.csv",
        "wcord.data.sources.table:table_source",
        "table:patients.csv",
        TABLE_COLUMNS,
    ),
}
"""Kind of data source → its row. The messages, `wcord list` and the help text are made from this table."""

IN_MEMORY = "own"
"""Kind of a data set that was passed in Python and not opened by name."""


def names_of_data() -> dict[str, str]:
    """Return what `--data` takes, such as `imagefolder:DIR`, and what each is."""
    return {f"{name}:{kind.place}" if kind.place else name: kind.about for name, kind in KINDS.items()}


def kind_of(data: str) -> str:
    """Return the kind in the name of a data set.

    >>> kind_of("table:patients.csv"), has_columns("parquet:folder"), is_table("parquet:folder")
    ('table', True, False)
    """
    return data.partition(":")[0]


def path_in(data: str) -> tuple[str, str] | None:
    """Return the text before the path in the name of a data set, and the path; None without a path.

    >>> path_in("table:patients.csv"), path_in("torchvision:MNIST@sets"), path_in("sklearn:iris")
    (('table:', 'patients.csv'), ('torchvision:MNIST@', 'sets'), None)
    """
    kind, _, place = data.partition(":")
    if kind not in KINDS or not place:
        return None
    before, at, path = place.rpartition("@")
    if KINDS[kind].place.endswith("@DIR"):
        return (f"{kind}:{before}@", path) if at else None
    return (f"{kind}:", place) if KINDS[kind].place in ("DIR", "FILE", "NAME|DIR") else None


def has_columns(data: str) -> bool:
    """Return whether the input of such data is a column, or several."""
    return _names(data, "input")


def is_table(data: str) -> bool:
    """Return whether the samples of such data are rows of a table."""
    return _names(data, "visits_of")


def _names(data: str, setting: str) -> bool:
    return kind_of(data) in KINDS and setting in KINDS[kind_of(data)].columns
