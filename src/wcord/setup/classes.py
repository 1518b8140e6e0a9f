"""Whose classes are meant: a teacher's logits are brought to the student's classes where they can be."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from wcord.checks import UsageError
from wcord.data.dataset import DataSet
from wcord.data.labels import find_classes, match_classes, observed_map, read_map
from wcord.data.loader import Loader
from wcord.data.split import ViewedSplit, base_and_view
from wcord.models.network import Network, evaluating
from wcord.training.config import DistillConfig

OBSERVED = "observed"
WRONG_LABELS = 0.01
"""Share of the samples that two columns of labels may call otherwise and still be answers to one question."""


def fit_classes(teacher: Network, data: DataSet, config: DistillConfig) -> tuple[Network, DataSet, tuple[str, ...]]:
    """Return the teacher with the student's classes where they are known to be the same or made of its own.

    Args:
        teacher: the network as it was trained.
        data: what student and teacher see.
        config: says whose labels are known, and how they belong together.

    Returns:
        The teacher, the data with what its logits are measured by, and notes.

    Raises:
        UsageError: a map that is not whole, or classes without names.
    """
    theirs, label_map = teacher.classes, config.pairing.label_map
    data = _in_the_order_of(teacher, data)
    if label_map is None:
        merge = match_classes(theirs, data.classes)
        found = find_classes(theirs, data.classes)
        if found is not None and ask_the_same(data, config):
            note = (
                f"of the teacher's {len(theirs)} classes, the {len(data.classes)} of the data were found by their "
                "names: its other logits are left out"
            )
            return _merged(teacher, data, found), _measured_by_own(data), (note,)
        if merge is None or torch.equal(merge, torch.arange(len(merge))) or not ask_the_same(data, config):
            return teacher, data, ()
        note = "the teacher has the classes of the data in another order: its logits are put into that of the data"
        return _merged(teacher, data, merge), _measured_by_own(data), (note,)
    if not theirs:
        raise UsageError("--label-map needs the names of the teacher's classes: give --teacher-label")
    if label_map == OBSERVED:
        if data.teacher is None or data.pairs == "label":
            raise UsageError("--label-map observed needs both labels of each sample: give --teacher-label")
        _require_names(theirs, data.of_teacher.classes)
        merge = observed_map(data.of_teacher.train.targets, data.train.targets, theirs, data.classes)
    else:
        merge = read_map(label_map, theirs, data.classes)
    left_out = int((merge < 0).sum())
    rest = f", {left_out} of them left out" if left_out else ""
    note = f"the teacher's {len(theirs)} classes are taken together as the {len(data.classes)} of the data{rest}"
    return _merged(teacher, data, merge), _measured_by_own(data), (note,)


def ask_the_same(data: DataSet, config: DistillConfig) -> bool:
    """Tell whether the teacher's column of labels says of each sample what the student's says, unless a map says how.

    Two columns may have the same names (yes, no) and tell other things; one label in a hundred may be wrong. Classes
    of other names are taken as they are numbered.
    """
    apart = "label" in config.teacher_data and config.pairing.label_map is None
    if not apart or data.teacher is None or data.pairs == "label":
        return True
    taught = data.of_teacher
    number = match_classes(taught.classes, data.classes)
    for own, other in ((data.train.targets, taught.train.targets), (data.test.targets, taught.test.targets)):
        if len(other) and float((own != (other if number is None else number[other])).float().mean()) > WRONG_LABELS:
            return False
    return True


def label_by_teacher(teacher: Network, data: DataSet, *, batch_size: int, device: str) -> tuple[DataSet, str]:
    """Return data without labels with the teacher's most probable class as the label of each sample, and a note.

    Raises:
        UsageError: samples are paired by label, of which there are none; the teacher sees no test samples.
    """
    if data.teacher is not None and data.pairs == "label":
        raise UsageError("--pair-by label and --no-labels exclude each other: pair by row, stem, path or --join")
    seen = data.of_teacher
    if not len(seen.test):
        raise UsageError(
            "--no-labels measures by what the teacher says of the test samples, of which it sees none: hold out a part "
            "of the training samples instead, by --holdout 0.2"
        )
    found: dict[str, Tensor] = {}
    classes = teacher.classes
    for name, split in (("train", seen.train), ("test", seen.test)):
        numbers: list[Tensor] = []
        with evaluating(teacher.to(device)):
            for batch in Loader(split, batch_size=batch_size, device=device).batches():
                logits: Tensor = teacher(batch.student_input)
                if not logits.shape[1]:
                    raise UsageError("--no-labels takes the teacher's classes for labels, and it has no classifier")
                numbers.append(logits.argmax(1).cpu())
                classes = classes or tuple(map(str, range(logits.shape[1])))
        found[name] = torch.cat(numbers)
    labelled = _labelled(data, found, classes)
    if data.teacher is not None:
        labelled = _with_labels(labelled, found, classes)
    return labelled, "no labels: the teacher's most probable class stands for them, in the accuracies too"


def _labelled(data: DataSet, found: Mapping[str, Tensor], classes: tuple[str, ...]) -> DataSet:
    train, test = (
        ViewedSplit(*base_and_view(split), targets=found[name])
        for name, split in (("train", data.train), ("test", data.test))
    )
    return replace(data, train=train, test=test, classes=classes)


def _merged(teacher: Network, data: DataSet, merge: Tensor) -> Network:
    return Network(teacher.backbone, teacher.preprocess, data.classes, merge, teacher.embedding)


def _require_names(theirs: tuple[str, ...], observed: tuple[str, ...]) -> None:
    if theirs != observed:
        raise UsageError(
            f"the teacher's classes ({', '.join(theirs[:3])}, …) are not those of --teacher-label "
            f"({', '.join(observed[:3])}, …): name the column that it was trained on"
        )


def _in_the_order_of(teacher: Network, data: DataSet) -> DataSet:
    """Return the data with the teacher's labels numbered as its logits are, where the names are the same."""
    if data.teacher is None or data.pairs == "label":
        return data
    seen = data.teacher
    number = match_classes(seen.classes, teacher.classes)
    if number is None:
        return data
    return _with_labels(data, {"train": number[seen.train.targets], "test": number[seen.test.targets]}, teacher.classes)


def _measured_by_own(data: DataSet) -> DataSet:
    """Return the data with the student's labels on the teacher's side, where both see the same samples."""
    if data.teacher is None or data.pairs == "label":
        return data
    test = data.test.targets[: len(data.of_teacher.test)]  # of which the teacher may see none
    return _with_labels(data, {"train": data.train.targets, "test": test}, data.classes)


def _with_labels(data: DataSet, targets: Mapping[str, Tensor], classes: tuple[str, ...]) -> DataSet:
    """Return the data with other labels on the teacher's side."""
    assert data.teacher is not None
    return replace(data, teacher=_labelled(data.teacher, targets, classes))
