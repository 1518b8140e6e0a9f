"""Pictures outside of any data set: found in folders, and read in the form that a network wants."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from wcord.checks import UsageError
from wcord.data.augment import to_unit
from wcord.data.images import BadImageError, Form, decode, kind_of, open_upright
from wcord.data.view import COLOUR

SUFFIXES = frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN)


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """Return the pictures among files and below folders, each folder's in order of name.

    Raises:
        UsageError: where a path does not exist, or a folder holds no picture.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
            if not inside:
                raise UsageError(f"folder {str(path)!r} holds no picture: name another")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise UsageError(f"picture {str(path)!r} does not exist: check the path")
    return found


def read_picture(path: Path, shape: tuple[int, int, int]) -> Tensor:
    """Return one picture as floats in [0, 1], 1×C×H×W, resized and cropped to `shape` (C, H, W).

    Raises:
        UsageError: where the file is no picture, or is damaged.
    """
    channels, height, width = shape
    name = f"picture {str(path)!r}"
    try:
        image = open_upright(lambda: Image.open(path), name)
        kind = kind_of(image.mode)
        mode = "RGB" if channels == COLOUR else "I;16" if kind == "I;16" else "L"
        pixels = decode(image, Form(mode, height, width))
    except BadImageError as error:
        raise UsageError(f"{name} cannot be read ({error}): leave it out") from None
    return to_unit(torch.from_numpy(pixels.copy()).unsqueeze(0))
