"""Image folders: one folder for each class, below train/ and test/ or directly."""

from pathlib import Path

import numpy as np

from wcord.checks import UsageError
from wcord.data.labels import number_labels
from wcord.data.samples import Source, all_rows
from wcord.data.stores import FileImages

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm"})
TEST_FOLDERS = ("test", "val", "validation", "valid")
"""In this order; the first that exists is the test split."""


def folder_source(place: str) -> Source:
    """Read the class folders of `place`/train and `place`/test (or val), or those of `place` itself.

    Classes are numbered in the order of their folders' names, as in torchvision's ImageFolder.

    Raises:
        UsageError: the folder does not exist, has no class folders, or one of them is empty.
    """
    root = Path(place)
    if not root.is_dir():
        raise UsageError(f"image folder {place!r} does not exist: check the path")
    inside = {path.name.lower(): path for path in _folders(root)}
    test = next((inside[name] for name in TEST_FOLDERS if name in inside), None)
    if "train" not in inside and test is not None and len(inside) <= len(TEST_FOLDERS):
        raise UsageError(f"image folder {place!r} has {test.name!r} but no 'train' folder: add one")
    roots = {"train": inside.get("train", root)}
    if "train" in inside and test is not None:
        roots["test"] = test
    files = {split: _class_files(folder) for split, folder in roots.items()}
    names = tuple(sorted({name for classes in files.values() for name in classes}))
    paths = {split: [path for name in sorted(classes) for path in classes[name]] for split, classes in files.items()}
    labels = {
        split: np.repeat(
            [names.index(name) for name in sorted(classes)], [len(classes[name]) for name in sorted(classes)]
        )
        for split, classes in files.items()
    }
    targets, names = number_labels(labels, names)
    samples = {split: all_rows(FileImages(paths[split]), targets[split]) for split in roots}
    return Source(samples["train"], samples.get("test"), names, root.resolve().name)


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _class_files(root: Path) -> dict[str, list[Path]]:
    classes = {folder.name: image_files(folder) for folder in _folders(root)}
    if not classes:
        raise UsageError(f"image folder {str(root)!r} has no class folders: put the images of each class in one")
    for name, files in classes.items():
        if not files:
            raise UsageError(
                f"class folder {str(root / name)!r} holds no images: put some in it (.jpg, .png, …) or remove it"
            )
    return classes


def image_files(folder: Path) -> list[Path]:
    """Return the image files below a folder, sorted; hidden ones are left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
