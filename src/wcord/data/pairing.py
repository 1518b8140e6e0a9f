"""Finds the partner of each of the student's samples in the teacher's data, and what speaks against the pairs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from wcord.checks import UsageError, require_choice
from wcord.data.config import PairingConfig
from wcord.data.names import SHOWN, compare_rows, listed, stem_of
from wcord.data.samples import Samples, Source
from wcord.data.stores import ColumnImages

TEST_UNSEEN = (
    "the teacher sees none of the test samples: its own accuracy on them, and how the student agrees with it there, "
    "are not measured"
)
WAYS = ("row", "stem", "path", "key", "label")
WRONG_LABELS = 0.01
"""Share of the pairs whose labels may be wrong where the classes of both sides correspond."""


def with_partners(
    student: Source, teacher: Source, config: PairingConfig, *, held_out: bool = False, same_label: bool = True
) -> tuple[Source, list[str]]:
    """Return the student's source with the partner of each sample, and notes for the reader of the result.

    Partners are searched in the teacher's split of the same name; those of test samples in the teacher's training split
    if it has no other. If there are none, the teacher sees no test sample, and they have no partners.

    Args:
        student: the student's samples.
        teacher: the teacher's.
        config: how partners are found.
        held_out: the student is evaluated on a part of the training samples, so that its test split does not matter.
        same_label: the labels of both sides have one meaning, so that they speak for or against the pairs.

    Raises:
        UsageError: names that occur twice, splits of different lengths, or samples without a partner where `unpaired`
            is "error"; rows in one order whose labels contradict it.
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
    taken: set[str] = set()
    if student.test is not None and not held_out:
        pool = teacher.test
        if config.way == "row" and len({split_of(student.test), split_of(pool)} - {None}) > 1:
            pool = None  # the rows of a test split are not those of a validation split
        if pool is None and config.way != "row":
            taken = set(_keys("student", student.train, config))
            # Training samples may have the same names as test samples.
            free = set(_keys("student", student.test, config)) - taken
            pool = None if free.isdisjoint(_keys("teacher", teacher.train, config)) else teacher.train
        if pool is None:
            complete, notes = True, [*notes, TEST_UNSEEN]
        else:
            pools["test"] = student.test, pool
    for split, (samples, pool) in pools.items():
        excluded = taken if split == "test" else set[str]()
        paired, more = _pair(split, samples, pool, config, complete=complete, excluded=excluded)
        if same_label:
            more += _label_notes(split, paired, student, teacher, config, guessed=guessed)
        notes += more
        student = replace(student, **{split: paired})
    return student, list(dict.fromkeys(notes))


def with_itself(source: Source, other: Source, *, held_out: bool) -> tuple[Source, list[str]]:
    """Return a source with each sample's partner in the teacher's reading of the same data, and notes.

    The test split may lack the teacher's label or its input: the teacher then sees none of it.
    """
    source = replace(source, train=source.train.with_partner(other.train, torch.arange(len(other.train))))
    if held_out or source.test is None:
        return source, []
    if other.test is None or split_of(source.test) != split_of(other.test):
        return source, [TEST_UNSEEN]
    return replace(source, test=source.test.with_partner(other.test, torch.arange(len(other.test)))), []


def _way(student: Source, teacher: Source) -> Literal["path", "stem", "row"]:
    """Return how samples find their partners by default: by name where both sides have names of files.

    Raises:
        UsageError: both have, but none in common.
    """
    names = [[name for samples in side.splits.values() for name in samples.files] for side in (student, teacher)]
    if not all(names):
        return "row"
    if not set(names[0]).isdisjoint(names[1]):
        return "path"
    if not {stem_of(name) for name in names[0]}.isdisjoint(map(stem_of, names[1])):
        return "stem"
    if all(isinstance(side.train.store, ColumnImages) for side in (student, teacher)):  # tables have an order
        return "row"
    raise UsageError(
        f"the files of student ({listed(names[0])}) and teacher ({listed(names[1])}) have no name in common by which "
        "to pair them: name them alike; or give --pair-by row if both lie in one order, --pair-by label if any sample "
        "of the same class will do"
    )


def _pair(
    split: str, student: Samples, pool: Samples, config: PairingConfig, *, complete: bool, excluded: set[str]
) -> tuple[Samples, list[str]]:
    """Return the samples of one split with their partners, and notes.

    Args:
        split: its name.
        student: the student's samples.
        pool: the teacher's samples in which partners are searched.
        config: how partners are found.
        complete: require a partner for each of the teacher's samples, too.
        excluded: names in the pool that are the partners of other samples.
    """
    if config.way == "row":
        if len(student) != len(pool):
            raise UsageError(
                f"the student's {split} split has {len(student)} samples and the teacher's {len(pool)}: rows are "
                "paired in their order only where there are as many; give --pair-by stem, path or label, or --join"
            )
        notes = compare_rows(split, student.files, pool.files, "without --pair-by row files are paired by name")
        return student.with_partner(pool, torch.arange(len(pool))), list(notes)
    names, others = _unique_keys("student", split, student, config), _unique_keys("teacher", split, pool, config)
    rows = {name: row for row, name in enumerate(others) if name not in excluded}
    places = torch.tensor([rows.get(name, -1) for name in names])
    if not bool((places >= 0).any()):
        raise UsageError(
            f"no sample of the student's {split} split has a partner: its samples are called {listed(names)}, "
            f"the teacher's {listed(others)}"
        )
    alone = {"student": [name for name in names if name not in rows]}
    if complete:
        known = set(names)
        alone["teacher"] = [name for name in others if name not in known]
    problems = [
        f"{len(unpaired)} {split} samples of the {side}'s data have no partner: {listed(unpaired)}"
        for side, unpaired in alone.items()
        if unpaired
    ]
    repeated = [name for name in names if name in excluded]
    if repeated:
        problems.append(
            f"{len(repeated)} of them have a training sample's name and thus no partner: {listed(repeated)}"
        )
    if problems and config.unpaired == "error":
        moved = config.way == "path" and not set(map(stem_of, alone["student"])).isdisjoint(map(stem_of, others))
        hint = "; --pair-by stem finds partners in other folders, too" if moved else ""
        raise UsageError(f"{'; '.join(problems)}; add them, or leave them out by --unpaired drop{hint}")
    return student.with_partner(pool, places), [f"left out: {line}" for line in problems]


def split_of(samples: Samples | None) -> str | None:
    """Return the split of an image table that samples come from: a test split without labels is skipped."""
    return samples.store.split if samples is not None and isinstance(samples.store, ColumnImages) else None


def _keys(side: str, samples: Samples, config: PairingConfig) -> list[str]:
    """Return the names by which partners are found."""
    if samples.keys is None or (config.way != "key" and not samples.by_file):
        needed = {"key": "a table with the column of --join"}.get(config.way, "a folder of files")
        raise UsageError(f"the {side}'s data cannot be paired by {config.way}: that needs {needed}")
    names = [str(key) for key in samples.keys.tolist()]
    return [stem_of(name) for name in names] if config.way == "stem" else names


def _unique_keys(side: str, split: str, samples: Samples, config: PairingConfig) -> list[str]:
    names = _keys(side, samples, config)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        hint = {"stem": "; --pair-by path tells files of one name in different folders apart"}.get(config.way, "")
        raise UsageError(
            f"the {side}'s {split} split has {len(twice)} names that occur more than once: {listed(twice)}; "
            f"partners can be found only by names that occur once{hint}"
        )
    return names


def _label_notes(
    split: str, samples: Samples, student: Source, teacher: Source, config: PairingConfig, *, guessed: bool
) -> list[str]:
    """Return notes on pairs whose labels differ or, where the classes have other names, on how these correspond.

    Raises:
        UsageError: rows were paired in their order, and their labels contradict it; where names of classes differ, only
            if nobody requested pairs by row and one side has names of files.
    """
    if not student.classes:
        return []
    samples = samples.paired()
    assert samples.partner is not None
    partners = samples.partner.targets
    if set(student.classes) != set(teacher.classes):
        crossed = crossing(split, samples.targets, partners, student.classes, teacher.classes)
        if crossed is not None and crossed.apart and guessed:
            raise UsageError(
                f"{crossed.text}; nothing but their order joins the rows of student and teacher: pair them by name or "
                "key, or give --pair-by row if both are in one order and their labels ask different things"
            )
        return [] if crossed is None else [crossed.text]
    place = {name: number for number, name in enumerate(student.classes)}
    number = torch.tensor([place[name] for name in teacher.classes])
    wrong = int((number[partners] != samples.targets).sum())
    if not wrong:
        return []
    note = f"{wrong} of {len(samples)} {split} pairs have different labels"
    if config.way == "row":
        raise UsageError(f"{note}: the rows of student and teacher are in different orders; pair them by name or key")
    return [note]


def number_by_student(student: Source, teacher: Source) -> Source:
    """Return the teacher's source with the student's class numbers, for pairs by label.

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
    numbered = teacher.numbered(number, student.classes)
    shared = {split: s.take(torch.where(s.targets >= 0)[0]) for split, s in numbered.splits.items()}
    return replace(numbered, **shared)


@dataclass(frozen=True)
class Crossing:
    """How the classes of one side correspond to those of the other.

    Attributes:
        text: a note on the pairs of a split.
        apart: whether no side's classes follow from the other's.
    """

    text: str
    apart: bool


def crossing(
    split: str, labels: Tensor, partners: Tensor, classes: Sequence[str], others: Sequence[str]
) -> Crossing | None:
    """Return how the classes of pairs correspond, or None where there is nothing to report.

    Which names mean the same is unknown; a reader sees from the names that are joined whether the pairs are right.
    Numbers that follow the order of the names need no reader.

    >>> labels = torch.tensor([0, 0, 1])
    >>> print(crossing("train", labels, labels, ["cat", "dog"], ["hund", "katze"]).text)
    classes of student and teacher have other names; the train pairs join 'cat' with 'hund', 'dog' with 'katze': ...

    Args:
        split: its name.
        labels: class numbers of the student's samples.
        partners: class numbers of their partners.
        classes: names of the student's classes.
        others: names of the teacher's.
    """
    if not len(labels) or not classes or not others or set(classes) == set(others):
        return None
    # Only the pairs of classes that occur are counted: a table of all of them would be C×C'.
    pairs, counts = (labels * len(others) + partners).unique(return_counts=True)
    firsts, seconds = pairs // len(others), pairs % len(others)
    most = _largest(firsts, counts, len(classes))
    wrong = len(labels) - max(int(most.sum()), int(_largest(seconds, counts, len(others)).sum()))
    if wrong > WRONG_LABELS * len(labels):
        worst = int((labels.bincount(minlength=len(classes)) - most).argmax())
        of_worst = torch.where(firsts == worst)[0]
        commonest = of_worst[counts[of_worst].argsort(descending=True, stable=True)][:SHOWN].tolist()
        with_ = ", ".join(f"{others[int(seconds[place])]!r} ({int(counts[place])})" for place in commonest)
        return Crossing(
            f"the labels of at least {wrong} of {len(labels)} {split} pairs do not correspond: samples of "
            f"{classes[worst]!r} are paired with those of {with_}",
            apart=True,
        )
    best = counts == most[firsts]
    partner = dict(
        zip(firsts[best].flip(0).tolist(), seconds[best].flip(0).tolist(), strict=True)
    )  # the first of equals
    present = sorted(partner)
    numbers = any(all(name.isdecimal() for name in names) for names in (classes, others))
    if numbers and [partner[number] for number in present] == sorted(partner.values()):
        return None
    joined = ", ".join(f"{classes[number]!r} with {others[partner[number]]!r}" for number in present[:SHOWN])
    return Crossing(
        f"classes of student and teacher have other names; the {split} pairs join {joined}"
        f"{', …' if len(present) > SHOWN else ''}: where these are not the same things, the pairs are wrong",
        apart=False,
    )


def _largest(groups: Tensor, counts: Tensor, number: int) -> Tensor:
    """Return the largest count of each group, 0 where it has none."""
    return counts.new_zeros(number).scatter_reduce(0, groups, counts, "amax")
