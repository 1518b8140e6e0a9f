"""Training augmentation as operations on a whole batch: random numbers are drawn first, then applied.

Drawing and applying are separate, so that the numbers of a batch are drawn in one place and each process applies its
part. Images come in as uint8 (or float in [0, 1]) and go out as float32 in [0, 1]; borders are black, as
if a picture were padded before it is normalized.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.checks import UsageError, require_choice, require_tensor

AUGMENTATIONS = ("none", "shift", "crop-flip", "resized-crop")
CROP_AREA = (0.08, 1.0)
"""Share of the picture that a resized crop covers (Szegedy et al. 2015, as in torchvision)."""
CROP_RATIO = (3 / 4, 4 / 3)
"""Width : height of a resized crop."""
ROTATIONS = 4
"""Turned views of a picture: by 0°, 90°, 180° and 270°."""
CROP_TRIES = 10
"""Crops drawn for each sample: the first that fits is used, else the whole picture."""


def margin(kind: str, height: int) -> int:
    """Return by how many pixels a picture of `height` may be shifted: an eighth for crop-flip, 1 up to 31 px for shift.

    >>> margin("crop-flip", 32), margin("shift", 8)
    (4, 1)
    """
    return max(1, height // (8 if kind == "crop-flip" else 16))


def draw(kind: str, count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Draw the augmentation of `count` samples, on the CPU, so that it is the same on every device.

    Returns:
        B×0 for "none"; B×3 int64 (top, left, flip) for "shift" and "crop-flip", with top and left counted in the
        padded picture; B×41 float32 for "resized-crop": chances in [0, 1) that `boxes` turns into crops of pictures of
        any size, and flip.
    """
    require_choice("augmentation", kind, AUGMENTATIONS)
    if kind == "none":
        return torch.empty(count, 0)
    if kind == "resized-crop":
        chances = torch.rand(count, CROP_TRIES * 4, generator=generator)
        return torch.cat([chances, torch.randint(0, 2, (count, 1), generator=generator).float()], dim=1)
    drawn = torch.randint(0, 2 * margin(kind, height) + 1, (count, 3), generator=generator)
    if kind == "shift":
        drawn[:, 2] = 0
    else:
        drawn[:, 2] = torch.randint(0, 2, (count,), generator=generator)
    return drawn


def augment(kind: str, images: Tensor, drawn: Tensor) -> Tensor:
    """Apply the drawn augmentation to each image.

    >>> square = torch.full((1, 1, 8, 8), 255, dtype=torch.uint8)
    >>> moved = augment("shift", square, torch.tensor([[0, 1, 0]]))  # the window starts one pixel higher
    >>> moved[0, 0, :2, 0]
    tensor([0., 1.])

    Args:
        kind: one of `AUGMENTATIONS`.
        images: B×C×H×W, uint8 or float32 in [0, 1].
        drawn: the draws of these samples, scaled by `place` to their size, on any device.

    Returns:
        B×C×H×W, float32 in [0, 1].
    """
    drawn = drawn.to(images.device, non_blocking=True)
    if kind == "resized-crop":
        return crop_resize(to_unit(images), drawn)
    if kind != "none":
        images = crop(images, drawn, padding=margin(kind, images.shape[2]))
    return to_unit(images)


def place(kind: str, drawn: Tensor, frame: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Return draws for pictures of `frame` (height, width), scaled to pictures of `size`.

    Two pictures of one scene at different resolutions then show the same part of it, up to a pixel.

    >>> place("crop-flip", torch.tensor([[8, 2, 1]]), (32, 32), (8, 8))
    tensor([[2, 0, 1]])
    """
    if kind == "resized-crop":
        drawn = boxes(drawn, *frame)
    if frame == size or kind == "none":
        return drawn
    if kind == "resized-crop":
        down, across = size[0] / frame[0], size[1] / frame[1]
        scaled = drawn * drawn.new_tensor([down, across, down, across, 1])
        scaled[:, 2:4] = scaled[:, 2:4].clamp_min(1)
        scaled[:, 0] = scaled[:, 0].clamp_max(size[0] - 1)
        scaled[:, 1] = scaled[:, 1].clamp_max(size[1] - 1)
        return scaled
    scale = margin(kind, size[0]) / margin(kind, frame[0])
    moved = (drawn[:, :2] * scale).round().to(drawn.dtype)
    return torch.cat([moved, drawn[:, 2:]], dim=1)


def to_unit(images: Tensor) -> Tensor:
    """Return images in [0, 1], float32: uint8 divided by 255, floats as they are; float64 (rows of tables) stays so."""
    if images.dtype == torch.float64:
        return images
    return images.float().div_(255) if images.dtype == torch.uint8 else images.float()


def crop(images: Tensor, drawn: Tensor, *, padding: int) -> Tensor:
    """Pad with black, crop each sample's window, and mirror it where drawn.

    One gather for the batch: position h, w of the result is read at (top + h)·(W + 2p) + left + w, or at its mirror
    image in w, of the flattened padded picture; the parts that do not depend on the sample are cached.

    Args:
        images: B×C×H×W, any type.
        drawn: B×3 whole numbers: top and left in 0 … 2·padding, and 1 where the window is mirrored.
        padding: black pixels on each side.
    """
    batch, channels, height, width = images.shape
    padded = F.pad(images, (padding,) * 4)
    top, left, flip = drawn.unbind(1)
    inside = _window(height, width, width + 2 * padding, images.device).index_select(0, flip)
    inside.add_((top * (width + 2 * padding) + left)[:, None])
    where = inside[:, None].expand(batch, channels, height * width)
    return padded.flatten(2).gather(2, where).view(images.shape)


@lru_cache(maxsize=16)
def _window(height: int, width: int, stride: int, device: torch.device) -> Tensor:
    """Return the flat positions of a window at the origin, as it is and mirrored, 2×(H·W)."""
    down, across = torch.arange(height)[:, None] * stride, torch.arange(width)
    return torch.stack([(down + across).flatten(), (down + across.flip(0)).flatten()]).to(device)


def crop_resize(images: Tensor, drawn: Tensor) -> Tensor:
    """Crop each sample's box, resize it bilinearly to the whole picture, and mirror it where drawn.

    Equal to F.interpolate of each box alone: sampling positions are kept inside the box, so that no pixel around it
    bleeds in. A box is never larger than the picture, hence no antialiasing.

    Args:
        images: B×C×H×W float32.
        drawn: B×5 (top, left, height, width, mirrored).
    """
    height, width = images.shape[-2:]
    top, left, tall, wide, flip = drawn.to(images.dtype).unbind(1)
    down = _positions(top, tall, height)
    across = _positions(left, wide, width)
    across = torch.where(flip[:, None] > 0, across.flip(1), across)
    grid = torch.stack(
        [
            ((2 * across + 1) / width - 1)[:, None, :].expand(-1, height, -1),
            ((2 * down + 1) / height - 1)[:, :, None].expand(-1, -1, width),
        ],
        dim=-1,
    )
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False).clamp_(0, 1)


def _positions(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Return where `size` output pixels are read along one side, in pixels, B×size."""
    steps = (torch.arange(size, device=start.device) + 0.5) / size
    inside = (steps * length[:, None] - 0.5).clamp_min(0)
    return start[:, None] + torch.minimum(inside, length[:, None] - 1)


def boxes(drawn: Tensor, height: int, width: int) -> Tensor:
    """Return crops uniform in area and in the logarithm of their ratio, the first of ten that fits the picture.

    Args:
        drawn: B×41, what `draw` returned for "resized-crop".
        height: of the pictures.
        width: of the pictures.

    Returns:
        B×5 float32: top, left, height, width, mirrored.
    """
    chance, flip = drawn[:, :-1].view(len(drawn), CROP_TRIES, 4), drawn[:, -1]
    area = (CROP_AREA[0] + (CROP_AREA[1] - CROP_AREA[0]) * chance[..., 0]) * (height * width)
    low, high = math.log(CROP_RATIO[0]), math.log(CROP_RATIO[1])
    ratio = (low + (high - low) * chance[..., 1]).exp()
    tall, wide = (area / ratio).sqrt().round().clamp_min(1), (area * ratio).sqrt().round().clamp_min(1)
    fits = (tall <= height) & (wide <= width)
    first = fits.float().argmax(1)  # argmax gives the first of equals; 0 where none fits
    rows = torch.arange(len(drawn), device=drawn.device)
    none_fits = ~fits.any(1)
    tall, wide = tall[rows, first], wide[rows, first]
    tall, wide = tall.masked_fill(none_fits, height), wide.masked_fill(none_fits, width)
    top = (chance[rows, first, 2] * (height - tall + 1)).floor()
    left = (chance[rows, first, 3] * (width - wide + 1)).floor()
    top, left = torch.minimum(top, height - tall), torch.minimum(left, width - wide)  # rounding may reach the end
    return torch.stack([top, left, tall, wide, flip], dim=1)


def whole(drawn: Tensor, height: int, width: int) -> Tensor:
    """Return crops of whole pictures, mirrored where drawn, for pictures that are cropped already."""
    sides = drawn.new_tensor([0, 0, height, width]).expand(len(drawn), 4)
    return torch.cat([sides, drawn[:, -1:]], dim=1)


def rotated(images: Tensor) -> Tensor:
    """Return pictures in four turned views: all as they are, then all turned by 90°, by 180° and by 270°.

    They turn counter-clockwise, as `torch.rot90(x, k, (2, 3))` does.

    >>> rotated(torch.tensor([[[[1, 2], [3, 4]]]]))[:, 0, 0].tolist()
    [[1, 2], [2, 4], [4, 3], [3, 1]]

    Args:
        images: B×C×S×S, of any type.

    Returns:
        4B×C×S×S.

    Raises:
        UsageError: these are not square pictures.
    """
    require_tensor("images", images)
    require_square("images", tuple(images.shape[1:]))
    return torch.cat([images.rot90(turns, (2, 3)) for turns in range(ROTATIONS)])


def require_square(name: str, shape: tuple[int, ...]) -> None:
    """Raise unless a shape is that of a square picture, which keeps it in all turned views.

    >>> require_square("the student's pictures", (3, 20, 30))
    Traceback (most recent call last):
        ...
    wcord.checks.UsageError: the student's pictures are turned by 90°, which needs square ones, received 20×30: ...

    Args:
        name: whose pictures, for the message.
        shape: channels, height, width.
    """
    if len(shape) != 3 or shape[2] == 1:
        raise UsageError(
            f"{name} are turned by 90°, which needs pictures, received rows or tokens of shape {shape}: use a method "
            "without rotations"
        )
    if shape[1] != shape[2]:
        raise UsageError(
            f"{name} are turned by 90°, which needs square ones, received {shape[1]}×{shape[2]}: set --image-size, or "
            "use a method without rotations"
        )


def rotated_draws(records: Tensor, drawn: Tensor, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the four turned views of each batch's records, and the crops of these views.

    A sample has one draw for each view. It is mirrored before it is turned, if the draw of its first view says so, and
    the views differ only in their turn and their crop.

    Args:
        records: ΣB×C×S×S, batch after batch.
        drawn: 4ΣB rows of draws whose last column is the mirroring, view after view in each batch; or 4ΣB×0.
        sizes: B of each batch.
    """
    views: list[Tensor] = []
    for images, draws in zip(
        records.split(list(sizes)), drawn.split([ROTATIONS * size for size in sizes]), strict=True
    ):
        if drawn.shape[1]:
            mirror = draws[: len(images), -1].to(images.device, non_blocking=True)
            images = torch.where(mirror[:, None, None, None] > 0, images.flip(3), images)
        views.append(rotated(images))
    if drawn.shape[1]:
        drawn = torch.cat([drawn[:, :-1], torch.zeros_like(drawn[:, -1:])], dim=1)
    return torch.cat(views), drawn


ORDER, AUGMENT, PARTNER, PARTNER_AUGMENT, MIX = range(5)
"""Separate streams of random numbers."""


@dataclass(frozen=True)
class Draws:
    """The augmentation of each batch; a small object, since worker processes draw for themselves."""

    seed: int
    samples: int
    batch_size: int
    views: int
    part: "Part"

    def __call__(self, epoch: int, number: int, *, kind: str, size: tuple[int, int], stream: int = AUGMENT) -> Tensor:
        """Return the draws of this process's part of a batch, for each of its views."""
        count = min(self.batch_size, self.samples - number * self.batch_size)
        keys = [(self.seed, epoch, stream, number, *([view] if view else [])) for view in range(self.views)]
        drawn = [draw(kind, count, *size, seeded(*key)) for key in keys]
        return torch.cat([self.part(each) for each in drawn])


@dataclass(frozen=True)
class Part:
    """Which samples of a batch a process reads: its share and, for mixing, the partners of its share."""

    rank: int
    world_size: int
    mates: bool

    def __call__(self, whole: Tensor) -> Tensor:
        """Return the rows that this process reads."""
        if self.world_size == 1:
            return whole
        share = whole.tensor_split(self.world_size)[self.rank]
        return torch.cat([share, whole.flip(0).tensor_split(self.world_size)[self.rank]]) if self.mates else share

    def pairs(self, read: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        """Return the share, and the sample that each of its samples is mixed with."""
        if self.world_size == 1:
            return read, read.flip(dim)
        share, mates = read.chunk(2, dim)
        return share, mates


def random_of(*key: int) -> np.random.Generator:
    """Return a NumPy generator for a key, like `seeded` for torch."""
    return np.random.default_rng(np.random.SeedSequence([part % 2**64 for part in key]))


def seeded(*key: int) -> torch.Generator:
    """Return a generator whose numbers depend on the whole key, with no pattern between neighboring keys."""
    words = np.random.SeedSequence([part % 2**64 for part in key]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0]))
