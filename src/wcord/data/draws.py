"""Random numbers of a batch, which depend on seed, epoch and batch number alone, and the part that a process takes."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wcord.data.augment import draw

ORDER, AUGMENT, PARTNER, PARTNER_AUGMENT, MIX = range(5)
"""Separate streams of random numbers."""


@dataclass(frozen=True)
class Draws:
    """What happens to the samples of a batch; small, since worker processes draw for themselves."""

    seed: int
    samples: int
    batch_size: int
    views: int
    part: "Part"

    def __call__(self, epoch: int, number: int, *, kind: str, size: tuple[int, int], stream: int = AUGMENT) -> Tensor:
        """Return what happens to this process's part of a batch, in each of its views."""
        count = min(self.batch_size, self.samples - number * self.batch_size)
        keys = [(self.seed, epoch, stream, number, *([view] if view else [])) for view in range(self.views)]
        drawn = [draw(kind, count, *size, seeded(*key)) for key in keys]
        return torch.cat([self.part(each) for each in drawn])


@dataclass(frozen=True)
class Part:
    """Which samples of a batch a process reads: its share and, where samples are mixed, those that it mixes these with.

    One process has all of them in its share already.
    """

    rank: int
    world_size: int
    mates: bool

    def __call__(self, whole: Tensor) -> Tensor:
        """Return the rows that this process reads."""
        if self.world_size == 1:
            return whole
        own = whole.tensor_split(self.world_size)[self.rank]
        return torch.cat([own, whole.flip(0).tensor_split(self.world_size)[self.rank]]) if self.mates else own

    def pairs(self, read: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        """Return the share, and what is mixed with each of its samples."""
        if self.world_size == 1:
            return read, read.flip(dim)
        own, mates = read.chunk(2, dim)
        return own, mates


def random_of(*key: int) -> np.random.Generator:
    """Return NumPy's generator for a key, as `seeded` does torch's."""
    return np.random.default_rng(np.random.SeedSequence([part % 2**64 for part in key]))


def seeded(*key: int) -> torch.Generator:
    """Return a generator whose numbers depend on the whole key, with no pattern between neighbouring keys."""
    words = np.random.SeedSequence([part % 2**64 for part in key]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0]))
