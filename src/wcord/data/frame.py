"""The frame of a set of pictures: the size that all of them are fitted to, and how much of their middle is kept."""

from dataclasses import dataclass

from wcord.checks import LARGEST_SIDE, UsageError, require_number
from wcord.data.limits import require_pixels


@dataclass(frozen=True)
class Frame:
    """What whole pictures are fitted to before any view is taken of them; what a network resizes them to is its own.

    >>> Frame.of("150x200", 0.875)
    Frame(height=150, width=200, fraction=0.875)
    >>> Frame(4, 4, 0.5).cover(10, 20), Frame(4, 4, 0.5).cover(8, 8)
    (((8, 16), (2, 6)), ((8, 8), (2, 2)))

    Attributes:
        height: of the fitted pictures, in pixels.
        width: of the fitted pictures, in pixels.
        fraction: share of a resized picture's side that is kept in its middle.
    """

    height: int
    width: int
    fraction: float = 1.0

    @classmethod
    def of(cls, image_size: int | str | None, fraction: float = 1.0) -> "Frame | None":
        """Return the frame that `--image-size` and `--crop-fraction` ask for, or None where no size is given.

        Raises:
            UsageError: a size that is no whole number of pixels, a fraction outside (0, 1] or without a size.
        """
        require_number("crop_fraction", fraction, above=0, high=1)
        if image_size is None:
            if fraction != 1:
                raise UsageError("--crop-fraction says what is kept where images are resized: give --image-size too")
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
        """Return what a picture is resized to, (height, width), and where its middle begins, (top, left).

        It keeps its proportions and just covers the frame divided by the fraction; what juts out is cut off.

        Raises:
            UsageError: it would have more pixels than are taken: a picture of 1×100,000 pixels made 224 pixels wide.
        """
        scale = max(self.width / width, self.height / height) / self.fraction
        tall, wide = max(self.height, round(height * scale)), max(self.width, round(width * scale))
        require_pixels(tall, wide, "resized, it would have")
        return (tall, wide), ((tall - self.height) // 2, (wide - self.width) // 2)
