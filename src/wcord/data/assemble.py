"""From the sources of student and teacher to a data set: samples chosen and paired, images decoded, views laid on."""

from dataclasses import replace

import torch
from torch import Tensor

from wcord.checks import UsageError
from wcord.data.choice import Chosen, choose, cut_of, seen_alone
from wcord.data.config import DataConfig, PairingConfig
from wcord.data.form import find_form
from wcord.data.frame import Frame
from wcord.data.images import Form
from wcord.data.label_values import alike_note, gap_code_note
from wcord.data.memory import check_all, decode_all, resize_all, without_bad
from wcord.data.names import listed
from wcord.data.pairing import Partners, find_partners, number_by_student, origin_of
from wcord.data.samples import Samples, Source
from wcord.data.several import refuse_several
from wcord.data.split import (
    TEST_UNSEEN,
    DataSet,
    MemorySplit,
    Split,
    StreamSplit,
    TeacherSide,
    ViewedSplit,
    base_and_view,
    none_like,
    seen_through,
)
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
    choice = choose(source, config)
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
    for one in (source, other):
        refuse_several(one.train.targets, "an input of the teacher's own")
    _check(config)
    _check(theirs)
    if not other.pictures:
        theirs = replace(theirs, augment="auto")  # what is asked for is for the student's pictures
    elif not source.pictures and pairing.way != "label" and theirs.augment == "auto":
        theirs = replace(theirs, augment="none")  # as its partner stays what it is
    if pairing.way == "label":
        student, taught = assemble(source, config), assemble(number_by_student(source, other), theirs)
        side = TeacherSide(taught, by_label=True, shared=False, classes=other.classes)
        note = "paired by label: no sample has a partner of its own, so one of its class is drawn each time"
        notes = (*student.notes, note, *(f"teacher: {told}" for told in taught.notes))
        return replace(student, teacher=side, notes=notes)
    # What is held out is settled before samples without a partner are left out, so that it stays what a network
    # trained on either data set alone held out.
    choice = choose(source, config)
    if pairing.teacher_data is None:
        partners, paired = _themselves(source, other, choice.test_from)
    else:
        partners, paired = find_partners(source, other, pairing, held_out=choice.test_from == "train")
        paired += [f"teacher: {note}" for note in other.notes]
    own, others = choice.paired(source, partners)
    alone = _grouped_alike(other, config, theirs, pairing)
    if alone is not None:
        paired += seen_alone(choice, alone, partners, config)
    if pairing.teacher_data is None and TEST_UNSEEN in paired:
        paired += [f"teacher: {note}" for note in other.notes]
    same_records = pairing.teacher_data is None and source.columns == other.columns and _alike(source, other)
    if same_records:  # read once, however many look at them
        others = {split: replace(samples, store=own[split].store) for split, samples in others.items()}
    (own, others), unreadable = _readable([own, others], config)
    student = _data_set(source, own, config, (*source.notes, *choice.notes, *paired, *unreadable))
    if same_records:
        taught = _another_look(student, other, others, theirs)
    else:
        taught = _data_set(other, others, theirs, ())
    shared = pairing.pair_augment == "shared" and (same_records or (source.pictures and other.pictures))
    if alone is not None and len(taught.test):  # what was held out from it matters where it is measured
        taught = replace(taught, cut=cut_of(alone, config))
    return replace(student, cut=choice.cut, teacher=TeacherSide(taught, shared=shared))


def _alike(source: Source, other: Source) -> bool:
    """Tell whether records that were read twice are of one form: another file of a table may have more visits."""
    stores = source.train.store, other.train.store
    if not isinstance(stores[0], Tensor) or not isinstance(stores[1], Tensor):
        return True
    return stores[0].shape[1:] == stores[1].shape[1:]


def _themselves(source: Source, other: Source, test_from: str) -> tuple[dict[str, Partners], list[str]]:
    """Return each sample of a source as its own partner, as the teacher's reading of the same source has it, and notes.

    The test split that is measured on may lack the teacher's labels, or what it sees: it then sees none of that.
    """
    splits = {"train": other.train}
    if other.test is not None and origin_of(source.test) == origin_of(other.test):
        splits["test"] = other.test
    partners = {split: Partners(held, torch.arange(len(held))) for split, held in splits.items()}
    return partners, [] if test_from in partners else [TEST_UNSEEN]


def _grouped_alike(other: Source, config: DataConfig, theirs: DataConfig, pairing: PairingConfig) -> Source | None:
    """Return the teacher's source with the groups that its own training had by the same settings; None: unknown.

    They are known where the column of --group-by is read for the teacher, too: as the key of the pairs, or as whose
    visits there are.
    """
    column = config.group_by
    if pairing.teacher_data is None or column in (None, theirs.visits_of):
        return other
    if column == pairing.join:
        return replace(other, train=replace(other.train, groups=other.train.keys))
    return None


def teacher_config(config: DataConfig, pairing: PairingConfig) -> DataConfig:
    """Return what the teacher sees as a configuration of its own; what it does not say is as the student has it."""
    other_data = pairing.teacher_data is not None
    form = pairing.teacher_image_size, pairing.teacher_crop_fraction
    if form != (None, None) and not other_data:
        raise UsageError(
            "--teacher-image-size and --teacher-crop-fraction go with --teacher-data: of one picture both see the same "
            "part; --teacher-size resizes what the teacher gets"
        )
    if form[1] is not None and form[0] is None:
        raise UsageError("--teacher-crop-fraction says what is kept where images are resized: --teacher-image-size")
    visits = pairing.teacher_visits_of, pairing.teacher_order_by
    if visits != (None, None) and not other_data:
        raise UsageError("--teacher-visits-of and --teacher-order-by go with --teacher-data: give --visits-of for both")
    same_kind = not other_data or _kind(pairing.teacher_data or "") == _kind(config.data)
    theirs = replace(
        config,
        data=pairing.teacher_data or config.data,
        input=pairing.teacher_input or (() if other_data else config.input),
        label=pairing.teacher_label or (config.label if same_kind else None),
        view=pairing.teacher_view,
        merge=() if pairing.teacher_label else config.merge,
        class_order=config.class_order if same_kind else "auto",
    )
    if not other_data:
        return theirs
    # Which samples are used is said by the student's; whose they are, by their partners.
    fraction = 1.0 if form[1] is None else form[1]
    theirs = replace(theirs, subset=None, holdout=0.0, group_by=None, image_size=form[0], crop_fraction=fraction)
    if visits[0] is not None or visits[1] or not same_kind:
        return replace(theirs, visits_of=visits[0] or None, order_by=visits[1] or None)
    return theirs


def _kind(data: str) -> str:
    return data.partition(":")[0]


def _check(config: DataConfig) -> None:
    View.parse(config.view)
    _frame(config)


def _frame(config: DataConfig) -> Frame | None:
    return Frame.of(config.image_size, config.crop_fraction)


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
            known = isinstance(samples.store, Tensor) or any(samples.store is store for store in stores)
            if known or not len(samples):  # the teacher may see nothing of the test samples
                continue
            stores.append(samples.store)
            form, _ = find_form([samples], _frame(config))
            bad = check_all(samples, form, title=f"checking {split} images")
            readable, told = without_bad(samples, bad, skip=True, split=split)
            good &= torch.zeros_like(good).index_fill(0, readable, True)
            notes += told
        kept = torch.where(good)[0]
        sides = [{**side, split: side[split].take(kept)} if len(side[split]) else side for side in sides]
    return sides, tuple(notes)


def _class_notes(classes: tuple[str, ...]) -> tuple[str, ...]:
    return (*alike_note("classes", classes), *gap_code_note(classes))


def _untrained_notes(source: Source, chosen: Chosen) -> tuple[str, ...]:
    """Name the values of a table's columns of text that only rows held out have: no weight is trained for them."""
    notes: list[str] = []
    for column, values in source.categories.items():
        for value in values:
            if (name := f"{column}={value}") not in source.columns:  # the first, which the others tell
                continue
            place = source.columns.index(name)
            train, test = (_marked(chosen[split], place) for split in ("train", "test"))
            if test and not train:
                notes.append(f"column {column!r}: {value!r} stands in {test} test rows and in no training row")
    return tuple(notes)


def _marked(samples: Samples, place: int) -> int:
    """Return how many rows of a table, or visits, have 1 in a column."""
    assert isinstance(samples.store, Tensor)
    return int((samples.store[samples.rows, place] == 1).sum())


def _data_set(source: Source, chosen: Chosen, config: DataConfig, notes: tuple[str, ...]) -> DataSet:
    store = chosen["train"].store
    if isinstance(store, Tensor) and store.shape[3] == 1 and (config.image_size or config.augment not in FOR_TABLES):
        raise UsageError(
            "image_size and augment are for pictures, but these samples are rows of a table: leave them out, and the "
            "weights of a network for pictures too"
        )
    bases, more = _read(chosen, config)
    view = View.parse(config.view)
    return DataSet(
        train=seen_through(bases["train"], view),
        test=seen_through(bases["test"], view),
        classes=source.classes,
        name=source.name,
        augment=_suitable(source, bases["train"]) if config.augment == "auto" else config.augment,
        notes=(
            *notes,
            *more,
            *_untrained_notes(source, chosen),
            *_class_notes(source.classes),
            *_absent(source, chosen),
        ),
        columns=source.columns,
        categories=source.categories,
        formats=source.formats,
        crop_fraction=config.crop_fraction,
        pictures=source.pictures,
        files={split: samples.files for split, samples in chosen.items() if samples.by_file},
    )


def _absent(source: Source, chosen: Chosen) -> list[str]:
    """Tell of classes of which one of the splits has no sample."""
    notes: list[str] = []
    for split, what in (("train", "they cannot be learned"), ("test", "nothing is measured of them")):
        targets = chosen[split].targets
        if not source.classes or not len(targets):
            continue
        counts = targets.sum(0) if targets.is_floating_point() else targets.bincount(minlength=len(source.classes))
        absent = [name for name, count in zip(source.classes, counts.tolist(), strict=True) if not count]
        if absent:
            notes.append(
                f"{len(absent)} of the {len(source.classes)} classes have no {split} sample ({listed(absent)}): {what}"
            )
    return notes


def _another_look(student: DataSet, other: Source, others: Chosen, theirs: DataConfig) -> DataSet:
    """Return what the teacher sees of the student's own records, with labels of its own."""
    view = View.parse(theirs.view)
    bases = {"train": base_and_view(student.train)[0], "test": base_and_view(student.test)[0]}
    if not len(others["test"]):
        bases["test"] = none_like(bases["test"])
    splits = {split: ViewedSplit(base, view, others[split].targets) for split, base in bases.items()}
    return DataSet(
        splits["train"],
        splits["test"],
        other.classes,
        student.name,
        student.augment,
        columns=student.columns,
        crop_fraction=student.crop_fraction,
        pictures=student.pictures,
    )


def _read(chosen: Chosen, config: DataConfig) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Bring the images of both splits to one form, in memory or streamed."""
    splits: dict[str, Split] = {}
    for split, samples in chosen.items():
        if isinstance(samples.store, Tensor):
            images = samples.store[samples.rows]
            frame = _frame(config)
            resized = images if frame is None else resize_all(images, frame)
            # Their own values are what is kept of them; resized, they would depend on the machine in their last bits.
            origin = None if resized is images else (samples.store, samples.rows)
            splits[split] = MemorySplit(resized, samples.targets, origin)
    if splits:
        return splits, ()
    form, notes = find_form(list(chosen.values()), _frame(config))
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
    return MemorySplit(images, samples.targets, (samples.store, samples.rows))


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
