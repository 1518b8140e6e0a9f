"""Which of the teacher's samples belongs to which of the student's, where they come from different places."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from wcord.checks import UsageError, require_choice
from wcord.data.config import PairingConfig
from wcord.data.crossing import crossing
from wcord.data.names import compare_rows, listed, stem_of
from wcord.data.samples import Samples, Source
from wcord.data.split import TEST_UNSEEN
from wcord.data.stores import ColumnImages

WAYS = ("row", "stem", "path", "key", "label")


@dataclass(frozen=True)
class Partners:
    """The partners of the samples of one of the student's splits.

    Attributes:
        pool: the teacher's samples among which they are.
        places: for each of the student's samples the position of its partner in the pool, or −1 where it has none.
    """

    pool: Samples
    places: Tensor


def find_partners(
    student: Source, teacher: Source, config: PairingConfig, *, held_out: bool = False
) -> tuple[dict[str, Partners], list[str]]:
    """Return the partners of the samples of each of the student's splits, and notes for the reader of the result.

    Partners of a split are looked for in the teacher's split of that name; those of test samples among the teacher's
    training samples, where it has no other. If there are none, the teacher sees none of the test samples, and the
    result lacks that split.

    Args:
        student: the student's samples.
        teacher: the teacher's.
        config: how they belong together.
        held_out: whether a part of the training samples is measured on, so that a test split does not matter.

    Raises:
        UsageError: names that occur twice, splits of other lengths, or samples without a partner where `unpaired` is
            "error"; rows in one order whose labels say otherwise.
    """
    require_choice("pair_by", config.way, (*WAYS, "auto"))
    notes: list[str] = []
    guessed = False
    if config.way == "auto":
        way = _way(student, teacher)
        config = replace(config, pair_by=way)
        guessed = way == "row" and student.train.by_file != teacher.train.by_file
        if guessed:
            notes = ["paired by row, as one side has no names of files: those of the other are taken in their order"]
    complete = (student.test is None) == (teacher.test is None)
    if config.way == "row" and student.test is None and teacher.test is not None:
        raise UsageError(
            "the teacher's data have a test split and the student's have none: rows can be paired in their order only "
            "where both are split alike; give --pair-by stem or path, or --join"
        )
    pools = {"train": (student.train, teacher.train)}
    found: dict[str, Partners] = {}
    taken: set[str] = set()
    if student.test is not None and not held_out:
        searched = teacher.test
        origins = {origin_of(student.test), origin_of(searched)} - {None}
        if config.way == "row" and len(origins) > 1:  # rows of test are not those of validation
            searched = None
        if searched is None and config.way != "row":
            taken = set(_called("student", student.train, config))
            searched = teacher.train if _share_names(student.test, teacher.train, config, but=taken) else None
        if searched is None:
            complete, notes = True, [*notes, TEST_UNSEEN]
        else:
            pools["test"] = student.test, searched
    for split, (own, pool) in pools.items():
        but = taken if split == "test" else set[str]()
        found[split], more = _find(split, own, pool, config, complete=complete, but=but)
        notes += [*more, *_disagreeing(split, own, found[split], student, teacher, config, guessed=guessed)]
    return found, list(dict.fromkeys(notes))


def _way(student: Source, teacher: Source) -> Literal["path", "stem", "row"]:
    """Return how samples find their partners where nobody says it: by name where both sides have names of files.

    Raises:
        UsageError: they have, but none in common.
    """
    own, theirs = ([*source.train.files, *(source.test.files if source.test else ())] for source in (student, teacher))
    if not own or not theirs:
        return "row"
    if not set(own).isdisjoint(theirs):
        return "path"
    if not {stem_of(name) for name in own}.isdisjoint(map(stem_of, theirs)):
        return "stem"
    if all(isinstance(source.train.store, ColumnImages) for source in (student, teacher)):  # tables have an order
        return "row"
    raise UsageError(
        f"the files of student ({listed(own)}) and teacher ({listed(theirs)}) have no name in common by which to "
        "pair them: name them alike; or give --pair-by row if both lie in one order, --pair-by label if any sample of "
        "the same class will do"
    )


def _find(
    split: str, student: Samples, teacher: Samples, config: PairingConfig, *, complete: bool, but: set[str]
) -> tuple[Partners, list[str]]:
    """Return the partners of one split.

    Args:
        split: its name.
        student: the student's samples.
        teacher: those among which they are looked for.
        config: how they belong together.
        complete: each of the teacher's samples, too, should have a partner.
        but: names of the teacher's samples that are the partners of others.
    """
    if config.way == "row":
        if len(student) != len(teacher):
            raise UsageError(
                f"the student's {split} split has {len(student)} samples and the teacher's {len(teacher)}: rows are "
                "paired in their order only where there are as many; give --pair-by stem, path or label, or --join"
            )
        notes = compare_rows(split, student.files, teacher.files, "without --pair-by row files are paired by name")
        return Partners(teacher, torch.arange(len(teacher))), list(notes)
    own, others = _names("student", split, student, config), _names("teacher", split, teacher, config)
    rows = {name: row for row, name in enumerate(others) if name not in but}
    partners = Partners(teacher, torch.tensor([rows.get(name, -1) for name in own]))
    if not bool((partners.places >= 0).any()):
        raise UsageError(
            f"no sample of the student's {split} split has a partner: its samples are called {listed(own)}, "
            f"the teacher's {listed(others)}"
        )
    alone = {"student": [name for name in own if name not in rows]}
    if complete:
        known = set(own)
        alone["teacher"] = [name for name in others if name not in known]
    found = [
        f"{len(names)} {split} samples of the {side}'s data have no partner: {listed(names)}"
        for side, names in alone.items()
        if names
    ]
    again = [name for name in own if name in but]
    if again:
        found.append(
            f"{len(again)} of them have a training sample's name, and so no partner of their own: {listed(again)}"
        )
    if found and config.unpaired == "error":
        moved = config.way == "path" and not set(map(stem_of, alone["student"])).isdisjoint(map(stem_of, others))
        hint = "; --pair-by stem finds partners in other folders, too" if moved else ""
        raise UsageError(f"{'; '.join(found)}; add them, or leave them out by --unpaired drop{hint}")
    return partners, [f"left out: {line}" for line in found]


def origin_of(samples: Samples | None) -> str | None:
    """Return which split of a table of images samples were taken from: a test split without labels is passed over."""
    return samples.store.split if samples is not None and isinstance(samples.store, ColumnImages) else None


def _share_names(own: Samples, others: Samples, config: PairingConfig, *, but: set[str]) -> bool:
    """Tell whether any of the samples have a name in common, `but` aside: those of training samples may come again."""
    return not (set(_called("student", own, config)) - but).isdisjoint(_called("teacher", others, config))


def _called(side: str, samples: Samples, config: PairingConfig) -> list[str]:
    """Return what the samples are called."""
    if samples.keys is None or (config.way != "key" and not samples.by_file):
        wanted = {"key": "a table with the column of --join"}.get(config.way, "a folder of files")
        raise UsageError(f"the {side}'s data cannot be paired by {config.way}: that needs {wanted}")
    names = [str(key) for key in samples.keys.tolist()]
    return [stem_of(name) for name in names] if config.way == "stem" else names


def _names(side: str, split: str, samples: Samples, config: PairingConfig) -> list[str]:
    """Return what the samples are called; no name occurs twice."""
    names = _called(side, samples, config)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        hint = {"stem": "; --pair-by path tells files of one name in different folders apart"}.get(config.way, "")
        raise UsageError(
            f"the {side}'s {split} split has {len(twice)} names that occur more than once: {listed(twice)}; "
            f"partners can be found only by names that occur once{hint}"
        )
    return names


def _disagreeing(
    split: str,
    own: Samples,
    partners: Partners,
    student: Source,
    teacher: Source,
    config: PairingConfig,
    *,
    guessed: bool,
) -> list[str]:
    """Tell pairs whose labels differ or, where classes have other names, how these meet: a sign of wrong pairs.

    Raises:
        UsageError: rows were paired in their order, and their labels say that the orders differ; of other names only
            where nobody said that rows are to be paired, and one side has names of files.
    """
    if not student.classes or config.teacher_label is not None:  # another label tells something else of a sample
        return []
    if set(student.classes) != set(teacher.classes):
        paired = partners.places >= 0
        theirs = partners.pool.targets[partners.places[paired]]
        met = crossing(split, own.targets[paired], theirs, student.classes, teacher.classes)
        if met is not None and met.apart and guessed:
            raise UsageError(
                f"{met.text}; nothing but their order joins the rows of student and teacher: pair them by name or key, "
                "or give --pair-by row if both are in one order and their labels ask different things"
            )
        return [] if met is None else [met.text]
    place = {name: number for number, name in enumerate(student.classes)}
    number = torch.tensor([place[name] for name in teacher.classes])
    paired = partners.places >= 0
    theirs = number[partners.pool.targets[partners.places[paired]]]
    wrong = int((theirs != own.targets[paired]).sum())
    if not wrong:
        return []
    told = f"{wrong} of {int(paired.sum())} {split} pairs have different labels"
    if config.way == "row":
        raise UsageError(f"{told}: the rows of student and teacher are in other orders; pair them by name or key")
    return [told]


def number_by_student(student: Source, teacher: Source) -> Source:
    """Return the teacher's source with classes numbered as the student's, for pairs of equal label.

    Raises:
        UsageError: a class of the student has no sample to draw.
    """
    missing = [name for name in student.classes if name not in teacher.classes]
    if missing:
        raise UsageError(
            f"pairs by label need each class in both data sets; the teacher's lacks {listed(missing)} "
            f"(it has {listed(teacher.classes)})"
        )
    number = torch.tensor([student.classes.index(n) if n in student.classes else -1 for n in teacher.classes])

    def known(samples: Samples) -> Samples:
        return samples.take(torch.where(samples.targets >= 0)[0])

    taught = teacher.numbered(number, student.classes)
    return replace(taught, train=known(taught.train), test=None if taught.test is None else known(taught.test))
