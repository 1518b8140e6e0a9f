"""Sorts the parquet files of a folder into the splits of one data set, by their names or those of their folders."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wcord.checks import UsageError
from wcord.data.walk import FileKind, Skipped, files_below
from wcord.paths import require_folder

SPLITS = {
    "train": ("train", "training", "partial-train"),
    "test": ("test", "testing", "partial-test"),
    "validation": ("validation", "valid", "val", "dev", "eval", "partial-validation"),
}
"""Split → names of its files and folders."""
PARQUET = FileKind("parquet", frozenset({".parquet"}), ".parquet")
SHARD = re.compile(r"(?P<number>\d{1,6})-of-(?P<count>\d{1,6})")
IN_FOLDER = re.compile(r"(part|shard|data|file|chunk)?[-_.]?\d.*|data")
"""Names of files in a split's folder that do not repeat its name."""


@dataclass(frozen=True)
class ParquetFile:
    """A file of a split.

    Attributes:
        path: of the file.
        split: train, test or validation.
        place: the folder of its data set (a configuration of the hub), relative to the named folder.
    """

    path: Path
    split: str
    place: str


def find_splits(place: str) -> tuple[dict[str, list[Path]], tuple[str, ...]]:
    """Return the files of each split of the one data set in a folder, and a note on skipped files.

    A file belongs to a split by its name (train.parquet, train-00000-of-00002.parquet; not train_small-….parquet) or by
    a folder of that name (train/0000.parquet).

    Raises:
        UsageError: no such folder or no training files; several data sets; a missing part.
    """
    root = require_folder(place, "parquet folder")
    paths = files_below(root, PARQUET, Skipped())
    known = [file for path in paths if (file := _file_of(path, root)) is not None]
    places = sorted({file.place for file in known if file.split == "train"})
    if not places:
        names = ", ".join(str(path.relative_to(root)) for path in paths[:5]) or "no .parquet file"
        raise UsageError(
            f"parquet folder {place!r} needs files named train*.parquet; it holds {names}: name them so, or put "
            "them into a folder train"
        )
    if len(places) > 1:
        raise _several(place, places)
    splits: dict[str, list[Path]] = {}
    for split in SPLITS:
        files = [file for file in known if file.split == split]
        beside = [file.path for file in files if file.place == places[0]]
        elsewhere = {file.place for file in files}
        splits[split] = beside or ([file.path for file in files] if len(elsewhere) == 1 else [])
        if split != "validation" or not splits["test"]:
            _require_all_parts(place, split, splits[split])
    used = {path for paths in splits.values() for path in paths}
    return {split: paths for split, paths in splits.items() if paths}, _skipped_note(root, paths, used)


def _file_of(path: Path, root: Path) -> ParquetFile | None:
    """Return the split and data set of a file, or None where its name tells neither."""
    folders = path.relative_to(root).parts[:-1]
    stem = path.stem.lower()
    for split, names in SPLITS.items():
        if any(re.fullmatch(rf"{name}([-._]\d.*)?", stem) for name in names):
            inside = [folder for folder in folders if folder.lower() not in names]
            return ParquetFile(path, split, _place(inside))
    if not IN_FOLDER.fullmatch(stem):
        return None
    for split, names in SPLITS.items():
        at = next((i for i, folder in enumerate(folders) if folder.lower() in names), None)
        if at is not None:
            return ParquetFile(path, split, _place([*folders[:at], *folders[at + 1 :]]))
    return None


def _place(folders: Sequence[str]) -> str:
    """Return a data set's folder, without the parts of a partitioned table (year=2020)."""
    return "/".join(folder for folder in folders if "=" not in folder)


def _several(place: str, places: Sequence[str]) -> UsageError:
    named = [f"parquet:{place.rstrip('/')}/{name}" for name in places if name and Path(place, name).is_dir()]
    choice = f"choose one: {' | '.join(named)}" if len(named) == len(places) else "leave one of them there"
    shown = ", ".join(repr(name or ".") for name in places)
    return UsageError(f"parquet folder {place!r} holds training files of several configurations ({shown}): {choice}")


def _require_all_parts(place: str, split: str, paths: Sequence[Path]) -> None:
    """Raise if a split in parts (00000-of-00003) lacks one, or has parts of two versions."""
    shards = [match for path in paths if (match := SHARD.search(path.name)) is not None]
    counts = {int(shard["count"]) for shard in shards}
    if len(counts) > 1:
        shown = " and ".join(map(str, sorted(counts)))
        raise UsageError(f"parquet folder {place!r} holds a {split} split in {shown} parts: remove one version")
    numbers = [int(shard["number"]) for shard in shards]
    missing = sorted(set(range(max(counts, default=0))) - set(numbers))
    if missing:
        raise UsageError(
            f"parquet folder {place!r} lacks {len(missing)} of the {max(counts)} parts of its {split} split, the first "
            f"number {missing[0]:05d}: fetch it"
        )
    if len(numbers) > len(set(numbers)) or (shards and len(shards) < len(paths)):
        raise UsageError(f"parquet folder {place!r} holds a part of its {split} split twice: remove one of the two")


def _skipped_note(root: Path, paths: Sequence[Path], used: set[Path]) -> tuple[str, ...]:
    """Return a note on files of no split, or of another data set."""
    others = [str(path.relative_to(root)) for path in paths if path not in used]
    if not others:
        return ()
    more = ", …" if len(others) > 3 else ""
    return (f"skipped: {len(others)} parquet files ({', '.join(others[:3])}{more})",)
