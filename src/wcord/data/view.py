"""Views: what a network sees of a record, as named operations on a whole batch.

A view comes after decoding and augmentation, so that both networks see the same crop of a picture.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.checks import LARGEST_SIDE, UsageError, require_choice
from wcord.data.limits import require_pixels

COLOR = 3
Operation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class View:
    """A sequence of operations on images in [0, 1], B×C×H×W; an empty one changes nothing.

    >>> view = View.parse("gray,resize=4")
    >>> view(torch.ones(2, 3, 8, 8)).shape, view.shape((3, 8, 8))
    (torch.Size([2, 1, 4, 4]), (1, 4, 4))

    Attributes:
        text: the operations by name.
    """

    text: str = ""

    @classmethod
    def parse(cls, text: str | None) -> "View":
        """Return the view for a text such as `gray,resize=16`.

        Raises:
            UsageError: an unknown operation, or an invalid value.
        """
        parts = [part.strip() for part in text.split(",")] if text else []
        if not all(parts):
            raise UsageError(f"view {text!r} has an empty step: name one on each side of a comma, as in gray,resize=16")
        view = cls(",".join(parts))
        _operations(view.text)
        return view

    def then(self, other: "View") -> "View":
        """Return this view followed by another."""
        return View(",".join(text for text in (self.text, other.text) if text))

    def fitted(self, shape: tuple[int, int, int], channels: int) -> "View":
        """Return the view for a network with this many input channels, converting gray and color first if needed.

        >>> View.parse("resize=4").fitted((1, 8, 8), 3).text, View.parse("lab-l").fitted((3, 8, 8), 1).text
        ('rgb,resize=4', 'lab-l')

        Args:
            shape: channels, height and width of the records.
            channels: of the network's input; if no view has as many, this view is returned unchanged.
        """
        for first in ("", "rgb", "gray"):
            view = View(first).then(self)
            try:
                if view.shape(shape)[0] == channels:
                    return view
            except UsageError:
                continue
        return self

    def __bool__(self) -> bool:
        """Return whether there are operations."""
        return bool(self.text)

    def __call__(self, images: Tensor) -> Tensor:
        """Return the view of images, floating point in [0, 1]."""
        for operation in _operations(self.text):
            images = operation(images)
        return images

    def shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return channels, height and width of the view of images with a shape.

        Raises:
            UsageError: an operation does not apply to such images.
        """
        channels, height, width = self(torch.empty(1, *shape, device="meta")).shape[1:]  # takes no memory
        return channels, height, width


@lru_cache(maxsize=64)
def _operations(text: str) -> tuple[Operation, ...]:
    return tuple(_operation(part) for part in text.split(",") if part)


def _operation(part: str) -> Operation:
    name, equals, value = part.partition("=")
    require_choice("view", name, (*PLAIN, *SIZED))
    if name in PLAIN:
        if equals:
            raise UsageError(f"view {name!r} takes no value, received {part!r}")
        return PLAIN[name]
    if not equals:
        raise UsageError(f"view {name!r} needs a value, for instance {name}=16")
    return SIZED[name](value)


def _resize(value: str) -> Operation:
    size = _size("resize", value)

    def resize(images: Tensor) -> Tensor:
        _pictures("resize", images)
        if images.shape[-2:] == size:
            return images
        return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)

    return resize


def _crop(value: str) -> Operation:
    height, width = _size("crop", value)

    def crop(images: Tensor) -> Tensor:
        _pictures("crop", images)
        tall, wide = images.shape[-2:]
        if height > tall or width > wide:
            raise UsageError(f"view 'crop={value}' is larger than the images, {tall}×{wide}")
        top, left = (tall - height) // 2, (wide - width) // 2
        return images[..., top : top + height, left : left + width]

    return crop


def _visits(value: str) -> Operation:
    count = _count("visits", value)

    def visits(records: Tensor) -> Tensor:
        if records.shape[3] != 1:
            raise UsageError(f"view 'visits={count}' needs the visits of a table, received pictures")
        return records[:, :, :count]

    return visits


def _gray(images: Tensor, name: str = "gray") -> Tensor:
    """Return the luma of ITU-R BT.601, as Pillow and torchvision compute it."""
    _pictures(name, images)
    if images.shape[1] == 1:
        return images
    from kornia.color import rgb_to_grayscale  # imported when it is used

    return rgb_to_grayscale(_color(name, images))


def _rgb(images: Tensor) -> Tensor:
    """Return one channel three times, for networks that take color images."""
    _pictures("rgb", images)
    return images.expand(-1, COLOR, -1, -1) if images.shape[1] == 1 else _color("rgb", images)


def _lab_l(images: Tensor) -> Tensor:
    """Return the lightness of CIE L*a*b* (D65), L / 100."""
    return _lab("lab-l", images)[:, :1] / 100


def _lab_ab(images: Tensor) -> Tensor:
    """Return the two color channels of CIE L*a*b* (D65), (a + 128) / 255 and (b + 128) / 255."""
    return (_lab("lab-ab", images)[:, 1:] + 128) / 255


def _edges(images: Tensor) -> Tensor:
    """Return the magnitude of the Sobel gradient of the luma, 1 for a step from black to white over one pixel."""
    from kornia.filters import sobel

    return (2 * sobel(_gray(images, "edges"), eps=1e-12)).clamp(0, 1)


def _lab(name: str, images: Tensor) -> Tensor:
    from kornia.color import rgb_to_lab

    return rgb_to_lab(_color(name, images))


def _color(name: str, images: Tensor) -> Tensor:
    _pictures(name, images)
    if images.shape[1] != COLOR:
        raise UsageError(f"view {name!r} needs color images, received {images.shape[1]} channel(s)")
    return images


def _pictures(name: str, images: Tensor) -> None:
    if images.shape[3] == 1:
        raise UsageError(f"view {name!r} needs pictures, received rows of a table")


def _size(name: str, value: str) -> tuple[int, int]:
    """Return height and width of `16` or `16x24`."""
    height, cross, width = value.partition("x")
    size = _count(name, height), _count(name, width if cross else height)
    require_pixels(*size, f"seen through the view '{name}={value}', a picture would have")
    return size


def _count(name: str, value: str) -> int:
    if not value.isdecimal() or len(value) > 9 or not 1 <= int(value) <= LARGEST_SIDE:
        raise UsageError(f"view {name!r} takes whole numbers between 1 and {LARGEST_SIDE}, received {value!r}")
    return int(value)


PLAIN: dict[str, Operation] = {"edges": _edges, "gray": _gray, "lab-ab": _lab_ab, "lab-l": _lab_l, "rgb": _rgb}
SIZED: dict[str, Callable[[str], Operation]] = {"crop": _crop, "resize": _resize, "visits": _visits}
