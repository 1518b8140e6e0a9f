"""A Swin teacher of two stages for the small pictures of the tests, and a batch."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wcord.models.network import Network
from wcord.models.preprocess import Preprocess
from wcord.models.swin import small_swin

SWIN_ONLY = frozenset({"apt"})
"""Methods whose teacher is a Swin transformer."""


def swin_teacher(classes: int = 5, side: int = 8, *, channels: int = 1, seed: int = 0) -> nn.Module:
    """Return a small Swin transformer for pictures of `side` pixels, in eval mode, with random weights."""
    torch.manual_seed(seed)
    network = small_swin(num_classes=classes, in_channels=channels, image_size=(side, side), width=16, depths=(2, 2))
    return network.eval().requires_grad_(False)


@cache
def trained_swin_teacher() -> nn.Module:
    """Return the small Swin transformer after 60 steps on the first 20 of `pictures`; copy it before a change."""
    network, (images, target) = swin_teacher().requires_grad_(True), pictures(20)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(network(images), target).backward()
        optimizer.step()
    return network.requires_grad_(False)


def swin_network(classes: int = 5, side: int = 8, *, seed: int = 0) -> Network:
    """Return the same in a `Network`."""
    return Network(swin_teacher(classes, side, seed=seed), Preprocess((0.5,), (0.5,))).eval()


def suitable_teacher(method: str, teacher: nn.Module, classes: int, *, channels: int = 1) -> nn.Module:
    """Return a small Swin transformer where a method of a sum needs one, else the given teacher."""
    return swin_teacher(classes, channels=channels) if SWIN_ONLY & set(method.split("+")) else teacher


def pictures(samples: int = 12, side: int = 8, classes: int = 5, *, seed: int = 3) -> tuple[Tensor, Tensor]:
    """Return pictures and classes that they show: the brightness of a class's own corner."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.arange(samples) % classes
    images = 0.5 * torch.rand(samples, 1, side, side, generator=generator)
    for image, label in zip(images, target.tolist(), strict=True):
        image[0, label % side, :] += 0.5
    return images, target
