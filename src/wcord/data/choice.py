"""Which samples of a source train and which are held out, for the student's source and its teacher's alike."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from wcord.checks import UsageError
from wcord.data.config import MISSING_TEST, DataConfig
from wcord.data.pairing import Partners
from wcord.data.samples import Samples, Source
from wcord.data.selection import held_out, require_apart, subset
from wcord.data.several import SEVERAL
from wcord.scope import scopes

HOLDOUT = [name for name, affects in scopes(DataConfig).items() if "holdout" in affects.facts]
"""Settings that decide which samples are held out of a source without a test split."""

Chosen = dict[str, Samples]
"""Split name → samples."""


@dataclass(frozen=True)
class Choice:
    """Which positions of a source's splits are used.

    Attributes:
        train: those to train on.
        test: those to measure on, in the split `test_from`.
        test_from: "test", or "train" where a part of that is held out.
        notes: what a reader of the result should know about it.
        cut: see `DataSet.cut`.
    """

    train: Tensor
    test: Tensor
    test_from: str
    notes: tuple[str, ...]
    cut: dict[str, object]

    def of(self, source: Source) -> Chosen:
        """Return the chosen samples of a source."""
        origin = source.train if self.test_from == "train" else source.test
        assert origin is not None
        return {"train": source.train.take(self.train), "test": origin.take(self.test)}

    def paired(self, source: Source, partners: dict[str, Partners]) -> tuple[Chosen, Chosen]:
        """Return the chosen samples that have a partner, and those partners; all of a split of which none has one."""
        own, others = {}, {}
        for split, samples, positions in (
            ("train", source.train, self.train),
            ("test", source.train if self.test_from == "train" else source.test, self.test),
        ):
            assert samples is not None
            found = partners.get("train" if split == "train" else self.test_from)
            if found is None:
                own[split], others[split] = samples.take(positions), others["train"].take(positions[:0])
                continue
            kept = positions[found.places[positions] >= 0]
            own[split], others[split] = samples.take(kept), found.pool.take(found.places[kept])
        return own, others


def choose(source: Source, config: DataConfig) -> Choice:
    """Choose the samples to train and to measure on, as a configuration says: the test split, or a part held out.

    Raises:
        UsageError: nothing is left for one of the two; a group has samples on both sides of a given split.
    """
    train, test = source.train, source.test
    if test is None or config.holdout:
        kept, held = _held_out(source, config)
        notes, test_from = (_note_of(source, config, len(held)),), "train"
        if train.groups is not None:
            _require_trained(train, kept, held, source.classes)
    else:
        kept, held, notes, test_from = torch.arange(len(train)), torch.arange(len(test)), (), "test"
        require_apart(train.groups, test.groups)
    if not len(held):
        raise UsageError(f"no sample is left to evaluate on: {len(train)} in all are too few to hold some out")
    if config.subset is not None:
        several = train.targets.is_floating_point()
        if several and config.subset >= 1:
            raise UsageError(
                f"--subset {config.subset:g} is images of each class, but {SEVERAL} have no one class: "
                "give a fraction, such as 0.5"
            )
        strata = train.strata if several and train.strata is not None else train.targets
        taken = subset(strata[kept], config.subset, source.classes, seed=config.split_seed)
        share = "" if several else ", the same share of each class"
        if config.subset >= 1:
            share = f", {config.subset:g} of each class"
        notes = (*notes, f"trained on a subset: {len(taken)} of {len(kept)} samples{share}")
        kept = kept[taken]
    return Choice(kept, held, test_from, notes, _cut(source, held, config) if test_from == "train" else {})


def cut_of(source: Source, config: DataConfig) -> dict[str, object]:
    """Return what tells whether the same samples of a source are held out elsewhere: see `DataSet.cut`."""
    if source.test is not None and not config.holdout:
        return {}
    return _cut(source, _held_out(source, config)[1], config)


def _cut(source: Source, held: Tensor, config: DataConfig) -> dict[str, object]:
    digest = hashlib.sha256(held.numpy().astype("<i8").tobytes()).hexdigest()[:16]
    settings = {name: getattr(config, name) for name in HOLDOUT}
    return settings | {"samples": len(source.train), "held_out": digest}


def seen_alone(choice: Choice, other: Source, partners: dict[str, Partners], config: DataConfig) -> list[str]:
    """Tell of how many test samples a teacher has seen the partner if it was trained on its own data alone.

    Args:
        choice: the student's.
        other: the teacher's source, grouped as its own training grouped it.
        partners: of the student's samples.
        config: says what is held out, here as there.
    """
    found = partners.get(choice.test_from)
    if found is None:
        return []
    places = found.places[choice.test]
    places = places[places >= 0]
    if found.pool is other.test:
        return []
    held = _held_out(other, config)[1] if other.test is None or config.holdout else places.new_empty(0)
    seen = int((~torch.isin(places, held)).sum())
    if not seen:
        return []
    return [
        f"a teacher that was trained on its own data and labels alone has seen {seen} of the {len(places)} test "
        "samples: give both a test split or, for tables, --group-by with the key in every command"
    ]


def _held_out(source: Source, config: DataConfig) -> tuple[Tensor, Tensor]:
    """Return which training samples stay and which are held out, in each class as it was read the same share."""
    train = source.train
    strata = train.targets if train.strata is None else train.strata
    return held_out(strata, config.holdout or MISSING_TEST, seed=config.split_seed, groups=train.groups)


def _note_of(source: Source, config: DataConfig, count: int) -> str:
    if config.holdout:
        return f"evaluated on {count} samples held out of the train split, which are not trained on"
    each = "" if source.train.targets.is_floating_point() else " of each class"
    of_each = f"a fixed fifth{each}" if source.train.groups is None else "whole groups, about a fifth,"
    return f"no test split: {of_each} of the train split is held out as test"


def _require_trained(train: Samples, kept: Tensor, held: Tensor, classes: tuple[str, ...]) -> None:
    """Raise where whole groups that are held out leave no group, or none of a class, to train on."""
    trained = train.targets[kept].unique()
    lost = [number for number in train.targets[held].unique().tolist() if number not in trained]
    if lost:
        whose = f" of class {classes[lost[0]]!r}" if classes and len(kept) else ""
        raise UsageError(
            f"the groups that are held out have all samples{whose}, so that none is left to train on: "
            "hold out others by another --split-seed, or give data with more groups"
        )
