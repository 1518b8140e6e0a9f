"""Opens a data set by name, or from arrays, and pairs it with what the teacher sees."""

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import replace
from importlib import import_module

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from wcord.bounds import checked
from wcord.checks import UsageError, WrongTypeError, require_choice, require_kind, require_names, shown
from wcord.data.assemble import assemble, assemble_pairs, teacher_config
from wcord.data.config import DataConfig, Known, PairingConfig, TeacherData, require_of_teacher
from wcord.data.dataset import DataSet
from wcord.data.label_values import refuse_several
from wcord.data.labels import merge_classes, parts_of, require_several_classes
from wcord.data.samples import ReadRequest, Source, forget_labels
from wcord.data.sources.registry import IN_MEMORY, KINDS


def open_data(
    config: DataConfig,
    teacher: TeacherData | None = None,
    pairing: PairingConfig | None = None,
    *,
    partial: bool = False,
    known: Known | None = None,
) -> DataSet:
    """Open the data set that a configuration names, and pair it with what the teacher sees.

    >>> data = open_data(DataConfig(data="digits"))
    >>> len(data.train), len(data.test), data.train.shape, data.augment
    (1438, 359, (1, 8, 8), 'shift')

    Args:
        config: source, columns, choice of samples, augmentation.
        teacher: what the teacher sees otherwise: settings of `config` by name; None: there is no teacher.
        pairing: how the samples of student and teacher find their partners.
        partial: skip a test split that lacks input columns, instead of raising.
        known: what the weights file of a network says about its training data, for an evaluation: tables are read in
            the same way, and a single class is enough.

    Raises:
        UsageError: the name, the files, the samples or the pairs are invalid.
    """
    require_kind("config", config, DataConfig, "a DataConfig")
    config = checked(config)
    if teacher is None:
        return assemble(_read(config, ReadRequest(config, partial=partial, known=known)), config)
    require_kind("teacher", teacher, Mapping, "a table of settings")
    require_of_teacher("teacher_data", teacher)
    pairing = PairingConfig() if pairing is None else pairing
    require_kind("pairing", pairing, PairingConfig, "a PairingConfig")
    return _open_pairs(config, teacher, checked(pairing))


def _open_pairs(config: DataConfig, teacher: TeacherData, pairing: PairingConfig) -> DataSet:
    """Open the student's data and the teacher's, each by its own configuration, and pair them."""
    _refuse_unused(pairing, other_data="data" in teacher)
    taught = checked(teacher_config(config, teacher))
    labels = tuple(label for label in (config.label, taught.label) if label is not None)
    source = _read(config, ReadRequest(config, pairing.join, labels))
    if taught.data == config.data and taught.input == source.columns:
        taught = replace(taught, input=config.input)  # the weights file names the columns that the student sees, too
    if taught == config and pairing.pair_augment == "shared":
        return assemble(source, config)
    # Pairs by label use the teacher's own test split, so that it must be complete.
    request = ReadRequest(taught, pairing.join, labels, partial=pairing.way != "label")
    other = _read(taught, request, premerged="data" in teacher)
    return assemble_pairs(source, other, config, taught, pairing, teacher)


def _refuse_unused(pairing: PairingConfig, *, other_data: bool) -> None:
    """Raise if a way to find partners is given that nothing uses."""
    if pairing.join is not None and pairing.pair_by is not None:
        raise UsageError("--join and --pair-by are two ways to find partners: use one")
    for flag, value in (("pair-by", pairing.pair_by), ("join", pairing.join)):
        if value is not None and not other_data:
            raise UsageError(f"--{flag} needs --teacher-data: add it")


def _read(config: DataConfig, request: ReadRequest, *, premerged: bool = False) -> Source:
    """Read the source that a configuration names, and merge its classes.

    Args:
        config: the configuration.
        request: the same, and what it does not say.
        premerged: skip merge rules whose classes the source already has merged.
    """
    kind, _, place = config.data.partition(":")
    if kind == IN_MEMORY:
        raise UsageError(f"{config.data!r} was a data set that the caller passed: pass it again, by provided=")
    require_choice("data source", kind, KINDS)
    row = KINDS[kind]
    if row.place and not place:
        raise UsageError(f"data source {kind!r} needs a name or path after the colon, for instance {row.example}")
    if place and not row.place:
        raise UsageError(f"data source {kind!r} takes nothing after its name, received {place!r}")
    _refuse_columns(kind, request)
    if config.holdout:  # the test split is then not evaluated on
        request = replace(request, partial=True)
    module, _, function = row.reader.partition(":")
    source: Source = getattr(import_module(module), function)(place, request)
    if config.no_labels:
        if config.merge:
            raise UsageError("--merge needs labels, which --no-labels ignores: use one of them")
        return forget_labels(source)
    if request.known is None:
        require_several_classes(source.classes)
    rules = tuple(rule for rule in config.merge if not (premerged and _is_merged(rule, source.classes)))
    if not rules:
        return source
    refuse_several(source.train.targets, "--merge")
    classes, number = merge_classes(source.classes, rules)
    return source.numbered(number, classes)


def _is_merged(rule: str, classes: tuple[str, ...]) -> bool:
    """Return whether data have only the merged class of a rule, so that its finer classes are unknown."""
    unknown_parts = [part for part in parts_of(rule) if part not in classes]
    return bool(unknown_parts) and (rule.partition("=")[0] in classes or len(unknown_parts) == len(parts_of(rule)))


def _refuse_columns(kind: str, request: ReadRequest) -> None:
    """Raise if a column, or an order of classes, is requested from a source that has none."""
    config = request.config
    if config.class_order != "auto" and not KINDS[kind].class_folders:
        able = ", ".join(f"{name}:" for name, row in sorted(KINDS.items()) if row.class_folders)
        raise UsageError(f"--class-order goes with {able}; data of kind {kind!r} number their classes themselves")
    requested = {name: getattr(config, name) for name in ("input", "label", "group_by", "visits_of", "order_by")}
    for name, value in (requested | {"join": request.key}).items():
        if value and name not in KINDS[kind].columns:
            able = ", ".join(f"{other}:" for other, row in sorted(KINDS.items()) if name in row.columns)
            flag = name.replace("_", "-")
            raise UsageError(f"--{flag} names a column, which data of kind {kind!r} do not have: it goes with {able}")


def from_arrays(
    x_train: ArrayLike | Tensor,
    y_train: ArrayLike | Tensor,
    x_test: ArrayLike | Tensor | None = None,
    y_test: ArrayLike | Tensor | None = None,
    *,
    classes: tuple[str, ...] | None = None,
) -> DataSet:
    """Make a data set from arrays: images uint8 or float in [0, 1], N×H×W, N×C×H×W or N×H×W×C, and labels, N.

    Where a sample may have several labels, these are rows of 0 and 1, N×C. Augmentation is "none"; to choose another,
    use `dataclasses.replace(data, augment="crop-flip")`.

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
    from wcord.data.sources.arrays import array_source

    _require_classes(classes)
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    for name, values in arrays.items():
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
    twice = [(name, count) for name, count in Counter(classes or ()).items() if count > 1]
    if twice:
        raise UsageError(f"classes holds {twice[0][0]!r} {twice[0][1]} times: give each class a unique name")


def _require_rows(name: str, values: object) -> None:
    """Raise unless values can be an array of one entry or more for each sample."""
    try:
        dimensions = values.dim() if isinstance(values, Tensor) else np.ndim(values)  # pyright: ignore[reportArgumentType]
    except ValueError:
        raise UsageError(f"{name} holds rows of different lengths: give an array of one shape") from None
    if dimensions == 0:
        raise WrongTypeError(f"{name} must be an array, received {shown(values)}")
