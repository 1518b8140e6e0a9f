"""What pretrained weights state beside themselves: their classes, and the picture that they were trained to see."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

Frame = tuple[int, int, float]
"""Height and width of a picture, and the share of the resized picture's sides that it is the middle of."""
IMAGENET = 1000


@dataclass(frozen=True)
class Stated:
    """What is known of pretrained weights without opening them.

    Attributes:
        num_classes: their number of classes; 0 where they have no head.
        mean: mean of each channel, in units of the [0, 1] image; empty where it is not stated.
        std: standard deviation of each channel, same units.
        frame: how a picture is cut for them, or None where that is not stated.
        names: the classes in the order of the logits, as the library writes them; may be empty.
        fixed: whether the network takes no other size than the frame's.
    """

    num_classes: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    frame: Frame | None = None
    names: tuple[str, ...] = ()
    fixed: bool = False

    def classes_like(self, own: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the classes, written as other names write them where that can be seen.

        ImageNet's classes go by several names: `n02099601`, `golden retriever`, `golden_retriever`, and a list of
        words. The first way of writing them that holds all of `own` is taken, else the one that holds most of them.

        >>> Stated(3, names=("tench", "golden retriever", "cat")).classes_like(["golden_retriever"])
        ('tench', 'golden_retriever', 'cat')
        """
        ways = [self.names] if self.names else []
        if self.num_classes == IMAGENET:
            ways += [way for way in imagenet_names() if way not in ways]
        ways += [tuple(name.replace(" ", "_") for name in way) for way in ways]
        wanted = set(own)
        # max returns the first of several that hold as many.
        return max(ways, key=lambda way: len(wanted & set(way)), default=())


@cache
def imagenet_names() -> tuple[tuple[str, ...], ...]:
    """Return the names of ImageNet's 1,000 classes in each way that they are written: short, as synsets, in full."""
    from timm.data.imagenet_info import ImageNetInfo  # takes seconds, so only when needed
    from torchvision.models import ResNet18_Weights

    known = ImageNetInfo("imagenet-1k")
    short = tuple(str(name) for name in ResNet18_Weights.DEFAULT.meta["categories"])
    return short, tuple(known.label_names()), tuple(map(str, known.label_descriptions()))
