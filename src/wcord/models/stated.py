"""What libraries state about pretrained weights: their classes, and the pictures that they were trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

Frame = tuple[int, int, float]
"""Height and width of a picture, and the share of the resized picture's sides that is kept in its center."""
IMAGENET = 1000


@dataclass(frozen=True)
class Stated:
    """Properties of pretrained weights that are known without opening them.

    Attributes:
        num_classes: number of classes; 0 without a head.
        mean: mean of each channel, in units of the [0, 1] image; empty if not stated.
        std: standard deviation of each channel, same units.
        frame: how pictures are cropped for them, or None if not stated.
        names: the classes in the order of the logits, as the library writes them; may be empty.
        fixed: whether the network takes pictures of the frame's size only.
    """

    num_classes: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    frame: Frame | None = None
    names: tuple[str, ...] = ()
    fixed: bool = False

    def classes_like(self, own: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the classes in the form of other names, if it can be recognized.

        ImageNet's classes go by several names: `n02099601`, `golden retriever`, `golden_retriever`, and a list of
        words. The first form that contains all of `own` is returned, else the one with most of them.

        >>> Stated(3, names=("tench", "golden retriever", "cat")).classes_like(["golden_retriever"])
        ('tench', 'golden_retriever', 'cat')
        """
        ways = [self.names] if self.names else []
        if self.num_classes == IMAGENET:
            ways += [way for way in imagenet_names() if way not in ways]
        ways += [tuple(name.replace(" ", "_") for name in way) for way in ways]
        names = set(own)
        # max returns the first of several equal ones.
        return max(ways, key=lambda way: len(names & set(way)), default=())


@cache
def imagenet_names() -> tuple[tuple[str, ...], ...]:
    """Return the names of ImageNet's 1,000 classes in each form: short, as synsets, in full."""
    from timm.data.imagenet_info import ImageNetInfo  # takes seconds, so only when needed
    from torchvision.models import ResNet18_Weights

    known = ImageNetInfo("imagenet-1k")
    short = tuple(str(name) for name in ResNet18_Weights.DEFAULT.meta["categories"])
    return short, tuple(known.label_names()), tuple(map(str, known.label_descriptions()))
