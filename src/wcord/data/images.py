"""How one picture becomes numbers: opened upright, brought to the form of its set, and named when it cannot be."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from wcord.checks import UsageError

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
"""What Pillow raises for a file that is truncated, of another kind, or damaged in its middle."""

_GREY = frozenset({"1", "L", "LA"})
_WITH_ORIENTATION = frozenset({"JPEG", "MPO", "TIFF", "WEBP"})


@dataclass(frozen=True)
class Form:
    """What every image of a set is brought to: grey or colour, and one size in pixels."""

    mode: Literal["L", "RGB"]
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return (1 if self.mode == "L" else 3, self.height, self.width)


class BadImageError(Exception):
    """An image that cannot be read; the text is the reason that Pillow gave."""


def is_grey(mode: str) -> bool:
    """Tell whether a Pillow mode has a single channel beside transparency."""
    return mode in _GREY


def open_upright(opened: Callable[[], Image.Image], name: str) -> Image.Image:
    """Open an image and turn it the way that its camera noted.

    Args:
        opened: gives the image, and may fail as Pillow does.
        name: what to call the image in a message.

    Raises:
        BadImageError: it cannot be opened.
        UsageError: its channels have more than 8 bits, which scaling to [0, 1] would have to guess about.
    """
    try:
        image = opened()
        if image.format in _WITH_ORIENTATION:  # others carry none, and asking costs as much as decoding a small one
            image = ImageOps.exif_transpose(image)
    except UNREADABLE as error:
        raise BadImageError(_reason(error)) from error
    if image.mode == "F" or image.mode.startswith("I"):
        raise UsageError(
            f"{name} has 16 or more bits a channel (mode {image.mode!r}), which is not supported yet: "
            "save the images with 8 bits a channel"
        )
    return image


def decode(image: Image.Image, form: Form) -> NDArray[np.uint8]:
    """Return the pixels of an opened image in the form of its set, C×H×W.

    Transparency is dropped, palettes and CMYK become RGB; an image of another size is fitted by `fit`.

    >>> decode(Image.new("RGB", (40, 20), (255, 0, 0)), Form("RGB", 8, 8))[:, 0, 0]
    array([255,   0,   0], dtype=uint8)

    Raises:
        BadImageError: the pixels are damaged.
    """
    try:
        pixels = np.asarray(fit(image if image.mode == form.mode else image.convert(form.mode), form))
    except UNREADABLE as error:
        raise BadImageError(_reason(error)) from error
    return pixels[None] if form.mode == "L" else pixels.transpose(2, 0, 1)


def fit(image: Image.Image, form: Form) -> Image.Image:
    """Resize, with antialiasing, until the image just covers the form, then crop its centre.

    For a square form the shorter side becomes the form's side, as in the usual evaluation of ImageNet models.
    """
    if image.size == (form.width, form.height):
        return image
    scale = max(form.width / image.width, form.height / image.height)
    width, height = max(form.width, round(image.width * scale)), max(form.height, round(image.height * scale))
    left, top = (width - form.width) // 2, (height - form.height) // 2
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + form.width, top + form.height))


def bad_image(name: str, reason: str) -> UsageError:
    """Return the error for one image that cannot be read."""
    return UsageError(
        f"{name} cannot be read ({reason}): replace it or remove it, or go on without such images by --skip-bad-images"
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "the file is gone"
    if isinstance(error, PermissionError):
        return "no permission"
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return "not an image, or damaged" if text.startswith("cannot identify image file") else text
