"""Which samples of a source are trained on and which are held out: subsets and held-out parts, by class or by group."""

import hashlib
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from wcord.checks import UsageError, require_positive
from wcord.data.config import MISSING_TEST, DataConfig
from wcord.data.label_values import SEVERAL
from wcord.data.names import listed
from wcord.data.samples import Names, Samples, Source
from wcord.scope import scopes

HOLDOUT = [name for name, affects in scopes(DataConfig).items() if "holdout" in affects.facts]
"""Settings that decide which samples are held out of a source without a test split."""


def choose(source: Source, config: DataConfig) -> Source:
    """Return the source with the samples to train on and to evaluate on: its test split, or a held-out part.

    Raises:
        UsageError: one of the two would be empty; a group has samples on both sides of the source's own split.
    """
    train, test = source.train, source.test
    notes, cut = source.notes, {}
    if test is None or config.holdout:
        kept, held = _held_out(source, config)
        test, cut = train.take(held), _cut(source, held, config)
        notes = (*notes, _held_out_note(source, config, len(held)))
        if train.groups is not None:
            _require_trained(train, kept, held, source.classes)
    else:
        kept = torch.arange(len(train))
        require_apart(train.groups, test.groups)
    if not len(test):
        raise UsageError(f"no sample is left to evaluate on: {len(train)} in all are too few for a held-out part")
    if config.subset is not None:
        taken, note = _subset(train.take(kept), config.subset, source.classes, config.split_seed)
        kept, notes = kept[taken], (*notes, note)
    return replace(source, train=train.take(kept), test=test, notes=notes, cut=cut)


def _subset(train: Samples, amount: float, classes: tuple[str, ...], seed: int) -> tuple[Tensor, str]:
    """Return the positions of a subset of the training samples, and a note on it."""
    several = train.targets.is_floating_point()
    if several and amount >= 1:
        raise UsageError(
            f"--subset {amount:g} is images of each class, but {SEVERAL} have no one class: "
            "give a fraction, such as 0.5"
        )
    strata = train.strata if several and train.strata is not None else train.targets
    taken = subset(strata, amount, classes, seed=seed)
    share = "" if several else ", the same share of each class" if amount < 1 else f", {amount:g} of each class"
    return taken, f"trained on a subset: {len(taken)} of {len(train)} samples{share}"


def cut_of(source: Source, config: DataConfig) -> dict[str, object]:
    """Return `DataSet.cut` of a source by itself, by which held-out samples are compared with those of other runs."""
    if source.test is not None and not config.holdout:
        return {}
    return _cut(source, _held_out(source, config)[1], config)


def _cut(source: Source, held: Tensor, config: DataConfig) -> dict[str, object]:
    digest = hashlib.sha256(held.numpy().astype("<i8").tobytes()).hexdigest()[:16]
    settings = {name: getattr(config, name) for name in HOLDOUT}
    return settings | {"samples": len(source.train), "held_out": digest}


def leak_note(test: Samples, other: Source, config: DataConfig) -> list[str]:
    """Return a note if test samples have partners among those that a teacher trained on its own data alone has seen.

    Args:
        test: the student's test samples, paired.
        other: the teacher's source, with the groups that its own training had.
        config: what is held out, of either.
    """
    if test.partner is None or test.partner.store is not other.train.store:
        return []
    trained = other.train.rows
    if other.test is None or config.holdout:
        trained = trained[_held_out(other, config)[0]]
    seen = int(torch.isin(test.partner.rows, trained).sum())
    if not seen:
        return []
    return [
        f"a teacher that was trained on its own data and labels alone has seen {seen} of the {len(test)} test "
        "samples: give both a test split or, for tables, --group-by with the key in every command"
    ]


def _held_out(source: Source, config: DataConfig) -> tuple[Tensor, Tensor]:
    """Return the positions of the training samples that stay, and of those held out: the same share of each stratum."""
    train = source.train
    strata = train.targets if train.strata is None else train.strata
    return held_out(strata, config.holdout or MISSING_TEST, seed=config.split_seed, groups=train.groups)


def _held_out_note(source: Source, config: DataConfig, count: int) -> str:
    if config.holdout:
        return f"evaluated on {count} samples held out of the train split, which are not trained on"
    each = "" if source.train.targets.is_floating_point() else " of each class"
    of_each = f"a fixed fifth{each}" if source.train.groups is None else "whole groups, about a fifth,"
    return f"no test split: {of_each} of the train split is held out as test"


def _require_trained(train: Samples, kept: Tensor, held: Tensor, classes: tuple[str, ...]) -> None:
    """Raise if holding out whole groups leaves no group, or none of a class, to train on."""
    trained = train.targets[kept].unique()
    lost = [number for number in train.targets[held].unique().tolist() if number not in trained]
    if lost:
        whose = f" of class {classes[lost[0]]!r}" if classes and len(kept) else ""
        raise UsageError(
            f"the groups that are held out have all samples{whose}, so that none is left for training: "
            "use a different --split-seed, or data with more groups"
        )


def held_out(targets: Tensor, fraction: float, *, seed: int, groups: Names | None = None) -> tuple[Tensor, Tensor]:
    """Split the positions of `targets` in two, in the same proportion for each class.

    Every class keeps at least one sample, and gives at least one where it has two. With `groups`, a group for each
    sample, whole groups are held out, about that share of them. Only a group's name decides, so that each subject is on
    the same side in every table; if that would hold out none of a few groups, one is held out.

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
        count = len(positions)
        held[positions[: min(count - 1, max(1, round(fraction * count)))]] = True
    return torch.where(~held)[0], torch.where(held)[0]


def _place(seed: int, name: str) -> float:
    """Return a number in [0, 1) for a name, evenly spread over names and seeds."""
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
        smallest = int(counts.argmin())
        name = classes[smallest] if classes else "of all samples"
        raise UsageError(
            f"subset asks for {int(amount)} images of each class, but class {name!r} has "
            f"{int(counts[smallest])}: ask for at most that many"
        )
    generator = torch.Generator().manual_seed(seed)
    chosen = [
        positions[: int(amount) if amount >= 1 else max(1, round(amount * len(positions)))]
        for positions in _by_class(targets, generator)
    ]
    return torch.cat(chosen).sort().values


def require_apart(train: Names | None, test: Names | None) -> None:
    """Raise if a group has samples in both splits: the test split would then leak into training."""
    if train is None or test is None:
        return
    both = np.intersect1d(train, test)
    if len(both):
        names = listed([str(name) for name in both])
        raise UsageError(
            f"{len(both)} groups have samples in both the train and the test split ({names}), which leaks: "
            "put all samples of a group on one side"
        )


def _by_class(targets: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Return the positions of each class that occurs, shuffled."""
    positions = [torch.where(targets == number)[0] for number in targets.unique().tolist()]
    return [rows[torch.randperm(len(rows), generator=generator)] for rows in positions]
