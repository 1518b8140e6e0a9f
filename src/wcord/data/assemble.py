"""From the sources of student and teacher to a data set: samples chosen and paired, images decoded, views laid on."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from wcord.checks import UsageError, require_choice
from wcord.data.augment import AUGMENTATIONS
from wcord.data.config import MISSING_TEST, DataConfig, PairingConfig
from wcord.data.form import find_form
from wcord.data.images import Form
from wcord.data.memory import check_all, decode_all, resize_all, without_bad
from wcord.data.pairing import Partners, find_partners, number_by_student
from wcord.data.samples import Samples, Source
from wcord.data.selection import held_out, require_apart, subset
from wcord.data.split import (
    DataSet,
    MemorySplit,
    Split,
    StreamSplit,
    TeacherSide,
    ViewedSplit,
    base_and_view,
    seen_through,
)
from wcord.data.view import View

MEMORY_LIMIT = 4 * 2**30
"""Bytes of decoded images, of both splits together, up to which `in_memory="auto"` keeps them."""

CUT = ("split_seed", "holdout", "group_by")
"""Settings that decide which samples are held out of a source without a test split."""

FOR_TABLES = ("auto", "none")

Chosen = dict[str, Samples]
"""Split name → samples."""


def assemble(source: Source, config: DataConfig) -> DataSet:
    """Choose the samples of a source, then read them.

    Raises:
        UsageError: no samples are left, images cannot be read, a view does not suit them.
    """
    _check(config)
    choice = _choose(source, config)
    (chosen,), notes = _readable([choice.of(source)], config)
    data = _data_set(source, chosen, config, (*source.notes, *choice.notes, *notes))
    return replace(data, cut=choice.cut)


def assemble_pairs(
    source: Source, other: Source, config: DataConfig, theirs: DataConfig, pairing: PairingConfig
) -> DataSet:
    """Pair the samples of student and teacher, choose some of them, then read them.

    Args:
        source: the student's.
        other: the teacher's.
        config: what the student sees.
        theirs: what the teacher sees.
        pairing: how they belong together.

    Raises:
        UsageError: as `assemble`; and what `find_partners` and `number_by_student` complain about.
    """
    require_choice("pair_augment", pairing.pair_augment, ("shared", "separate"))
    require_choice("unpaired", pairing.unpaired, ("error", "drop"))
    _check(config)
    _check(theirs)
    if pairing.way == "label":
        student, taught = assemble(source, config), assemble(number_by_student(source, other), theirs)
        note = "paired by label: no sample has a partner of its own, so one of its class is drawn each time"
        notes = (*student.notes, note, *(f"teacher: {told}" for told in taught.notes))
        return replace(student, teacher=TeacherSide(taught, by_label=True, shared=False), notes=notes)
    choice = _choose(source, config)
    own = choice.of(source)
    same_records = pairing.teacher_data is None and source.columns == other.columns
    if same_records:  # read once, however many look at them
        others = {split: replace(samples, store=own[split].store) for split, samples in choice.of(other).items()}
        paired = _warning_of_splits(source, other)
    elif pairing.teacher_data is None:
        others, paired = choice.of(other), _warning_of_splits(source, other)
    else:
        # What is held out is settled before samples without a partner are left out, so that it stays what a network
        # trained on either data set alone held out.
        partners, paired = find_partners(source, other, pairing)
        own, others = choice.paired(source, partners)
        if source.test is None and source.train.groups is None and pairing.way == "key":
            paired.append(
                "no test split: a teacher that was trained on its own table has held out other rows; --group-by with "
                "the key in every command holds out the same"
            )
    (own, others), unreadable = _readable([own, others], config)
    student = _data_set(source, own, config, (*source.notes, *choice.notes, *paired, *unreadable))
    if same_records:
        taught = _another_look(student, other, others, theirs)
    else:
        taught = _data_set(other, others, theirs, ())
    return replace(student, cut=choice.cut, teacher=TeacherSide(taught, shared=pairing.pair_augment == "shared"))


def _warning_of_splits(source: Source, other: Source) -> list[str]:
    """Tell where a teacher trained on its own labels has held out other samples: each class gives its share."""
    if source.test is not None or torch.equal(source.train.targets, other.train.targets):
        return []
    return [
        "no test split, and the teacher's labels are others: trained alone, it has held out other samples than these"
    ]


def teacher_config(config: DataConfig, pairing: PairingConfig) -> DataConfig:
    """Return what the teacher sees as a configuration of its own; what it does not say is as the student has it."""
    other_data = pairing.teacher_data is not None
    visits = pairing.teacher_visits_of, pairing.teacher_order_by
    if any(visits) and not other_data:
        raise UsageError("--teacher-visits-of and --teacher-order-by go with --teacher-data: give --visits-of for both")
    same_kind = not other_data or _kind(pairing.teacher_data or "") == _kind(config.data)
    theirs = replace(
        config,
        data=pairing.teacher_data or config.data,
        input=pairing.teacher_input or (() if other_data else config.input),
        label=pairing.teacher_label or (config.label if same_kind else None),
        view=pairing.teacher_view,
        merge=() if pairing.teacher_label else config.merge,
    )
    if not other_data:
        return theirs
    # Which samples are used is said by the student's; whose they are, by their partners.
    theirs = replace(theirs, subset=None, holdout=0.0, image_size=None, group_by=None)
    if any(visits) or not same_kind:
        return replace(theirs, visits_of=visits[0], order_by=visits[1])
    return theirs


def _kind(data: str) -> str:
    return data.partition(":")[0]


def _check(config: DataConfig) -> None:
    require_choice("augmentation", config.augment, ("auto", *AUGMENTATIONS))
    require_choice("in_memory", config.in_memory, ("auto", "yes", "no"))
    View.parse(config.view)
    if config.crop_fraction != 1 and config.image_size is None:
        raise UsageError("--crop-fraction says what is kept where images are resized: give --image-size too")
    if not 0 < config.crop_fraction <= 1:
        raise UsageError(f"crop_fraction must lie above 0 and be at most 1, received {config.crop_fraction}")
    if config.image_size is not None and config.image_size < 1:
        raise UsageError(f"image_size must be at least 1 pixel, received {config.image_size}")


@dataclass(frozen=True)
class _Choice:
    """Which positions of a source's splits are used: the same for the student's source and its teacher's."""

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
        """Return the chosen samples that have a partner, and those partners."""
        own, others = {}, {}
        for split, samples, positions in (
            ("train", source.train, self.train),
            ("test", source.train if self.test_from == "train" else source.test, self.test),
        ):
            assert samples is not None
            found = partners["train" if split == "train" else self.test_from]
            kept = positions[found.places[positions] >= 0]
            own[split], others[split] = samples.take(kept), found.pool.take(found.places[kept])
        return own, others


def _choose(source: Source, config: DataConfig) -> _Choice:
    train, test = source.train, source.test
    kept, notes, test_from = torch.arange(len(train)), (), "train"
    if config.holdout:
        kept, held = held_out(train.targets, config.holdout, seed=config.split_seed, groups=train.groups)
        notes = (f"evaluated on {len(held)} samples held out of the train split, which are not trained on",)
    elif test is None:
        kept, held = held_out(train.targets, MISSING_TEST, seed=config.split_seed, groups=train.groups)
        of_each = "a fixed fifth of each class" if train.groups is None else "whole groups, about a fifth,"
        notes = (f"no test split: {of_each} of the train split is held out as test",)
    else:
        held, test_from = torch.arange(len(test)), "test"
        require_apart(train.groups, test.groups)
    if not len(held):
        raise UsageError(f"no sample is left to evaluate on: {len(train)} in all are too few to hold some out")
    if config.subset is not None:
        taken = subset(train.targets[kept], config.subset, source.classes, seed=config.split_seed)
        notes = (*notes, f"trained on a subset: {len(taken)} of {len(kept)} samples, the same share of each class")
        kept = kept[taken]
    cut = {} if test is not None else {name: getattr(config, name) for name in CUT}
    return _Choice(kept, held, test_from, notes, cut)


def _readable(sides: list[Chosen], config: DataConfig) -> tuple[list[Chosen], tuple[str, ...]]:
    """Leave out, on all sides, samples of which an image cannot be read, where that is allowed.

    Every image is tried once: which rows there are must be settled before the first epoch.
    """
    if not config.skip_bad_images:
        return sides, ()
    notes: list[str] = []
    for split in ("train", "test"):
        good = torch.ones(len(sides[0][split]), dtype=torch.bool)
        stores: list[object] = []
        for side in sides:
            samples = side[split]
            if isinstance(samples.store, Tensor) or any(samples.store is store for store in stores):
                continue
            stores.append(samples.store)
            form, _ = find_form([samples], config.image_size, config.crop_fraction)
            bad = check_all(samples, form, title=f"checking {split} images")
            readable, told = without_bad(samples, bad, skip=True, split=split)
            good &= torch.zeros_like(good).index_fill(0, readable, True)
            notes += told
        sides = [{**side, split: side[split].take(torch.where(good)[0])} for side in sides]
    return sides, tuple(notes)


def _data_set(source: Source, chosen: Chosen, config: DataConfig, notes: tuple[str, ...]) -> DataSet:
    store = chosen["train"].store
    if isinstance(store, Tensor) and store.shape[3] == 1 and (config.image_size or config.augment not in FOR_TABLES):
        raise UsageError("image_size and augment are for pictures: leave them out beside a table")
    bases, more = _read(chosen, config)
    view = View.parse(config.view)
    return DataSet(
        train=seen_through(bases["train"], view),
        test=seen_through(bases["test"], view),
        classes=source.classes,
        name=source.name,
        augment=_suitable(source, bases["train"]) if config.augment == "auto" else config.augment,
        notes=(*notes, *more),
        columns=source.columns,
        categories=source.categories,
        crop_fraction=config.crop_fraction,
    )


def _another_look(student: DataSet, other: Source, others: Chosen, theirs: DataConfig) -> DataSet:
    """Return what the teacher sees of the student's own records, with labels of its own."""
    view = View.parse(theirs.view)
    bases = {"train": base_and_view(student.train)[0], "test": base_and_view(student.test)[0]}
    splits = {split: ViewedSplit(base, view, others[split].targets) for split, base in bases.items()}
    return DataSet(
        splits["train"], splits["test"], other.classes, student.name, student.augment, columns=student.columns
    )


def _read(chosen: Chosen, config: DataConfig) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Bring the images of both splits to one form, in memory or streamed."""
    splits: dict[str, Split] = {}
    for split, samples in chosen.items():
        if isinstance(samples.store, Tensor):
            images = samples.store[samples.rows]
            resized = (
                images if config.image_size is None else resize_all(images, config.image_size, config.crop_fraction)
            )
            splits[split] = MemorySplit(resized, samples.targets)
    if splits:
        return splits, ()
    form, notes = find_form(list(chosen.values()), config.image_size, config.crop_fraction)
    stream = config.in_memory == "no" or (config.in_memory == "auto" and _bytes(chosen, form) > MEMORY_LIMIT)
    for split, samples in chosen.items():
        splits[split] = _decoded(samples, form, split, stream)
    return splits, notes


def _decoded(samples: Samples, form: Form, split: str, stream: bool) -> Split:
    if stream:
        assert not isinstance(samples.store, Tensor)
        return StreamSplit(samples.store, samples.rows, samples.targets, form)
    images, bad = decode_all(samples, form, title=f"reading {split} images")
    without_bad(samples, bad, skip=False, split=split)
    return MemorySplit(images, samples.targets)


def _bytes(chosen: Chosen, form: Form) -> int:
    channels, height, width = form.shape
    return sum(map(len, chosen.values())) * channels * height * width * form.bytes


def _suitable(source: Source, train: Split) -> str:
    """Return the augmentation that suits the source, or else the form of its images.

    Small grey pictures are mostly signs, which have no mirror image; large pictures are cropped and resized, as
    ImageNet's are; the rest is treated as CIFAR is.
    """
    if source.augment is not None:
        return source.augment
    channels, height, width = train.shape
    if min(height, width) >= 96:
        return "resized-crop"
    return "shift" if channels == 1 else "crop-flip"
