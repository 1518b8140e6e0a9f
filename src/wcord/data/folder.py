"""Folders of files: one folder for each class, below train/ and test/ or directly."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wcord.checks import UsageError
from wcord.data.config import Columns
from wcord.data.labels import number_labels
from wcord.data.samples import Samples, Source, all_rows
from wcord.data.stores import FileImages, ImageStore

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm"})
TEST_FOLDERS = ("test", "val", "validation", "valid")
"""In this order; the first that exists is the test split."""


def folder_source(place: str, columns: Columns) -> Source:
    """Read the images in the class folders of `place`/train and `place`/test (or val), or those of `place` itself.

    Classes are numbered in the order of their folders' names, as in torchvision's ImageFolder.

    Raises:
        UsageError: the folder does not exist, has no class folders, or one of them is empty.
    """
    return class_folders(place, "image", SUFFIXES, FileImages, columns)


def class_folders(
    place: str,
    what: str,
    suffixes: frozenset[str],
    store: Callable[[list[Path]], ImageStore | Tensor],
    columns: Columns,
) -> Source:
    """Read class folders of files of one kind.

    Args:
        place: the folder.
        what: image or sound, for messages.
        suffixes: of the files that count.
        store: from files to what a split reads.
        columns: whether the names of the files are asked for.
    """
    root = Path(place)
    if not root.is_dir():
        raise UsageError(f"{what} folder {place!r} does not exist: check the path")
    inside = {path.name.lower(): path for path in _folders(root)}
    test = next((inside[name] for name in TEST_FOLDERS if name in inside), None)
    if "train" not in inside and test is not None and len(inside) <= len(TEST_FOLDERS):
        raise UsageError(f"{what} folder {place!r} has {test.name!r} but no 'train' folder: add one")
    roots = {"train": inside.get("train", root)}
    if "train" in inside and test is not None:
        roots["test"] = test
    if not columns.labels:
        return _without_classes(roots, root.resolve().name, what, suffixes, store, columns)
    files = {split: _class_files(folder, what, suffixes) for split, folder in roots.items()}
    names = tuple(sorted({name for classes in files.values() for name in classes}))
    paths = {split: [path for name in sorted(classes) for path in classes[name]] for split, classes in files.items()}
    labels = {
        split: np.repeat(
            [names.index(name) for name in sorted(classes)], [len(classes[name]) for name in sorted(classes)]
        )
        for split, classes in files.items()
    }
    targets, names = number_labels(labels, names)
    samples = {
        split: _named(all_rows(store(paths[split]), targets[split]), paths[split], folder, columns)
        for split, folder in roots.items()
    }
    return Source(samples["train"], samples.get("test"), names, root.resolve().name)


def _without_classes(
    roots: dict[str, Path],
    name: str,
    what: str,
    suffixes: frozenset[str],
    store: Callable[[list[Path]], ImageStore | Tensor],
    columns: Columns,
) -> Source:
    """Return all files below each split's folder, however they lie there."""
    samples: dict[str, Samples] = {}
    for split, folder in roots.items():
        paths = files_below(folder, suffixes)
        if not paths:
            raise UsageError(f"{what} folder {str(folder)!r} holds no {what}s: put some in it")
        targets = torch.zeros(len(paths), dtype=torch.long)
        samples[split] = _named(all_rows(store(paths), targets), paths, folder, columns)
    return Source(samples["train"], samples.get("test"), (), name)


def _named(samples: Samples, paths: list[Path], folder: Path, columns: Columns) -> Samples:
    """Return the samples with the names of their files, where those are asked for."""
    if not columns.files:
        return samples
    return replace(samples, keys=np.array([path.relative_to(folder).with_suffix("").as_posix() for path in paths]))


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _class_files(root: Path, what: str, suffixes: frozenset[str]) -> dict[str, list[Path]]:
    classes = {folder.name: files_below(folder, suffixes) for folder in _folders(root)}
    if not classes:
        raise UsageError(f"{what} folder {str(root)!r} has no class folders: put the {what}s of each class in one")
    for name, files in classes.items():
        if not files:
            raise UsageError(
                f"class folder {str(root / name)!r} holds no {what}s: put some in it "
                f"({', '.join(sorted(suffixes)[:3])}, …) or remove it"
            )
    return classes


def files_below(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    """Return the files of some kinds below a folder, sorted; hidden ones are left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
    )
