"""Which of the teacher's samples belongs to which of the student's, where they come from different places."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath

import torch

from wcord.checks import UsageError, require_choice
from wcord.data.config import PairingConfig
from wcord.data.samples import Samples, Source

SHOWN = 3
"""Names that a message lists."""
WAYS = ("row", "stem", "path", "key", "label")


def pair(student: Source, teacher: Source, config: PairingConfig) -> tuple[Source, Source, tuple[str, ...]]:
    """Return both sources with their samples in one order, and notes for the reader of the result.

    Pairs are made within each split that both have. Where the teacher's source has no test split, partners of test
    samples are looked for among its training samples. By label, where no sample has a partner of its own, the
    teacher's samples are left as they are.

    Raises:
        UsageError: names that occur twice, splits of other lengths, classes without a partner, or samples without
            one where `unpaired` is "error".
    """
    way = config.way
    require_choice("pair_by", way, WAYS)
    if way == "label":
        note = "paired by label: no sample has a partner of its own, so one of its class is drawn each time"
        return student, _with_classes_of(student, teacher), (note,)
    same_splits = (student.test is None) == (teacher.test is None)
    pairs = {"train": (student.train, teacher.train)}
    if student.test is not None:
        pairs["test"] = student.test, teacher.test or teacher.train
    made, notes = {}, []
    for split, (own, other) in pairs.items():
        made[split], more = _pair_split(split, own, other, config, whole=same_splits)
        notes += more
    if student.test is not None and teacher.test is None:
        notes.append("the teacher's data have no test split: partners of test samples are among its training samples")
    (train, taught), (test, tested) = made["train"], made.get("test", (None, None))
    return replace(student, train=train, test=test), replace(teacher, train=taught, test=tested), tuple(notes)


def _pair_split(
    split: str, student: Samples, teacher: Samples, config: PairingConfig, *, whole: bool
) -> tuple[tuple[Samples, Samples], list[str]]:
    """Return the paired samples of one split; `whole`: the teacher's, too, should all have a partner."""
    if config.way == "row":
        if len(student) != len(teacher):
            raise UsageError(
                f"the student's {split} split has {len(student)} samples and the teacher's {len(teacher)}: rows are "
                "paired in their order only where there are as many; give --pair-by stem, path or label, or --join"
            )
        return (student, teacher), []
    own, others = _names("student", split, student, config), _names("teacher", split, teacher, config)
    rows = {name: row for row, name in enumerate(others)}
    kept = [row for row, name in enumerate(own) if name in rows]
    if not kept:
        raise UsageError(
            f"no sample of the student's {split} split has a partner: its samples are called {_listed(own)}, "
            f"the teacher's {_listed(others)}"
        )
    alone = {"student": [name for name in own if name not in rows]}
    if whole:
        known = set(own)
        alone["teacher"] = [name for name in others if name not in known]
    found = [
        f"{len(names)} {split} samples of the {side}'s data have no partner: {_listed(names)}"
        for side, names in alone.items()
        if names
    ]
    if found and config.unpaired == "error":
        raise UsageError(f"{'; '.join(found)}; add them, or leave them out by --unpaired drop")
    taken = student.take(torch.tensor(kept)), teacher.take(torch.tensor([rows[own[row]] for row in kept]))
    return taken, [f"left out: {line}" for line in found]


def _names(side: str, split: str, samples: Samples, config: PairingConfig) -> list[str]:
    """Return what the samples are called; no name occurs twice."""
    if samples.keys is None:
        wanted = {"key": "a table with the column of --join"}.get(config.way, "a folder of files")
        raise UsageError(f"the {side}'s data cannot be paired by {config.way}: that needs {wanted}")
    names = [str(key) for key in samples.keys.tolist()]
    if config.way == "stem":
        names = [PurePath(name).name for name in names]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        hint = {"stem": "; --pair-by path tells files of one name in different folders apart"}.get(config.way, "")
        raise UsageError(
            f"the {side}'s {split} split has {len(twice)} names that occur more than once: {_listed(twice)}; "
            f"partners can be found only by names that occur once{hint}"
        )
    return names


def _with_classes_of(student: Source, teacher: Source) -> Source:
    """Return the teacher's source with classes numbered as the student's, for pairs of equal label.

    Raises:
        UsageError: a class of the student has no sample to draw.
    """
    missing = [name for name in student.classes if name not in teacher.classes]
    if missing:
        raise UsageError(
            f"pairs by label need each class in both data sets; the teacher's lacks {_listed(missing)} "
            f"(it has {_listed(teacher.classes)})"
        )
    number = torch.tensor([student.classes.index(n) if n in student.classes else -1 for n in teacher.classes])

    def renumbered(samples: Samples) -> Samples:
        targets = number[samples.targets]
        return replace(samples, targets=targets).take(torch.where(targets >= 0)[0])

    return replace(
        teacher,
        train=renumbered(teacher.train),
        test=None if teacher.test is None else renumbered(teacher.test),
        classes=student.classes,
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
