"""Folders of files: a folder for each class, below train/ and test/ or directly."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wcord.checks import UsageError
from wcord.data.labels import in_order, number_labels
from wcord.data.names import composed, key_of, listed
from wcord.data.samples import ReadRequest, Samples, Source, all_rows
from wcord.data.sources.layout import Layout, find_layout
from wcord.data.stores import FileImages, ImageStore
from wcord.data.walk import FileKind, Skipped, files_below, files_in, folders_in, pictures, same_files
from wcord.paths import require_folder

Store = Callable[[list[Path]], ImageStore | Tensor]
Classes = dict[str, list[Path]]
"""Class name → its files."""


def folder_source(place: str, request: ReadRequest) -> Source:
    """Read the images in the class folders of the splits in `place`, or those of `place` itself.

    Splits are found by the usual names of their folders (see `layout`). Classes are numbered in the order of their
    folders' names, as in torchvision's ImageFolder, but whole numbers in the order of numbers (see `in_order`).

    Raises:
        UsageError: the folder does not exist, has no class folders, or one of them is empty.
    """
    return class_folders(place, pictures(), FileImages, request)


def class_folders(place: str, kind: FileKind, store: Store, request: ReadRequest) -> Source:
    """Read class folders of files of one kind.

    Args:
        place: the folder.
        kind: of the files.
        store: makes the store of some files.
        request: whether there are labels, and how classes are numbered.
    """
    root = require_folder(place, f"{kind.noun} folder")
    skipped = Skipped()
    layout = find_layout(root, kind, skipped, labels=not request.config.no_labels)
    read = _without_classes if request.config.no_labels else _with_classes
    source = read(layout, kind, store, request, skipped)
    notes = (*layout.notes, *skipped.note(kind), *source.notes)
    return replace(source, name=root.resolve().name, notes=notes)


def _with_classes(layout: Layout, kind: FileKind, store: Store, request: ReadRequest, skipped: Skipped) -> Source:
    files: dict[str, Classes] = {}
    notes: list[str] = []
    for split, folder in _splits(layout).items():
        files[split], more = _class_files(folder, kind, skipped)
        notes += more
    names, order = in_order({name for classes in files.values() for name in classes}, request.config.class_order)
    paths = {split: [path for name in sorted(classes) for path in classes[name]] for split, classes in files.items()}
    labels = {
        split: np.repeat(
            [names.index(name) for name in sorted(classes)], [len(classes[name]) for name in sorted(classes)]
        )
        for split, classes in files.items()
    }
    targets, names = number_labels(labels, names)
    samples = {
        split: _named(all_rows(store(paths[split]), targets[split]), paths[split], folder)
        for split, folder in _splits(layout).items()
    }
    notes = [*notes, *order, *_read_again(paths, kind)]
    return Source(samples["train"], samples.get("test"), names, "", notes=tuple(dict.fromkeys(notes)))


def _without_classes(layout: Layout, kind: FileKind, store: Store, request: ReadRequest, skipped: Skipped) -> Source:
    """Return all files at any depth below each split's folder."""
    samples: dict[str, Samples] = {}
    files: dict[str, list[Path]] = {}
    for split, folder in _splits(layout).items():
        files[split] = paths = files_below(folder, kind, skipped)
        if not paths:
            raise UsageError(
                f"{kind.noun} folder {str(folder)!r} holds no {kind.noun}s{_instead(skipped)}: put some in"
            )
        targets = torch.zeros(len(paths), dtype=torch.long)
        samples[split] = _named(all_rows(store(paths), targets), paths, folder)
    return Source(samples["train"], samples.get("test"), (), "", notes=tuple(_read_again(files, kind)))


def _splits(layout: Layout) -> dict[str, Path]:
    return {"train": layout.train} | ({} if layout.test is None else {"test": layout.test})


def _read_again(files: dict[str, list[Path]], kind: FileKind) -> list[str]:
    """Return notes on files that are samples twice, through links: in two classes, or in both splits."""
    paths = [path for of_split in files.values() for path in of_split]
    trained = len(files["train"])
    across, within = [], []
    for place, earlier in same_files(paths):
        (across if place >= trained > earlier else within).append((place, earlier))
    pairs_of = {
        f"of the {len(paths) - trained} test {kind.noun}s are training {kind.noun}s, too": across,
        f"of the {len(paths)} {kind.noun}s are read twice": within,
    }
    return [
        f"{len(pairs)} {what}: {str(paths[pairs[0][0]])!r} is the same file as {str(paths[pairs[0][1]])!r}"
        for what, pairs in pairs_of.items()
        if pairs
    ]


def _named(samples: Samples, paths: list[Path], folder: Path) -> Samples:
    """Return the samples with the names of their files."""
    return replace(samples, keys=np.array([key_of(path, folder) for path in paths], object), by_file=True)


def _class_files(root: Path, kind: FileKind, skipped: Skipped) -> tuple[Classes, list[str]]:
    """Return the files of each class, and notes."""
    folders = folders_in(root, skipped)
    if not folders:
        raise UsageError(
            f"{kind.noun} folder {str(root)!r} has no class folders: put the {kind.noun}s of each class in one"
        )
    skipped.beside += len(files_in(root, kind, skipped))
    classes: Classes = {}
    twice: list[str] = []
    for folder in folders:
        here = Skipped()
        files, name = files_below(folder, kind, here), composed(folder.name)
        if not files:
            raise UsageError(
                f"class folder {str(folder)!r} holds no {kind.noun}s{_instead(here)}: put some in it "
                f"({kind.examples}, …) or remove it"
            )
        skipped.add(here)
        twice += [name] if name in classes else []
        classes[name] = [*classes.get(name, []), *files]
    note = f"folders whose names are one and the same text in Unicode are one class: {listed(twice)}"
    return classes, [note] if twice else []


def _instead(skipped: Skipped) -> str:
    """Return a remark on the files that a folder holds instead."""
    return f" but other files ({skipped.by_ending})" if skipped.endings else ""
