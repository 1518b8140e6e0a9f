"""How one picture becomes numbers: opened upright, brought to the form of its data set, and named in messages."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from wcord.checks import LARGEST_SIDE, UsageError, require_number
from wcord.data.limits import require_pixels

# A user cannot mend oddities in the metadata of a camera, and pictures are opened in several threads, where a warning
# filter cannot be set temporarily.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")

_GRAY = frozenset({"1", "L", "LA"})
_DEEP = frozenset({"I", "I;16", "I;16B", "I;16L"})
DEEPEST = 65535
"""Largest value of 16 bits, which becomes 1."""
_NOTES = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
"""Where Pillow keeps the orientation of a picture."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Value of the tag → what brings the picture upright."""


@dataclass(frozen=True)
class Frame:
    """The size that whole pictures are fitted to, before any view; a network may resize its input further.

    >>> Frame.of("150x200", 0.875)
    Frame(height=150, width=200, fraction=0.875)
    >>> Frame(4, 4, 0.5).cover(10, 20), Frame(4, 4, 0.5).cover(8, 8)
    (((8, 16), (2, 6)), ((8, 8), (2, 2)))

    Attributes:
        height: in pixels.
        width: in pixels.
        fraction: share of a resized picture's side that is kept in its middle.
    """

    height: int
    width: int
    fraction: float = 1.0

    @classmethod
    def of(cls, image_size: int | str | None, fraction: float = 1.0) -> "Frame | None":
        """Return the frame of `--image-size` and `--crop-fraction`, or None without a size.

        Raises:
            UsageError: a size that is no whole number of pixels, a fraction outside (0, 1] or without a size.
        """
        require_number("crop_fraction", fraction, above=0, high=1)
        if image_size is None:
            if fraction != 1:
                raise UsageError("--crop-fraction needs --image-size: add it")
            return None
        height, cross, width = str(image_size).partition("x")
        sides = (height, width if cross else height)
        if not all(side.removeprefix("-").isdecimal() for side in sides):
            raise UsageError(
                f"image_size takes pixels a side, such as 64, or height×width, such as 150x200; received {image_size!r}"
            )
        for side in sides:
            require_number("image_size", int(side), low=1, high=LARGEST_SIDE, whole=True)
        require_pixels(int(sides[0]), int(sides[1]), "with this image_size, a picture would have")
        return cls(int(sides[0]), int(sides[1]), fraction)

    @property
    def image_size(self) -> int | str:
        """The size as `--image-size` takes it."""
        return self.height if self.height == self.width else f"{self.height}x{self.width}"

    def __str__(self) -> str:
        """Return the frame in words: `150×200 pixels, the middle 0.875 of a larger picture`."""
        kept = "" if self.fraction == 1 else f", the middle {self.fraction:g} of each side"
        return f"{self.height}×{self.width} pixels{kept}"

    def cover(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the size that a picture is resized to, (height, width), and the origin of its center, (top, left).

        It keeps its proportions and just covers the frame divided by the fraction; the rest is cropped.

        Raises:
            UsageError: it would have too many pixels, like a picture of 1×100,000 pixels made 224 pixels wide.
        """
        scale = max(self.width / width, self.height / height) / self.fraction
        tall, wide = max(self.height, round(height * scale)), max(self.width, round(width * scale))
        require_pixels(tall, wide, "resized, it would have")
        return (tall, wide), ((tall - self.height) // 2, (wide - self.width) // 2)


@dataclass(frozen=True)
class Form:
    """The common form of the images of a set: gray of 8 or 16 bits or color, and one size in pixels (see `Frame`)."""

    mode: Literal["L", "I;16", "RGB"]
    height: int
    width: int
    fraction: float = 1.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return (3 if self.mode == "RGB" else 1, self.height, self.width)

    @property
    def frame(self) -> Frame:
        """Size and fraction alone."""
        return Frame(self.height, self.width, self.fraction)

    @property
    def dtype(self) -> type[np.uint8] | type[np.float32]:
        """Type of a decoded image: bytes or, of 16 bits, floating point in [0, 1]."""
        return np.float32 if self.mode == "I;16" else np.uint8

    @property
    def bytes(self) -> int:
        """Bytes of a decoded value."""
        return np.dtype(self.dtype).itemsize


class BadImageError(Exception):
    """An image that cannot be read; the text is Pillow's reason."""


class UnreadableError(UsageError):
    """An image of the data that cannot be read.

    Args:
        name: what to call the image.
        reason: why.
    """

    def __init__(self, name: str, reason: str) -> None:
        self.fault = f"{name} cannot be read ({reason})"
        self._arguments = name, reason
        super().__init__(f"{self.fault}: replace it, remove it or add --skip-bad-images")

    def __reduce__(self) -> tuple[type["UnreadableError"], tuple[str, str]]:
        return UnreadableError, self._arguments  # it comes from other processes


def kind_of(mode: str) -> Literal["L", "I;16", "RGB"]:
    """Return which form suits a Pillow mode: a single channel of 8 or 16 bits, or color."""
    return "L" if mode in _GRAY else "I;16" if mode in _DEEP else "RGB"


def open_upright(opened: Callable[[], Image.Image], name: str) -> Image.Image:
    """Open an image and turn it upright, by the orientation in its metadata.

    Args:
        opened: returns the image, or raises as Pillow does.
        name: what to call the image in a message.

    Raises:
        BadImageError: it cannot be opened.
        UsageError: it holds floating-point numbers, of unknown scale.
    """
    try:
        image = opened()
        turn = _TURNS.get(_orientation(image))
        image = image if turn is None else image.transpose(turn)
    except Exception as error:  # damaged files raise nearly anything in Pillow
        raise BadImageError(_reason(error)) from error
    if image.mode == "F":
        raise UsageError(f"{name} holds floating-point numbers of unknown scale: save it with 8 or 16 bits a channel")
    return image


def _orientation(image: Image.Image) -> int:
    """Return the orientation in the metadata, 1 where there is none or it cannot be read.

    No other metadata are read: they may be damaged. TIFF files are turned by Pillow itself.
    """
    if image.format == "TIFF" or not any(name in image.info for name in _NOTES):
        return 1  # looking would cost as much as decoding a small picture
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1


Box = tuple[int, int, int, int]
"""Left, upper, right and lower edge of a part of a picture, in pixels, as Pillow takes them."""


def decode(image: Image.Image, form: Form, box: Box | None = None) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Return the pixels of an opened image in the form of its set, C×H×W, or of a part of it.

    Transparency is dropped, palettes and CMYK become RGB; an image of another size is fitted by `fit`. 16 bits become
    floating-point numbers, 65,535 being 1; so do 8 bits, 255 being 1, among images of 16. 16 bits among images of 8
    are scaled to these. An image of 8 bits gives the same numbers in every set.

    >>> decode(Image.new("RGB", (40, 20), (255, 0, 0)), Form("RGB", 8, 8))[:, 0, 0]
    array([255,   0,   0], dtype=uint8)

    Raises:
        BadImageError: the pixels are damaged.
    """
    try:
        if image.mode in _DEEP:
            deep = np.asarray(fit(_deep(image), form.frame, box), np.float32)[None]
            if form.mode == "I;16":
                return deep
            # The form was chosen without seeing this image, and Pillow would clip values above 255.
            return (deep * 255).round().astype(np.uint8).repeat(form.shape[0], axis=0)
        mode = "RGB" if form.mode == "RGB" else "L"
        pixels = np.asarray(fit(image if image.mode == mode else image.convert(mode), form.frame, box))
    except Exception as error:  # as above
        raise BadImageError(_reason(error)) from error
    if form.mode == "I;16":
        return np.divide(pixels, 255, dtype=np.float32)[None]
    return pixels[None] if form.mode == "L" else pixels.transpose(2, 0, 1)


def _deep(image: Image.Image) -> Image.Image:
    """Return an image of 16 bits as floating-point numbers in [0, 1], in which resizing loses no bits."""
    values = np.asarray(image.convert("I"), np.float32)
    if values.min() < 0 or values.max() > DEEPEST:
        raise ValueError(f"values {values.min():.0f} … {values.max():.0f} do not fit 16 bits")
    return Image.fromarray(values / DEEPEST)


def fit(image: Image.Image, frame: Frame, box: Box | None = None) -> Image.Image:
    """Resize, with antialiasing, until the image just covers the frame (over its fraction), then crop its center.

    For a square frame the shorter side becomes the frame's side, as in the usual evaluation of ImageNet models with a
    fraction of 0.875. A part, `box`, is stretched over the frame instead.
    """
    if box is not None:
        return image.crop(box).resize((frame.width, frame.height), Image.Resampling.BILINEAR)
    if image.size == (frame.width, frame.height) and frame.fraction == 1:
        return image
    (height, width), (top, left) = frame.cover(image.height, image.width)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + frame.width, top + frame.height))


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "the file is missing"
    if isinstance(error, PermissionError):
        return "no permission"
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return "not an image, or damaged" if text.startswith("cannot identify image file") else text
