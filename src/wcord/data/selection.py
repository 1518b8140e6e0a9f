"""Which samples are used: subsets and held-out parts, the same share of every class."""

import hashlib

import numpy as np
import torch
from torch import Tensor

from wcord.checks import UsageError, require_positive
from wcord.data.samples import Names


def held_out(targets: Tensor, fraction: float, *, seed: int, groups: Names | None = None) -> tuple[Tensor, Tensor]:
    """Split the positions of `targets` in two, in each class in the same proportion.

    Every class keeps at least one sample on the first side, and gives at least one where it has two. Where `groups`
    names a group for each sample, whole groups go to one side or the other, about that share of them. A group's name
    alone decides, so that each subject is on the same side in every table, whoever else is in it; but where that
    would hold out none of a few, one is.

    >>> kept, held = held_out(torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]), 0.25, seed=0)
    >>> len(kept), len(held)
    (6, 2)

    Returns:
        The positions that stay and those held out, each ascending.
    """
    if not 0 < fraction < 1:
        raise UsageError(f"holdout must lie between 0 and 1 (both excluded), received {fraction}")
    if groups is not None:
        names, members = np.unique(groups, return_inverse=True)
        places = torch.tensor([_place(seed, str(name)) for name in names], dtype=torch.float64)
        inside = (places < max(fraction, float(places.min()) + 1e-12))[torch.from_numpy(members)]
        return torch.where(~inside)[0], torch.where(inside)[0]
    generator = torch.Generator().manual_seed(seed)
    held = torch.zeros(len(targets), dtype=torch.bool)
    for positions in _by_class(targets, generator):
        held[positions[: _share(len(positions), fraction)]] = True
    return torch.where(~held)[0], torch.where(held)[0]


def _share(count: int, fraction: float) -> int:
    return min(count - 1, max(1, round(fraction * count)))


def _place(seed: int, name: str) -> float:
    """Return where a name falls in [0, 1), evenly spread over names and seeds."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:8]) / 2**64


def subset(targets: Tensor, amount: float, classes: tuple[str, ...], *, seed: int) -> Tensor:
    """Choose `amount` samples of each class (1 or more), or that fraction of each class (below 1).

    >>> subset(torch.tensor([0, 0, 0, 1, 1, 1]), 2, ("ant", "bee"), seed=0).shape
    torch.Size([4])

    Returns:
        The chosen positions, ascending.

    Raises:
        UsageError: a class has fewer samples, or the amount is neither a count nor a fraction.
    """
    require_positive("subset", amount)
    if amount >= 1 and amount != int(amount):
        raise UsageError(f"subset from 1 on is images per class and must be a whole number, received {amount}")
    counts = torch.bincount(targets, minlength=len(classes))
    if amount >= 1 and int(counts.min()) < amount:
        poorest = int(counts.argmin())
        name = classes[poorest] if classes else "of all samples"
        raise UsageError(
            f"subset asks for {int(amount)} images of each class, but class {name!r} has "
            f"{int(counts[poorest])}: ask for at most that many"
        )
    generator = torch.Generator().manual_seed(seed)
    chosen = [
        positions[: int(amount) if amount >= 1 else max(1, round(amount * len(positions)))]
        for positions in _by_class(targets, generator)
    ]
    return torch.cat(chosen).sort().values


def require_apart(train: Names | None, test: Names | None) -> None:
    """Raise if a group has samples on both sides of a split: what is known of its training samples is a leak."""
    if train is None or test is None:
        return
    both = np.intersect1d(train, test)
    if len(both):
        names = ", ".join(repr(str(name)) for name in both[:3]) + (", …" if len(both) > 3 else "")
        raise UsageError(
            f"{len(both)} groups have samples in both the train and the test split ({names}), which leaks: "
            "put all samples of a group on one side"
        )


def _by_class(targets: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Return the positions of each class that occurs, shuffled."""
    positions = [torch.where(targets == number)[0] for number in targets.unique().tolist()]
    return [rows[torch.randperm(len(rows), generator=generator)] for rows in positions]
