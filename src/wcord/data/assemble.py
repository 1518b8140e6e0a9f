"""From the sources of student and teacher to a data set: samples chosen and paired, images decoded, views applied."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from wcord.checks import UsageError
from wcord.data.choice import choose, cut_of, leak_note
from wcord.data.config import DataConfig, PairingConfig, TeacherData
from wcord.data.dataset import DataSet
from wcord.data.images import Form, Frame
from wcord.data.label_values import alike_note, gap_code_note, refuse_several
from wcord.data.memory import check_all, decode_all, find_form, resize_all, without_bad
from wcord.data.names import listed
from wcord.data.pairing import TEST_UNSEEN, number_by_student, with_itself, with_partners
from wcord.data.samples import Samples, Source
from wcord.data.sources.registry import kind_of
from wcord.data.split import MemorySplit, Split, StreamSplit, ViewedSplit, base_and_view, none_like, seen_through
from wcord.data.view import View

MEMORY_LIMIT = 4 * 2**30
"""Bytes of decoded images, of both splits together, up to which `in_memory="auto"` keeps them."""
FOR_TABLES = ("auto", "none")


def assemble(source: Source, config: DataConfig) -> DataSet:
    """Choose the samples of a source, then read them.

    Raises:
        UsageError: no samples are left, images cannot be read, a view does not suit them.
    """
    _check(config)
    return _data_set(_drop_unreadable(choose(source, config), config), config)


def assemble_pairs(
    source: Source,
    other: Source,
    config: DataConfig,
    taught: DataConfig,
    pairing: PairingConfig,
    apart: Collection[str],
) -> DataSet:
    """Pair the samples of student and teacher, choose some of them, then read them.

    Args:
        source: the student's.
        other: the teacher's.
        config: what the student sees.
        taught: what the teacher sees.
        pairing: how partners are found.
        apart: the settings that the teacher has otherwise.

    Raises:
        UsageError: as `assemble`, `pairing.with_partners` and `pairing.number_by_student`.
    """
    for one in (source, other):
        refuse_several(one.train.targets, "an input of the teacher's own")
    _check(config)
    _check(taught)
    if not other.pictures:
        taught = replace(taught, augment="auto")  # the configured augmentation is for the student's pictures
    elif not source.pictures and pairing.way != "label" and taught.augment == "auto":
        taught = replace(taught, augment="none")  # as the student's sample is not augmented either
    if pairing.way == "label":
        return _paired_by_label(source, other, config, taught)
    # The held-out part is settled before samples without a partner are dropped, so that it is the one that a network
    # trained on either data set alone held out.
    chosen, other, notes = _chosen_pairs(source, other, config, taught, pairing, apart)
    same_records = "data" not in apart and source.columns == other.columns and _alike(source, other)
    if same_records:  # read once for both
        shared = {
            split: replace(samples, partner=samples.partner and replace(samples.partner, store=samples.store))
            for split, samples in chosen.splits.items()
        }
        chosen = replace(chosen, **shared)
    chosen = _drop_unreadable(replace(chosen, notes=(*chosen.notes, *notes)), config)
    student, partners = _data_set(chosen, config), _partners(other, chosen)
    teacher = _same_records(student, partners, taught) if same_records else _data_set(partners, taught)
    shared = pairing.pair_augment == "shared" and (same_records or (source.pictures and other.pictures))
    # A cut of the teacher's own data matters only where the teacher is measured.
    teacher = replace(teacher, cut=partners.cut if len(teacher.test) else {})
    return replace(student, teacher=teacher, pairs="shared" if shared else "separate")


def _paired_by_label(source: Source, other: Source, config: DataConfig, taught: DataConfig) -> DataSet:
    student, teacher = assemble(source, config), assemble(number_by_student(source, other), taught)
    note = "paired by label: each time, a random sample of the same class is the partner"
    notes = (*student.notes, note, *(f"teacher: {line}" for line in teacher.notes))
    return replace(student, teacher=replace(teacher, source_classes=other.classes), pairs="label", notes=notes)


def _chosen_pairs(
    source: Source,
    other: Source,
    config: DataConfig,
    taught: DataConfig,
    pairing: PairingConfig,
    apart: Collection[str],
) -> tuple[Source, Source, list[str]]:
    """Return the student's chosen samples with their partners, the teacher's source with its cut, and notes."""
    held_out = source.test is None or config.holdout > 0
    if "data" not in apart:
        paired, notes = with_itself(source, other, held_out=held_out)
    else:
        paired, notes = with_partners(source, other, pairing, held_out=held_out, same_label="label" not in apart)
        notes += [f"teacher: {note}" for note in other.notes]
    chosen = choose(paired, config)
    chosen = replace(chosen, **{split: samples.paired() for split, samples in chosen.splits.items()})
    assert chosen.test is not None
    alone = _grouped_as_trained(other, config, taught, pairing) if "data" in apart else other
    if alone is not None:
        notes += leak_note(chosen.test, alone, config)
    if "data" not in apart and TEST_UNSEEN in notes:
        notes += [f"teacher: {note}" for note in other.notes]
    return chosen, replace(other, cut={} if alone is None else cut_of(alone, config)), notes


def _partners(other: Source, chosen: Source) -> Source:
    """Return the teacher's source with the partners of the student's samples, and without its notes."""
    train, test = chosen.train.partner, None if chosen.test is None else chosen.test.partner
    assert train is not None
    return replace(other, train=train, test=train.take(torch.arange(0)) if test is None else test, notes=())


def _alike(source: Source, other: Source) -> bool:
    """Return whether two readings of the same records have one form: one may have more visits."""
    stores = source.train.store, other.train.store
    if not isinstance(stores[0], Tensor) or not isinstance(stores[1], Tensor):
        return True
    return stores[0].shape[1:] == stores[1].shape[1:]


def _grouped_as_trained(other: Source, config: DataConfig, taught: DataConfig, pairing: PairingConfig) -> Source | None:
    """Return the teacher's source with the groups that its own training had with the same settings; None: unknown.

    They are known if the column of --group-by is read for the teacher, too: as the key of the pairs, or as the subject
    of the visits.
    """
    column = config.group_by
    if column in (None, taught.visits_of):
        return other
    if column == pairing.join:
        return replace(other, train=replace(other.train, groups=other.train.keys))
    return None


def teacher_config(config: DataConfig, teacher: TeacherData) -> DataConfig:
    """Return the data as the teacher sees them: its settings, laid over those of the student.

    A view is for one network. Other data have other columns, pictures of another size, and samples that follow as
    partners of the student's; data of another kind have no column of the student's, and other labels are not merged.

    Raises:
        UsageError: a setting that has an effect only with another one.
    """
    other_data = "data" in teacher
    if not other_data and teacher.keys() & {"image_size", "crop_fraction"}:
        raise UsageError(
            "--teacher-image-size and --teacher-crop-fraction go with --teacher-data: of one picture both see the same "
            "part; --teacher-size resizes what the teacher gets"
        )
    if "crop_fraction" in teacher and "image_size" not in teacher:
        raise UsageError("--teacher-crop-fraction needs --teacher-image-size: add it")
    if not other_data and teacher.keys() & {"visits_of", "order_by"}:
        raise UsageError("--teacher-visits-of and --teacher-order-by go with --teacher-data: give --visits-of for both")
    laid, default = replace(config, view=None), DataConfig()
    if "label" in teacher:
        laid = replace(laid, merge=())
    if other_data:
        size, fraction = default.image_size, default.crop_fraction
        laid = replace(laid, input=(), subset=None, holdout=0.0, group_by=None, image_size=size, crop_fraction=fraction)
    if other_data and kind_of(teacher["data"]) != kind_of(config.data):
        laid = replace(laid, label=None, class_order="auto", visits_of=None, order_by=None)
    if teacher.keys() & {"visits_of", "order_by"}:
        laid = replace(laid, visits_of=None, order_by=None)
    return replace(laid, **{name: None if value == "" else value for name, value in teacher.items()})


def _check(config: DataConfig) -> None:
    View.parse(config.view)
    _frame(config)


def _frame(config: DataConfig) -> Frame | None:
    return Frame.of(config.image_size, config.crop_fraction)


def _drop_unreadable(source: Source, config: DataConfig) -> Source:
    """Return the source without samples that have an unreadable image, on either side, if that is allowed.

    Every image is tried once: the number of rows must be settled before the first epoch.
    """
    if not config.skip_bad_images:
        return source
    for split, samples in source.splits.items():
        good, notes = torch.ones(len(samples), dtype=torch.bool), source.notes
        for side in (samples, samples.partner):
            repeated = side is samples.partner and side is not None and side.store is samples.store
            if side is None or repeated or isinstance(side.store, Tensor) or not len(side):
                continue
            form, _ = find_form([side], _frame(config))
            bad = check_all(side, form, title=f"checking {split} images")
            readable, more = without_bad(side, bad, skip=True, split=split)
            good &= torch.zeros_like(good).index_fill(0, readable, True)
            notes = (*notes, *more)
        source = replace(source, notes=notes, **{split: samples.take(torch.where(good)[0])})
    return source


def _data_set(source: Source, config: DataConfig) -> DataSet:
    """Read the chosen samples of a source."""
    store = source.train.store
    if isinstance(store, Tensor) and store.shape[3] == 1 and (config.image_size or config.augment not in FOR_TABLES):
        raise UsageError(
            "image_size and augment are for pictures, but these samples are rows of a table: leave them out, and the "
            "weights of a network for pictures too"
        )
    bases, notes = _read(source.splits, config)
    view = View.parse(config.view)
    classes = (*alike_note("classes", source.classes), *gap_code_note(source.classes))
    return DataSet(
        train=seen_through(bases["train"], view),
        test=seen_through(bases["test"], view),
        classes=source.classes,
        name=source.name,
        augment=_suitable(source, bases["train"]) if config.augment == "auto" else config.augment,
        notes=(*source.notes, *notes, *_untrained_notes(source), *classes, *_absent_notes(source)),
        columns=source.columns,
        categories=source.categories,
        formats=source.formats,
        crop_fraction=config.crop_fraction,
        cut=source.cut,
        pictures=source.pictures,
        files={split: samples.files for split, samples in source.splits.items() if samples.by_file},
    )


def _untrained_notes(source: Source) -> list[str]:
    """Return notes on category values that occur in test rows only: no weight is trained for them."""
    notes: list[str] = []
    for column, values in source.categories.items():
        for value in values:
            if (name := f"{column}={value}") not in source.columns:  # the first value has no column of its own
                continue
            place = source.columns.index(name)
            train, test = (_marked(samples, place) for samples in source.splits.values())
            if test and not train:
                notes.append(f"column {column!r}: {value!r} stands in {test} test rows and in no training row")
    return notes


def _marked(samples: Samples, place: int) -> int:
    """Return how many rows of a table, or visits, have 1 in a column."""
    assert isinstance(samples.store, Tensor)
    return int((samples.store[samples.rows, place] == 1).sum())


def _absent_notes(source: Source) -> list[str]:
    """Return notes on classes without a sample in one of the splits."""
    notes: list[str] = []
    for split, consequence in (("train", "they cannot be learned"), ("test", "nothing is measured of them")):
        targets = source.splits[split].targets
        if not source.classes or not len(targets):
            continue
        counts = targets.sum(0) if targets.is_floating_point() else targets.bincount(minlength=len(source.classes))
        absent = [name for name, count in zip(source.classes, counts.tolist(), strict=True) if not count]
        if absent:
            notes.append(
                f"{len(absent)} of the {len(source.classes)} classes have no {split} sample ({listed(absent)}): "
                f"{consequence}"
            )
    return notes


def _same_records(student: DataSet, partners: Source, taught: DataConfig) -> DataSet:
    """Return what the teacher sees of the student's own records, with the teacher's labels."""
    view = View.parse(taught.view)
    bases = {"train": base_and_view(student.train)[0], "test": base_and_view(student.test)[0]}
    if not len(partners.splits["test"]):
        bases["test"] = none_like(bases["test"])
    splits = {name: ViewedSplit(base, view, partners.splits[name].targets) for name, base in bases.items()}
    return DataSet(
        splits["train"],
        splits["test"],
        partners.classes,
        student.name,
        student.augment,
        columns=student.columns,
        crop_fraction=student.crop_fraction,
        pictures=student.pictures,
    )


def _read(samples: Mapping[str, Samples], config: DataConfig) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Return both splits with images of one form, in memory or streamed, and notes."""
    frame = _frame(config)
    splits: dict[str, Split] = {}
    for split, each in samples.items():
        if isinstance(each.store, Tensor):
            images = each.store[each.rows]
            resized = images if frame is None else resize_all(images, frame)
            # The fingerprint is of the original values: resized ones depend on the machine in their last bits.
            origin = None if resized is images else (each.store, each.rows)
            splits[split] = MemorySplit(resized, each.targets, origin)
    if splits:
        return splits, ()
    form, notes = find_form(list(samples.values()), frame)
    channels, height, width = form.shape
    size = sum(map(len, samples.values())) * channels * height * width * form.bytes
    stream = config.in_memory == "no" or (config.in_memory == "auto" and size > MEMORY_LIMIT)
    return {split: _decoded(each, form, split, stream) for split, each in samples.items()}, notes


def _decoded(samples: Samples, form: Form, split: str, stream: bool) -> Split:
    assert not isinstance(samples.store, Tensor)
    if stream:
        return StreamSplit(samples.store, samples.rows, samples.targets, form)
    images, bad = decode_all(samples, form, title=f"reading {split} images")
    without_bad(samples, bad, skip=False, split=split)
    return MemorySplit(images, samples.targets, (samples.store, samples.rows))


def _suitable(source: Source, train: Split) -> str:
    """Return the augmentation that suits the source, or else the form of its images.

    Small gray pictures are mostly signs, which have no mirror image; large pictures are cropped and resized like
    ImageNet's; the rest is treated like CIFAR.
    """
    if source.augment is not None:
        return source.augment
    channels, height, width = train.shape
    if min(height, width) >= 96:
        return "resized-crop"
    return "shift" if channels == 1 else "crop-flip"
