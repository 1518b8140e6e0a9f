"""Verification: are two samples of one identity? The true accept rate at a false accept rate, over all pairs."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.checks import (
    UsageError,
    require_finite,
    require_matrix,
    require_number,
    require_same_rows,
    require_whole_numbers,
)

TIE = 12
"""Decimals of a cosine: pairs that differ by less, by rounding, have one cosine."""

SHORTEST = 1e-12
"""A shorter embedding is zero, and its cosines are 0."""

BLOCK = 2**22
"""Cosines that are computed at a time."""


@dataclass(frozen=True)
class Verification:
    """How well a threshold on the cosine accepts pairs of one identity (genuine) and rejects the others (impostors).

    Attributes:
        far: the share of impostor pairs that may be accepted.
        tar: the share of genuine pairs that are accepted, in percent.
        measured_far: the share of impostor pairs that are accepted, at most `far`.
        threshold: a pair is accepted if its cosine is above it.
        genuine: number of genuine pairs.
        impostors: number of impostor pairs; a share below 1/impostors cannot be distinguished from 0.
    """

    far: float
    tar: float
    measured_far: float
    threshold: float
    genuine: int
    impostors: int

    @property
    def resolved(self) -> bool:
        """Whether there are enough impostor pairs for one of them to be accepted at `far`."""
        return _allowed(self.far, self.impostors) > 0


def verify(embeddings: Tensor, labels: Tensor, *, far: float = 1e-3) -> Verification:
    """Return the true accept rate (TAR) at a false accept rate (FAR) over all pairs of samples, by cosine.

    TAR = |{genuine: cos > θ}| / |genuine|,    θ the smallest with |{impostors: cos > θ}| ≤ far · |impostors|

    A pair is genuine if both samples have one label. θ is the cosine of an impostor pair (−1 if all may be accepted),
    and pairs with that cosine are rejected, genuine ones too: ties never raise the rate. With fewer than 1/far impostor
    pairs no impostor may be accepted, and the rate is that at a FAR of 0; `Verification.resolved` says so.

    Args:
        embeddings: N×D; their lengths do not matter.
        labels: the identity of each sample, N whole numbers.
        far: the largest share of impostor pairs that are accepted, from 0 to 1.

    Raises:
        UsageError: there is no genuine or no impostor pair, or the arguments do not fit.

    >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [1.0, 1.0]])
    >>> result = verify(x, torch.tensor([0, 0, 1, 1]), far=0.25)
    >>> result.tar, result.genuine, result.impostors, result.measured_far
    (50.0, 2, 4, 0.25)
    """
    require_matrix("embeddings", embeddings, min_rows=2)
    require_finite("embeddings", embeddings)
    require_whole_numbers("labels", labels)
    require_same_rows("embeddings", embeddings, "labels", labels)
    require_number("far", far, low=0, high=1)
    genuine, impostors = _pairs(labels)
    if not genuine or not impostors:
        raise UsageError(
            f"verification needs pairs of one identity and of two, received {genuine} and {impostors}: give several "
            "samples of each of several identities"
        )
    allowed = _allowed(far, impostors)
    accepted, least = _scores(embeddings, labels, allowed + 1)
    threshold = float(least[allowed]) if allowed < impostors else -1.0 - 10.0**-TIE
    return Verification(
        far=far,
        tar=100.0 * int((accepted > threshold).sum()) / genuine,
        measured_far=int((least > threshold).sum()) / impostors,
        threshold=threshold,
        genuine=genuine,
        impostors=impostors,
    )


def _allowed(far: float, impostors: int) -> int:
    """Return how many impostor pairs may be accepted; 0.29 · 100 is a little below 29 in binary."""
    return math.floor(far * impostors + 1e-9)


def _pairs(labels: Tensor) -> tuple[int, int]:
    """Return the numbers of genuine and of impostor pairs."""
    counts = labels.unique(return_counts=True)[1]
    genuine = int((counts * (counts - 1) // 2).sum())
    return genuine, len(labels) * (len(labels) - 1) // 2 - genuine


def _scores(embeddings: Tensor, labels: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Return the cosines of all genuine pairs, and the `most` largest ones of impostor pairs, from the largest down."""
    rows = F.normalize(embeddings.detach().double(), dim=1, eps=SHORTEST)
    genuine, impostors = [], rows.new_zeros(0)
    size = max(1, BLOCK // len(rows))
    for start in range(0, len(rows), size):
        block = slice(start, start + size)
        cosines = (rows[block] @ rows.T).round(decimals=TIE)
        later = torch.arange(len(rows), device=rows.device) > torch.arange(len(rows), device=rows.device)[block, None]
        same = labels[block, None] == labels
        genuine.append(cosines[later & same])
        impostors = torch.cat([impostors, cosines[later & ~same]])
        impostors = impostors.sort(descending=True).values[:most]
    return torch.cat(genuine), impostors
