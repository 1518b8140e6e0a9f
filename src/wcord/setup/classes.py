"""The teacher's classes: its logits are mapped to the student's classes if possible."""

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
"""Share of samples on which two label columns may differ and still count as the same."""


def fit_classes(teacher: Network, data: DataSet, config: DistillConfig) -> tuple[Network, DataSet, tuple[str, ...]]:
    """Return the teacher with the student's classes, if its classes are the same, contain them, or are parts of them.

    Args:
        teacher: the network as it was trained.
        data: what student and teacher see.
        config: the labels and the map of the run.

    Returns:
        The teacher, the data with the labels of its logits, and notes.

    Raises:
        UsageError: an incomplete map, or classes without names.
    """
    teacher_classes, label_map = teacher.classes, config.pairing.label_map
    data = _numbered_like(teacher, data)
    if label_map is None:
        merge = match_classes(teacher_classes, data.classes)
        subset = find_classes(teacher_classes, data.classes)
        if subset is not None and labels_agree(data, config):
            note = (
                f"of the teacher's {len(teacher_classes)} classes, the {len(data.classes)} of the data were found by "
                "their names: its other logits are left out"
            )
            return _merged(teacher, data, subset), _measured_by_student(data), (note,)
        if merge is None or torch.equal(merge, torch.arange(len(merge))) or not labels_agree(data, config):
            return teacher, data, ()
        note = "the teacher has the classes of the data in another order: its logits are put into that of the data"
        return _merged(teacher, data, merge), _measured_by_student(data), (note,)
    if not teacher_classes:
        raise UsageError("--label-map needs the names of the teacher's classes: give --teacher-label")
    if label_map == OBSERVED:
        if data.teacher is None or data.pairs == "label":
            raise UsageError("--label-map observed needs both labels of each sample: give --teacher-label")
        _require_names(teacher_classes, data.of_teacher.classes)
        merge = observed_map(data.of_teacher.train.targets, data.train.targets, teacher_classes, data.classes)
    else:
        merge = read_map(label_map, teacher_classes, data.classes)
    left_out = int((merge < 0).sum())
    rest = f", {left_out} of them left out" if left_out else ""
    note = f"the teacher's {len(teacher_classes)} classes are merged into the {len(data.classes)} of the data{rest}"
    return _merged(teacher, data, merge), _measured_by_student(data), (note,)


def labels_agree(data: DataSet, config: DistillConfig) -> bool:
    """Return whether the teacher's label column agrees with the student's, or a map relates them.

    Two columns may have the same names (yes, no) for different things; one label in a hundred may be wrong. Classes of
    other names are matched by number.
    """
    separate = "label" in config.teacher_data and config.pairing.label_map is None
    if not separate or data.teacher is None or data.pairs == "label":
        return True
    teacher = data.of_teacher
    number = match_classes(teacher.classes, data.classes)
    for labels, other in ((data.train.targets, teacher.train.targets), (data.test.targets, teacher.test.targets)):
        if len(other) and float((labels != (other if number is None else number[other])).float().mean()) > WRONG_LABELS:
            return False
    return True


def label_by_teacher(teacher: Network, data: DataSet, *, batch_size: int, device: str) -> tuple[DataSet, str]:
    """Return data without labels with the teacher's most probable class as the label of each sample, and a note.

    Raises:
        UsageError: samples are paired by label; the teacher has no test samples or no classifier.
    """
    if data.teacher is not None and data.pairs == "label":
        raise UsageError("--pair-by label and --no-labels exclude each other: pair by row, stem, path or --join")
    teacher_data = data.of_teacher
    if not len(teacher_data.test):
        raise UsageError(
            "--no-labels takes the teacher's answers on the test samples as labels, and it sees none of these: hold "
            "out a part of the training samples instead, by --holdout 0.2"
        )
    labels: dict[str, Tensor] = {}
    classes = teacher.classes
    for name, split in (("train", teacher_data.train), ("test", teacher_data.test)):
        numbers: list[Tensor] = []
        with evaluating(teacher.to(device)):
            for batch in Loader(split, batch_size=batch_size, device=device).batches():
                logits: Tensor = teacher(batch.student_input)
                if not logits.shape[1]:
                    raise UsageError("--no-labels takes the teacher's classes as labels, and it has no classifier")
                numbers.append(logits.argmax(1).cpu())
                classes = classes or tuple(map(str, range(logits.shape[1])))
        labels[name] = torch.cat(numbers)
    labeled = _labeled(data, labels, classes)
    if data.teacher is not None:
        labeled = _with_labels(labeled, labels, classes)
    return labeled, "no labels: the teacher's most probable class replaces them, in the accuracies too"


def _labeled(data: DataSet, labels: Mapping[str, Tensor], classes: tuple[str, ...]) -> DataSet:
    train, test = (
        ViewedSplit(*base_and_view(split), targets=labels[name])
        for name, split in (("train", data.train), ("test", data.test))
    )
    return replace(data, train=train, test=test, classes=classes)


def _merged(teacher: Network, data: DataSet, merge: Tensor) -> Network:
    return Network(teacher.backbone, teacher.preprocess, data.classes, merge, teacher.embedding)


def _require_names(teacher: tuple[str, ...], observed: tuple[str, ...]) -> None:
    if teacher != observed:
        raise UsageError(
            f"the teacher's classes ({', '.join(teacher[:3])}, …) are not those of --teacher-label "
            f"({', '.join(observed[:3])}, …): name the column that it was trained on"
        )


def _numbered_like(teacher: Network, data: DataSet) -> DataSet:
    """Return the data with the teacher's labels in the order of its logits, if the names are the same."""
    if data.teacher is None or data.pairs == "label":
        return data
    side = data.teacher
    number = match_classes(side.classes, teacher.classes)
    if number is None:
        return data
    return _with_labels(data, {"train": number[side.train.targets], "test": number[side.test.targets]}, teacher.classes)


def _measured_by_student(data: DataSet) -> DataSet:
    """Return the data with the student's labels on the teacher's side, if both see the same samples."""
    if data.teacher is None or data.pairs == "label":
        return data
    test = data.test.targets[: len(data.of_teacher.test)]  # the teacher may have none
    return _with_labels(data, {"train": data.train.targets, "test": test}, data.classes)


def _with_labels(data: DataSet, targets: Mapping[str, Tensor], classes: tuple[str, ...]) -> DataSet:
    """Return the data with other labels on the teacher's side."""
    assert data.teacher is not None
    return replace(data, teacher=_labeled(data.teacher, targets, classes))
