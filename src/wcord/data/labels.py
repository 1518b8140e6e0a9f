"""From label values of any kind to class numbers and class names."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wcord.checks import UsageError, require_choice, unknown
from wcord.data.label_values import Labels, plain_labels, require_classes, spelled_as
from wcord.data.names import composed
from wcord.paths import require_file

REST = "*"
"""In a label map: all classes without a line."""
LEFT_OUT = -1
"""Class number of a logit without a class."""


def number_labels(
    splits: Mapping[str, Labels], names: Sequence[str] | None = None, *, what: str = "label"
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Turn label values into class numbers 0 … C−1, the same in every split.

    With `names` the labels are class numbers already; without, the sorted values that occur in any split are the
    classes, named by themselves; whole numbers are sorted as numbers, also where they are text. Names are brought to
    one Unicode form, and two forms of one name are one class.

    >>> targets, classes = number_labels({"train": np.array(["cat", "ant", "cat"]), "test": np.array(["ant"])})
    >>> targets["train"], classes
    (tensor([1, 0, 1]), ('ant', 'cat'))

    Args:
        splits: split → label values.
        names: class names.
        what: the labels, for messages.

    Raises:
        UsageError: labels are missing, of several kinds, a quantity, or outside the names; or the test split has a
            class that training lacks.
    """
    plain = {split: plain_labels(split, values) for split, values in splits.items()}
    _require_labeled(plain, named=names is not None)
    if names is None:
        whole = _together(plain)
        require_classes(what, whole)
        kinds = np.unique(whole)
        texts = [str(kind) for kind in kinds]
        # Whole numbers are in the order of numbers though they are text, as those of folders are.
        classes = in_order(texts)[0] if kinds.dtype.kind == "U" else tuple(texts)
        place = {name: number for number, name in enumerate(classes)}
        number = np.array([place[name] for name in texts], np.int64)
        numbered = {split: number[np.searchsorted(kinds, values)] for split, values in plain.items()}
    else:
        for split, values in plain.items():
            _require_within(split, values, len(names))
        forms = [composed(str(name)) for name in names]
        classes = tuple(dict.fromkeys(forms)) if len(set(names)) == len(names) else tuple(forms)
        number = np.array([classes.index(form) for form in forms]) if len(classes) < len(forms) else None
        numbered = plain if number is None else {split: number[values] for split, values in plain.items()}
    targets = {split: torch.as_tensor(np.asarray(values).astype(np.int64)) for split, values in numbered.items()}
    _require_trained(targets, classes)
    return targets, classes


def require_several_classes(classes: Sequence[str]) -> None:
    """Raise unless there are two classes or more."""
    if len(classes) < 2:
        raise UsageError(f"a classifier needs at least 2 classes, the data has {len(classes)}: {', '.join(classes)}")


def no_labels(count: int) -> Labels:
    """Return placeholders for labels, which `samples.forget_labels` drops."""
    return np.arange(count) % 2


def merge_classes(classes: tuple[str, ...], rules: Sequence[str]) -> tuple[tuple[str, ...], Tensor]:
    """Return the classes after merging, and for each old class number the new one.

    A merged class takes the place of the first of its parts.

    >>> merge_classes(("mild", "none", "severe"), ["ill=mild+severe"])
    (('ill', 'none'), tensor([0, 1, 0]))

    Raises:
        UsageError: an invalid rule, an unknown class, a class in two rules, or a single class is left.
    """
    into = {name: name for name in classes}
    for rule in rules:
        name, parts = rule.partition("=")[0], parts_of(rule)
        if not (name and all(parts)):
            raise UsageError(f"merge takes NEW=OLD+OLD, received {rule!r}")
        for part in parts:
            if part not in classes:
                raise unknown("class", part, classes)
            if into[part] != part:
                raise UsageError(f"merge names class {part!r} twice: {', '.join(rules)}")
            into[part] = name
    merged = tuple(dict.fromkeys(into[name] for name in classes))
    if len(merged) < 2:
        raise UsageError(f"a classifier needs at least 2 classes, merge leaves one: {', '.join(rules)}")
    return merged, torch.tensor([merged.index(into[name]) for name in classes])


def parts_of(rule: str) -> list[str]:
    """Return the classes that a rule such as `ill=mild+severe` merges."""
    return rule.partition("=")[2].split("+")


def match_classes(teacher: Sequence[str], student: Sequence[str]) -> Tensor | None:
    """Map each teacher class to the student class of the same name; None unless the names are the same, and unique.

    >>> match_classes(("cat", "ant"), ("ant", "cat")), match_classes(("cat", "ant"), ("cat", "bee"))
    (tensor([1, 0]), None)
    """
    if set(teacher) != set(student) or len(set(student)) != len(student) or len(teacher) != len(student):
        return None
    return _places(teacher, student)


def _places(names: Sequence[str], among: Sequence[str]) -> Tensor:
    """Return the first position of each name among others."""
    place = {name: number for number, name in reversed([*enumerate(among)])}
    return torch.tensor([place[name] for name in names])


def find_classes(teacher: Sequence[str], student: Sequence[str]) -> Tensor | None:
    """Map each teacher class to the student class of the same name, or −1; None unless it has all student classes.

    >>> find_classes(("ant", "bee", "cat"), ("cat", "bee")), find_classes(("ant", "bee"), ("cat", "bee"))
    (tensor([-1,  1,  0]), None)
    """
    subset = bool(student) and len(student) < len(teacher) and set(student) <= set(teacher)
    if not subset or all(name.isdecimal() for name in student):
        return None
    numbers = {name: number for number, name in enumerate(student)}
    return torch.tensor([numbers.get(name, LEFT_OUT) for name in teacher])


def number_by_name(names: Sequence[str], classes: Sequence[str]) -> Tensor | None:
    """Return the number of each name among other classes; None where names are not comparable.

    They are not if one side has none, or has numbers as names that the other side does not have.

    >>> number_by_name(("bee", "cat"), ("ant", "bee", "cat")), number_by_name(("0", "1"), ("ant", "bee"))
    (tensor([1, 2]), None)

    Raises:
        UsageError: a name that is not among the classes.
    """
    spelled = spelled_as(names, classes)
    if names and classes and set(spelled) <= set(classes) and len(set(spelled)) == len(names):
        return _places(spelled, classes)
    if not names or not classes or any(all(name.isdecimal() for name in side) for side in (names, classes)):
        return None
    raise unknown("class", next(name for name in names if name not in classes), classes)


def observed_map(teacher: Tensor, student: Tensor, classes: Sequence[str], student_classes: Sequence[str]) -> Tensor:
    """Map each teacher class to the student class with which it always occurs.

    Args:
        teacher: the teacher's class number of each sample.
        student: the student's class numbers of the same samples.
        classes: names of the teacher's classes.
        student_classes: names of the student's classes.

    Raises:
        UsageError: a teacher class occurs with several student classes, or with none; a student class with none.
    """
    partners: dict[str, list[str]] = {}
    for number, other in torch.stack([teacher, student], dim=1).unique(dim=0).tolist():
        partners.setdefault(str(classes[number]), []).append(str(student_classes[other]))
    several = [name for name, others in partners.items() if len(others) > 1]
    if several:
        raise UsageError(
            f"{len(several)} of the teacher's classes belong to several of the student's: {several[0]!r} to "
            f"{', '.join(partners[several[0]][:3])}; the sum of logits needs one for each, so use a method on features "
            "(wcord, crd)"
        )
    return _map_of({name: others[0] for name, others in partners.items()}, classes, student_classes)


def read_map(path: str | Path, classes: Sequence[str], student_classes: Sequence[str]) -> Tensor:
    """Map each teacher class to a student class, by a csv file of lines `teacher's class,student's class`.

    A line `*,` leaves out all teacher classes without a line: they are mapped to −1.

    Raises:
        UsageError: a missing file, an invalid line, an unknown class, one without a line or with two.
    """
    file = require_file(path, "label map")
    pairs: dict[str, str] = {}
    lines = csv_lines(file, "label map")
    rest = any([part.strip() for part in line] == [REST, ""] for line in lines)
    for number, line in enumerate(lines, 1):
        if line and line[0].strip() != REST:
            if len(line) != 2:
                raise UsageError(
                    f"label map {str(path)!r}, line {number}: must be teacher's class,student's class; received {line}"
                )
            name, other = (part.strip() for part in line)
            if name not in classes:
                raise unknown("class of the teacher in the label map", name, classes)
            if other not in student_classes:
                raise unknown("class of the student in the label map", other, student_classes)
            if name in pairs:
                raise UsageError(f"label map {str(path)!r}, line {number}: class {name!r} has a line already")
            pairs[name] = other
    return _map_of(pairs, classes, student_classes, leave_out=rest)


def names_in_map(path: str | Path) -> tuple[str, ...]:
    """Return the names of the teacher's classes in a label map.

    Raises:
        UsageError: the file is missing or cannot be read.
    """
    return tuple(line[0].strip() for line in csv_lines(require_file(path, "label map"), "label map") if line)


def csv_lines(file: Path, what: str) -> list[list[str]]:
    """Return the cells of each line of a csv file, also with semicolons or tabs; `what` names the file in messages.

    Raises:
        UsageError: it is not csv in UTF-8.
    """
    try:
        # Spreadsheets write a byte order mark.
        lines = file.read_text(encoding="utf-8-sig").splitlines()
        for separator in ",;\t":
            rows = list(csv.reader(lines, delimiter=separator))
            if all(len(row) > 1 for row in rows if any(map(str.strip, row))):
                return rows
        return list(csv.reader(lines))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{what} {str(file)!r} cannot be read ({error}): save it as csv in UTF-8") from None


def _map_of(
    pairs: Mapping[str, str], classes: Sequence[str], student_classes: Sequence[str], *, leave_out: bool = False
) -> Tensor:
    unpaired = [name for name in classes if name not in pairs]
    if unpaired and not leave_out:
        raise UsageError(
            f"{len(unpaired)} of the teacher's classes have no class of the student: {unpaired[0]!r}, …: give each "
            f"a line in a label map, where a line '{REST},' leaves out the rest"
        )
    bare = [name for name in student_classes if name not in pairs.values()]
    if bare:
        raise UsageError(f"{len(bare)} of the student's classes have no class of the teacher: {bare[0]!r}, …")
    numbers = {name: number for number, name in enumerate(student_classes)}
    return torch.tensor([numbers[pairs[name]] if name in pairs else LEFT_OUT for name in classes])


def _together(splits: Mapping[str, Labels]) -> Labels:
    """Return the labels of all splits; NumPy would turn a mixture into text."""
    kinds = {split: "text" if values.dtype.kind == "U" else "numbers" for split, values in splits.items()}
    if len(set(kinds.values())) > 1:
        shown = " and ".join(f"{kind} in the {split} split" for split, kind in kinds.items())
        raise UsageError(f"the labels are {shown}: write all of them as one kind")
    return np.concatenate(list(splits.values()))


def _require_labeled(splits: Mapping[str, Labels], *, named: bool) -> None:
    """Raise if −1 means unlabeled: beside class numbers 0 … C−1, or where classes have names.

    As one of two values, −1 is a class; beside other numbers as well.
    """
    present = np.unique(np.concatenate([values for values in splits.values() if values.dtype.kind == "i"] or [[]]))
    others = present[present != -1]
    numbered = len(others) > 1 and others[0] == 0 and others[-1] == len(others) - 1
    if len(others) == len(present) or not (named or numbered):
        return
    split, count = next((name, int((values == -1).sum())) for name, values in splits.items() if (values == -1).any())
    evaluate = ", evaluate on a part of the training samples by --holdout 0.1" if split == "test" else ""
    known = "where classes have names" if named else f"beside 0 … {len(others) - 1}"
    raise UsageError(
        f"the {split} split has {count} samples labeled -1, which {known} means unlabeled: remove them{evaluate}, "
        "or, if -1 is a class, write the labels as text"
    )


def _require_within(split: str, values: Labels, classes: int) -> None:
    if values.dtype.kind not in "iu":
        raise UsageError(f"with class names given, labels must be class numbers; the {split} split has {values.dtype}")
    wrong = values[(values < 0) | (values >= classes)]
    if len(wrong):
        raise UsageError(f"the {split} split has class number {int(wrong[0])}, but there are {classes} class names")


def _require_trained(targets: dict[str, Tensor], classes: tuple[str, ...]) -> None:
    trained = set(targets["train"].unique().tolist())
    for split, numbers in targets.items():
        strange = [classes[number] for number in numbers.unique().tolist() if number not in trained]
        if strange:
            raise UsageError(
                f"the {split} split has classes that the train split lacks: {', '.join(strange[:5])}; "
                "both must hold the same classes"
            )


ORDERS = ("auto", "name", "number")
_WHOLE = re.compile(r"[+-]?[0-9]+")


def in_order(names: Iterable[str], order: str = "auto") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return class names in the order in which they are numbered, and a note where another order is as likely.

    Args:
        names: of the classes.
        order: "name" sorts them as text, "number" whole numbers as numbers and before any text; "auto" takes numbers
            where all names are whole numbers.

    >>> in_order(["10", "9", "2"])[0], in_order(["10", "9", "2"], "name")[0], in_order(["10", "9", "b"])[0]
    (('2', '9', '10'), ('10', '2', '9'), ('10', '9', 'b'))
    """
    require_choice("class_order", order, ORDERS)
    by_name = tuple(sorted(names))
    by_number = tuple(sorted(by_name, key=_as_number))
    whole = all(map(_WHOLE.fullmatch, by_name))
    chosen = by_number if order == "number" or (order == "auto" and whole) else by_name
    if order != "auto" or not whole or by_number == by_name:
        return chosen, ()
    return chosen, (
        f"classes are numbered in numeric order ({_begin(by_number)}); a network that was trained in the order of the "
        f"text ({_begin(by_name)}), as torchvision's ImageFolder does, needs --class-order name",
    )


def _as_number(name: str) -> tuple[bool, int, str]:
    whole = _WHOLE.fullmatch(name) is not None
    return not whole, int(name) if whole else 0, name


def _begin(names: Sequence[str]) -> str:
    """Return the first names up to where the two orders part, at least: `0, 1, 10, …`."""
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
