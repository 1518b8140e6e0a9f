"""Folders of files: one folder for each class, below train/ and test/ or directly."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wcord.checks import UsageError, require_folder
from wcord.data.labels import in_order, number_labels
from wcord.data.names import composed, key_of, listed
from wcord.data.samples import ReadRequest, Samples, Source, all_rows
from wcord.data.sources.layout import Layout, find_layout
from wcord.data.stores import FileImages, ImageStore
from wcord.data.walk import Kind, PassedOver, files_below, files_in, folders_in, pictures, same_files

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


def class_folders(place: str, kind: Kind, store: Store, request: ReadRequest) -> Source:
    """Read class folders of files of one kind.

    Args:
        place: the folder.
        kind: which files count.
        store: from files to what a split reads.
        request: whether there are labels, and in which order classes are numbered.
    """
    root = require_folder(place, f"{kind.noun} folder")
    passed = PassedOver()
    layout = find_layout(root, kind, passed, labels=not request.config.no_labels)
    read = _without_classes if request.config.no_labels else _with_classes
    source = read(layout, kind, store, request, passed)
    notes = (*layout.notes, *passed.note(kind), *source.notes)
    return replace(source, name=root.resolve().name, notes=notes)


def _with_classes(layout: Layout, kind: Kind, store: Store, request: ReadRequest, passed: PassedOver) -> Source:
    files: dict[str, Classes] = {}
    notes: list[str] = []
    for split, folder in _splits(layout).items():
        files[split], more = _class_files(folder, kind, passed)
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


def _without_classes(layout: Layout, kind: Kind, store: Store, request: ReadRequest, passed: PassedOver) -> Source:
    """Return all files below each split's folder, however they lie there."""
    samples: dict[str, Samples] = {}
    files: dict[str, list[Path]] = {}
    for split, folder in _splits(layout).items():
        files[split] = paths = files_below(folder, kind, passed)
        if not paths:
            raise UsageError(f"{kind.noun} folder {str(folder)!r} holds no {kind.noun}s{_instead(passed)}: put some in")
        targets = torch.zeros(len(paths), dtype=torch.long)
        samples[split] = _named(all_rows(store(paths), targets), paths, folder)
    return Source(samples["train"], samples.get("test"), (), "", notes=tuple(_read_again(files, kind)))


def _splits(layout: Layout) -> dict[str, Path]:
    return {"train": layout.train} | ({} if layout.test is None else {"test": layout.test})


def _read_again(files: dict[str, list[Path]], kind: Kind) -> list[str]:
    """Tell of files that links make samples twice: of two classes, or of both splits."""
    paths = [path for of_split in files.values() for path in of_split]
    trained = len(files["train"])
    across, within = [], []
    for place, earlier in same_files(paths):
        (across if place >= trained > earlier else within).append((place, earlier))
    told = {
        f"of the {len(paths) - trained} test {kind.noun}s are training {kind.noun}s, too": across,
        f"of the {len(paths)} {kind.noun}s are read twice": within,
    }
    return [
        f"{len(pairs)} {what}: {str(paths[pairs[0][0]])!r} is the same file as {str(paths[pairs[0][1]])!r}"
        for what, pairs in told.items()
        if pairs
    ]


def _named(samples: Samples, paths: list[Path], folder: Path) -> Samples:
    """Return the samples with the names of their files."""
    return replace(samples, keys=np.array([key_of(path, folder) for path in paths], object), by_file=True)


def _class_files(root: Path, kind: Kind, passed: PassedOver) -> tuple[Classes, list[str]]:
    """Return the files of each class, and notes."""
    folders = folders_in(root, passed)
    if not folders:
        raise UsageError(
            f"{kind.noun} folder {str(root)!r} has no class folders: put the {kind.noun}s of each class in one"
        )
    passed.beside += len(files_in(root, kind, passed))
    classes: Classes = {}
    twice: list[str] = []
    for folder in folders:
        here = PassedOver()
        files, name = files_below(folder, kind, here), composed(folder.name)
        if not files:
            raise UsageError(
                f"class folder {str(folder)!r} holds no {kind.noun}s{_instead(here)}: put some in it "
                f"({kind.examples}, …) or remove it"
            )
        passed.add(here)
        twice += [name] if name in classes else []
        classes[name] = [*classes.get(name, []), *files]
    note = f"folders whose names are one and the same text in Unicode are one class: {listed(twice)}"
    return classes, [note] if twice else []


def _instead(passed: PassedOver) -> str:
    """Say what a folder holds in place of what is looked for."""
    return f" but other files ({passed.by_ending})" if passed.endings else ""
