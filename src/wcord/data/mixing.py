"""Mixup and CutMix: draws for a batch, and their application to pictures of several sizes."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch.nn.functional as F
from torch import Tensor

SWITCH = 0.5
"""Probability of CutMix where both are set."""


@dataclass(frozen=True)
class Mixing:
    """How batches are mixed, as timm's `Mixup` does in its mode `batch`.

    Sample i is mixed with sample B − 1 − i, with one share λ ~ Beta(α, α) for the batch. Mixup (Zhang et al., ICLR
    2018) adds up the pixels, CutMix (Yun et al., ICCV 2019) pastes a rectangle of area 1 − λ.

    Attributes:
        classes: number of classes.
        mixup: α of mixup; 0: no mixup.
        cutmix: α of CutMix; 0: no CutMix.
        prob: share of the batches that are mixed.
    """

    classes: int
    mixup: float = 0.0
    cutmix: float = 0.0
    prob: float = 1.0

    def draw(self, generator: np.random.Generator) -> "Mix":
        """Draw the mix of a batch."""
        mixed, switch, down, across = generator.random(4)
        if mixed >= self.prob:
            return Mix(1.0)
        cut = self.cutmix > 0 and (self.mixup == 0 or switch < SWITCH)
        alpha = self.cutmix if cut else self.mixup
        return Mix(float(generator.beta(alpha, alpha)), (float(down), float(across)) if cut else None)

    def shares(self, target: Tensor) -> Tensor:
        """Return the shares of the classes in samples of one class each, B×C; several labels (float) as they are."""
        if target.is_floating_point():
            return target
        return F.one_hot(target, self.classes).float()


@dataclass(frozen=True)
class Mix:
    """The mix of one batch.

    >>> import torch
    >>> own, mates = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    >>> cut = Mix(0.75, (0.0, 0.5)).on((4, 4))
    >>> cut.pictures(own, mates)[0, 0, 0], cut.share  # of the drawn 2×2 pixels only the lower row is inside the picture
    (tensor([0., 1., 1., 0.]), 0.875)

    Attributes:
        share: λ, of the sample itself; 1: no mixing.
        center: of the rectangle, down and across in [0, 1); None for mixup.
        box: the rectangle in pixels of one size: top, bottom, left, right.
    """

    share: float
    center: tuple[float, float] | None = None
    box: tuple[int, int, int, int] | None = None

    def on(self, frame: tuple[int, int], size: tuple[int, int] | None = None) -> "Mix":
        """Return the mix for pictures of `size` (height, width); the rectangle is drawn for pictures of `frame`.

        λ becomes the share of the picture outside the rectangle, which may extend beyond the border.
        """
        if self.center is None:
            return self
        size = size or frame
        sides = []
        for place, whole, side in zip(self.center, frame, size, strict=True):
            length, middle = int(whole * math.sqrt(1 - self.share)), int(place * whole)
            low, high = max(middle - length // 2, 0), min(middle + (length + 1) // 2, whole)
            sides += [round(low * side / whole), round(high * side / whole)]
        top, bottom, left, right = sides
        share = 1 - (bottom - top) * (right - left) / (size[0] * size[1])
        return replace(self, share=share, box=(top, bottom, left, right))

    def pictures(self, own: Tensor, mates: Tensor) -> Tensor:
        """Return the mixed pictures, …×H×W."""
        if self.box is not None:
            top, bottom, left, right = self.box
            mixed = own.clone()
            mixed[..., top:bottom, left:right] = mates[..., top:bottom, left:right]
            return mixed
        return own if self.share == 1 else own * self.share + mates * (1 - self.share)

    def targets(self, own: Tensor, mates: Tensor) -> Tensor:
        """Return the shares of the classes in the mixed pictures, B×C."""
        return own * self.share + mates * (1 - self.share)
