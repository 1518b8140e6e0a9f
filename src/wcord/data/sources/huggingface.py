"""Tables read by Hugging Face datasets: parquet folders and data sets of the hub."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast
from uuid import uuid4

import datasets
import numpy as np
import pyarrow
from datasets import ClassLabel, Features, Value
from datasets import config as datasets_config
from datasets.exceptions import DatasetGenerationError, DatasetsError
from datasets.table import InMemoryTable, table_cast
from pyarrow import parquet

from wcord.checks import UsageError, unknown
from wcord.data.label_values import LABEL_NAMES, Labels, as_labels, unlabeled
from wcord.data.labels import no_labels, number_labels
from wcord.data.names import key_of
from wcord.data.samples import ReadRequest, Source, all_rows, named_by
from wcord.data.sources.parquet_files import find_splits
from wcord.data.stores import ColumnImages

MEMORY_LIMIT = 4 * 2**30
"""Unpacked bytes of a parquet folder up to which it is read into memory; a larger one is copied to the disk."""
TEST_SPLITS = ("test", "validation", "valid", "val")
"""In this order; the first that exists and is labeled is the test split."""


def parquet_source(place: str, request: ReadRequest) -> Source:
    """Read the parquet files of one data set in a folder, as on the hub: see `parquet_files.find_splits`.

    Raises:
        UsageError: no such folder or files, unreadable files, or ambiguous columns.
    """
    files, notes = find_splits(place)
    with _quiet(f"parquet folder {place!r}"):
        size = sum(_unpacked(path) for paths in files.values() for path in paths)
        if size <= MEMORY_LIMIT:
            tables = _in_memory(files)
        else:
            # The library's own format has random access to rows; parquet files have not.
            notes = (
                *notes,
                f"the parquet files, {size / 2**30:.1f} GiB, are copied to {datasets_config.HF_DATASETS_CACHE}",
            )
            tables = datasets.load_dataset(
                "parquet", data_files={split: [str(path.resolve()) for path in paths] for split, paths in files.items()}
            )
    source = table_source(tables, Path(place).resolve().name, request)
    return replace(source, notes=(*notes, *source.notes))


def _unpacked(path: Path) -> int:
    """Return the bytes of memory that a parquet file takes."""
    about = parquet.read_metadata(path)
    return max(path.stat().st_size, sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups)))


def _in_memory(files: Mapping[str, Sequence[Path]]) -> datasets.DatasetDict:
    """Return the tables of a folder in memory, without a copy on the disk."""
    tables: dict[str, datasets.Dataset] = {}
    features: datasets.Features | None = None
    for split, paths in files.items():
        parts = [parquet.ParquetFile(path).read() for path in paths]
        if features is None or set(features) != set(parts[0].column_names):
            features = datasets.Features.from_arrow_schema(parts[0].schema)
        whole = pyarrow.concat_tables([table_cast(part, features.arrow_schema) for part in parts])
        # Without a fingerprint, the library would hash the content.
        tables[split] = datasets.Dataset(InMemoryTable(whole), fingerprint=uuid4().hex)
    return datasets.DatasetDict(**tables)


def hub_source(name: str, request: ReadRequest) -> Source:
    """Load a data set of the hub, `NAME` or `NAME@CONFIGURATION`, or a local folder that `load_dataset` understands.

    Raises:
        UsageError: it cannot be found or loaded, has no train split, or ambiguous columns.
    """
    repository, _, configuration = name.partition("@")
    with _quiet(f"hub data set {name!r}"):
        tables = datasets.load_dataset(repository, configuration or None)
    return table_source(tables, repository.rstrip("/").rsplit("/", 1)[-1], request)


def table_source(tables: object, name: str, request: ReadRequest) -> Source:
    """Find the splits, the columns and the classes of loaded tables; images stay encoded."""
    if not isinstance(tables, datasets.DatasetDict) or "train" not in tables:
        splits = ", ".join(map(str, tables)) if isinstance(tables, datasets.DatasetDict) else type(tables).__name__
        raise UsageError(f"data set {name!r} has no split named 'train'; it has {splits}")
    features = tables["train"].features
    image = image_column(features, request.config.input)
    label = label_column(features, request.config.label, image) if not request.config.no_labels else None
    others = {column for column in (request.key, request.config.group_by) if column is not None}
    for column in others:
        require_column(features, column)
    chosen, origin = {"train": tables["train"]}, {"train": "train"}
    labels = {"train": _labels(tables["train"], label)}
    needed = {image, *others} if label is None else {image, label, *others}
    for split in TEST_SPLITS:
        if split in tables and needed <= set(tables[split].column_names):
            if request.partial and tables[split].data.column(image).null_count == len(tables[split]):
                continue
            values = _labels(tables[split], label)
            bare = unlabeled(values, labels["train"])
            if len(values) and bare < len(values) and not (bare and request.partial):
                chosen["test"], labels["test"], origin["test"] = tables[split], values, split
                break
    names = None if label is None else class_names(features, label)
    targets, classes = number_labels(labels, names, what="label" if label is None else f"label column {label!r}")
    files = {split: None if request.key else _files(table, image) for split, table in chosen.items()}
    samples = {
        split: replace(
            all_rows(ColumnImages(_encoded(table, image), image, origin[split]), targets[split]),
            keys=files[split] if request.key is None else _names(table, request.key),
            by_file=files[split] is not None,
            groups=None if request.config.group_by is None else _names(table, request.config.group_by),
        )
        for split, table in chosen.items()
    }
    return Source(samples["train"], samples.get("test"), classes, name, columns=request.config.input)


def _labels(table: datasets.Dataset, column: str | None) -> Labels:
    return no_labels(len(table)) if column is None else _column(table, column)


def _column(table: datasets.Dataset, column: str) -> Labels:
    values = as_labels(table.with_format("arrow")[:][column].to_pylist())
    return values.astype(np.int64) if values.dtype.kind == "b" else values


def _names(table: datasets.Dataset, column: str) -> Labels:
    """Return the values of a column that names samples or their groups, as text."""
    return named_by(column, _column(table, column).tolist())


def _files(table: datasets.Dataset, image: str) -> Labels | None:
    """Return the file names of the images, if each row has a different one."""
    column = table.data.column(image)
    if not str(column.type).startswith("struct<") or column.type.get_field_index("path") < 0:
        return None
    paths = [path for chunk in column.chunks for path in chunk.field("path").to_pylist()]
    if None in paths or len(set(paths)) < len(paths):
        return None
    return np.array([key_of(Path(path.replace("\\", "/").lstrip("/")), Path()) for path in paths], object)


def _encoded(table: datasets.Dataset, image: str) -> datasets.Dataset:
    try:
        return table.cast_column(image, datasets.Image(decode=False))
    except (TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"column {image!r} does not hold images ({reason}): choose the image column by --input"
        ) from None


@contextmanager
def _quiet(what: str) -> Iterator[None]:
    """Load without the library's progress bars, and report its errors in one line."""
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        cause = error.__cause__ if isinstance(error, DatasetGenerationError) else error
        lines = str(cast("BaseException", cause or error)).strip().splitlines() or [type(error).__name__]
        check = "check the name, the files and, for the hub, the connection"
        if lines[0].startswith("Config name is missing"):
            check = "name a configuration after the name of the data set, as in hub:NAME@CONFIGURATION"
            lines[0] = " ".join(line.strip() for line in lines[:2])
        raise UsageError(f"{what} cannot be loaded ({lines[0]}): {check}") from None
    finally:
        if shown:
            datasets.enable_progress_bars()


def image_column(features: Features, chosen: Sequence[str]) -> str:
    """Return the image column: the requested one, else the only one.

    Raises:
        UsageError: there is none, or there are several.
    """
    if len(chosen) > 1:
        raise UsageError(f"one image column can be the input, received {' and '.join(chosen)}: choose one of them")
    if chosen:
        return _existing("image", features, chosen[0])
    images = [name for name, feature in features.items() if _is_image(feature)]
    if len(images) == 1:
        return images[0]
    if images:
        raise UsageError(f"the data has several image columns, choose one: --input {' | '.join(images)}")
    raise UsageError(f"the data has no image column; its columns: {', '.join(features)}")


def label_column(features: Features, chosen: str | None, image: str) -> str:
    """Return the label column: the requested one, else the only one that holds classes.

    Columns declared as class labels come first; where there are none, whole numbers, truth values and text; else the
    one that is called a label.

    Raises:
        UsageError: there is none, or there are several.
    """
    if chosen is not None:
        return _existing("label", features, chosen)
    declared = [name for name, feature in features.items() if isinstance(feature, ClassLabel)]
    labels = declared or [name for name, feature in features.items() if name != image and _could_be_label(feature)]
    named = [name for name in labels if name.lower() in LABEL_NAMES]
    if len(labels) == 1 or (len(named) == 1 and not declared):
        return (named or labels)[0]
    if labels:
        raise UsageError(f"the data has several label columns, choose one: --label {' | '.join(labels)}")
    # A column of fractions, or of several labels: the numbering of labels reports the problem.
    named = [name for name in features if name != image and name.lower() in LABEL_NAMES]
    if len(named) == 1:
        return named[0]
    raise UsageError(f"the data has no label column; its columns: {', '.join(features)}")


def require_column(features: Features, name: str) -> None:
    """Raise unless the table has a column."""
    _existing("table", features, name)


def class_names(features: Features, label: str) -> list[str] | None:
    """Return the class names that the table declares, or None."""
    feature = features[label]
    return list(feature.names) if isinstance(feature, ClassLabel) else None


def _existing(kind: str, features: Features, chosen: str) -> str:
    if chosen not in features:
        raise unknown(f"{kind} column", chosen, features)
    return chosen


def _is_image(feature: object) -> bool:
    """Tell an image column, also in a file without the hub's metadata: raw bytes, or bytes beside a path."""
    if isinstance(feature, dict):
        return set(feature) == {"bytes", "path"}
    return isinstance(feature, datasets.Image) or (isinstance(feature, Value) and "binary" in feature.dtype)


def _could_be_label(feature: object) -> bool:
    return isinstance(feature, Value) and (
        feature.dtype.startswith(("int", "uint", "bool")) or "string" in feature.dtype
    )
