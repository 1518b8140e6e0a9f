"""Opens a data set by name: each kind of source has its reader."""

from collections import Counter
from collections.abc import Callable, Mapping, Set
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from wcord.bounds import checked
from wcord.checks import UsageError, WrongTypeError, require_choice, require_kind, require_names, shown
from wcord.data.assemble import assemble, assemble_pairs, teacher_config
from wcord.data.config import Columns, DataConfig, Known, PairingConfig
from wcord.data.labels import merge_classes, parts_of, require_several_classes
from wcord.data.samples import Source, forget_labels
from wcord.data.several import refuse_several
from wcord.data.split import DataSet


def open_data(
    config: DataConfig, pairing: PairingConfig | None = None, *, partial: bool = False, known: Known | None = None
) -> DataSet:
    """Open the data set that a configuration names, and what the teacher sees of it.

    >>> data = open_data(DataConfig(data="digits"))
    >>> len(data.train), len(data.test), data.train.shape, data.augment
    (1438, 359, (1, 8, 8), 'shift')

    Args:
        config: source, columns, choice of samples, augmentation.
        pairing: what the teacher sees, where that is something else.
        partial: whether a test split that lacks what is seen is passed over, as for the teacher, and not refused.
        known: what the file of a network says of the data that it was trained on, where these are opened to measure it:
            tables are read alike, and one class is enough.

    Raises:
        UsageError: whatever is wrong with the name, the files, the samples or the pairs.
    """
    require_kind("config", config, DataConfig, "a DataConfig")
    if pairing is not None:
        require_kind("pairing", pairing, PairingConfig, "a PairingConfig")
    config, pairing = checked(config), None if pairing is None else checked(pairing)
    if pairing is None:
        return assemble(_merged(_read(config, PairingConfig(), (), partial=partial, known=known), config.merge), config)
    _refuse_idle(pairing)
    theirs = teacher_config(config, pairing)
    unseen = tuple(label for label in (config.label, theirs.label) if label is not None)
    source = _merged(_read(config, pairing, unseen), config.merge)
    if theirs.data == config.data and theirs.input == source.columns:
        theirs = replace(theirs, input=config.input)  # what its file says it saw is what the student sees
    if theirs == config and pairing.pair_augment == "shared":
        return assemble(source, config)
    # Pairs by label need none of the student's test samples, and so no other test split than the teacher's own.
    other, rules = _read(theirs, pairing, unseen, partial=pairing.way != "label"), theirs.merge
    if pairing.teacher_data is not None:  # which may have them together already
        rules = tuple(rule for rule in rules if not _merged_already(rule, other.classes))
    return assemble_pairs(source, _merged(other, rules), config, theirs, pairing)


def _refuse_idle(pairing: PairingConfig) -> None:
    """Say that a way to find partners has nothing to be applied to."""
    if pairing.join is not None and pairing.pair_by is not None:
        raise UsageError("--join and --pair-by are two ways to find partners: give one")
    for flag, value in (("pair-by", pairing.pair_by), ("join", pairing.join)):
        if value is not None and pairing.teacher_data is None:
            raise UsageError(f"--{flag} says how samples of --teacher-data find their partners: give that too")


def _read(
    config: DataConfig,
    pairing: PairingConfig,
    unseen: tuple[str, ...],
    *,
    partial: bool = False,
    known: Known | None = None,
) -> Source:
    """Read the source of a configuration, with its classes as they are; `partial` and `known`: see `Columns`."""
    kind, _, place = config.data.partition(":")
    if kind == OWN:
        raise UsageError(
            f"{config.data!r} was a data set that the caller brought: give it again, in Python by provided="
        )
    require_choice("data source", kind, READERS)
    if kind != "digits" and not place:
        raise UsageError(f"data source {kind!r} needs a name or path after the colon, for instance {EXAMPLES[kind]}")
    columns = Columns(
        input=config.input,
        label=config.label,
        key=pairing.join,
        group_by=config.group_by,
        visits_of=config.visits_of,
        order_by=config.order_by,
        class_order=config.class_order,
        unseen=unseen,
        labels=not config.no_labels,
        partial=partial or config.holdout > 0,  # of which the test split is not read
        known=known,
    )
    _refuse_columns(kind, columns)
    source = READERS[kind](place, columns)
    if config.no_labels:
        if config.merge:
            raise UsageError("--merge takes classes together, of which --no-labels reads none: give one of the two")
        return forget_labels(source)
    if known is None:
        require_several_classes(source.classes)
    return source


def _merged(source: Source, rules: tuple[str, ...]) -> Source:
    """Return the source with some of its classes taken together."""
    if not rules:
        return source
    refuse_several(source.train.targets, "--merge")
    classes, number = merge_classes(source.classes, rules)
    return source.numbered(number, classes)


def _merged_already(rule: str, classes: tuple[str, ...]) -> bool:
    """Tell whether data have classes together that a rule takes together, so that some of the parts are unknown."""
    unknown_parts = [part for part in parts_of(rule) if part not in classes]
    return bool(unknown_parts) and (rule.partition("=")[0] in classes or len(unknown_parts) == len(parts_of(rule)))


def has_columns(data: str) -> bool:
    """Tell whether a source has columns that are seen."""
    return "input" in COLUMNS.get(data.partition(":")[0], ())


def is_table(data: str) -> bool:
    """Tell whether the samples of a source are rows of a table."""
    return "visits_of" in COLUMNS.get(data.partition(":")[0], ())


def _refuse_columns(kind: str, columns: Columns) -> None:
    """Say that a column, or an order of classes, cannot be asked of a source that has none."""
    if columns.class_order != "auto" and kind not in FOLDERS:
        able = ", ".join(f"{other}:" for other in FOLDERS)
        raise UsageError(f"--class-order goes with {able}; data of kind {kind!r} number their classes themselves")
    known = COLUMNS.get(kind, ())
    for name, value in vars(columns).items():
        if value and name not in (*known, "class_order", "unseen", "labels", "partial", "known"):
            flag = "join" if name == "key" else name.replace("_", "-")
            able = ", ".join(f"{other}:" for other, names in COLUMNS.items() if name in names)
            raise UsageError(f"--{flag} names a column, which data of kind {kind!r} do not have: it goes with {able}")


def from_arrays(
    x_train: ArrayLike | Tensor,
    y_train: ArrayLike | Tensor,
    x_test: ArrayLike | Tensor | None = None,
    y_test: ArrayLike | Tensor | None = None,
    *,
    classes: tuple[str, ...] | None = None,
) -> DataSet:
    """Make a data set of arrays: images uint8 or float in [0, 1], N×H×W, N×C×H×W or N×H×W×C, and labels, N.

    Where a sample may have several labels, these are rows of 0 and 1, N×C.

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

    _require_classes(classes)
    given = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    for name, values in given.items():
        if values is not None or name.endswith("train"):
            _require_rows(name, values)
    source = array_source(x_train, y_train, x_test, y_test, classes=classes, name="arrays")
    require_several_classes(source.classes)
    return assemble(source, DataConfig(data="arrays"))


def _require_classes(classes: tuple[str, ...] | None) -> None:
    if isinstance(classes, Set | Mapping):
        raise UsageError(f"classes takes names in the order of the class numbers, as a list, received {classes!r}")
    if classes is not None:
        require_names("classes", classes)
    names = list(classes or ())
    twice = [(name, count) for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UsageError(f"classes holds {twice[0][0]!r} {twice[0][1]} times: give each class a name of its own")


def _require_rows(name: str, values: object) -> None:
    """Raise unless values can be an array of one entry or more for each sample."""
    try:
        dimensions = values.dim() if isinstance(values, Tensor) else np.ndim(values)  # pyright: ignore[reportArgumentType]
    except ValueError:
        raise UsageError(f"{name} holds rows of different lengths: give an array of one shape") from None
    if dimensions == 0:
        raise WrongTypeError(f"{name} must be an array, received {shown(values)}")


def _digits(place: str, columns: Columns) -> Source:
    if place:
        raise UsageError(f"data source 'digits' takes nothing after its name, received {place!r}")
    from wcord.data.arrays import digits_source

    return digits_source()


def _parquet(place: str, columns: Columns) -> Source:
    from wcord.data.huggingface import parquet_source  # imported when asked for: datasets takes a second to load

    return parquet_source(place, columns)


def _hub(place: str, columns: Columns) -> Source:
    from wcord.data.huggingface import hub_source

    return hub_source(place, columns)


def _folder(place: str, columns: Columns) -> Source:
    from wcord.data.folder import folder_source

    return folder_source(place, columns)


def _torchvision(place: str, columns: Columns) -> Source:
    from wcord.data.torchvision_sets import torchvision_source

    return torchvision_source(place)


def _audio(place: str, columns: Columns) -> Source:
    from wcord.data.audio import audio_source

    return audio_source(place, columns)


def _table(place: str, columns: Columns) -> Source:
    from wcord.data.table import table_source

    return table_source(place, columns)


def _sklearn(place: str, columns: Columns) -> Source:
    from wcord.data.table import sklearn_source

    return sklearn_source(place, columns)


def _npz(place: str, columns: Columns) -> Source:
    from wcord.data.arrays import npz_source

    return npz_source(place, columns)


READERS: dict[str, Callable[[str, Columns], Source]] = {
    "audiofolder": _audio,
    "digits": _digits,
    "hub": _hub,
    "imagefolder": _folder,
    "npz": _npz,
    "parquet": _parquet,
    "sklearn": _sklearn,
    "table": _table,
    "torchvision": _torchvision,
}
EXAMPLES = {
    "audiofolder": "audiofolder:recordings",
    "hub": "hub:uoft-cs/cifar100",
    "imagefolder": "imagefolder:pictures",
    "npz": "npz:data.npz",
    "parquet": "parquet:folder",
    "sklearn": "sklearn:breast_cancer",
    "table": "table:patients.csv",
    "torchvision": "torchvision:MNIST@data",
}
FOLDERS = ("audiofolder", "imagefolder")
OWN = "own"
"""Begins the name of a data set that was not opened by name."""
_ALL = ("input", "label", "key", "group_by", "visits_of", "order_by")
COLUMNS = {"hub": _ALL[:4], "parquet": _ALL[:4], "sklearn": _ALL, "table": _ALL}
"""Kind of source → which columns can be asked of it; others have none."""
