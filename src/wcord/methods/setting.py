"""The setting of a method: what it can know of the networks, the data and the training before the first step."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

Shape = tuple[int, ...]
"""Shape of one sample's map: (C, H, W), or (T, D) of a transformer."""


@dataclass(frozen=True)
class Setting:
    """The networks' and the data's properties that a method depends on, known before the first step.

    Attributes:
        student_dim: width of the student's embedding.
        teacher_dim: width of the teacher's embedding.
        student_classes: number of the student's logits.
        teacher_classes: number of the teacher's logits.
        same_labels: whether both networks' logits mean the same classes; False if they are known not to.
        num_samples: rows of the training set, or None if batches have no row numbers.
        batch_size: samples in a batch, or None if it is not known.
        label_smoothing: of the cross-entropy with the labels.
        several_labels: whether a sample may have several labels: targets are then 0 or 1 for each of them, B×C.
        mixed: whether batches hold mixtures of samples (mixup, CutMix): targets are then shares of the classes.
        class_weights: of the cross-entropy, one for each of the student's classes; None weights all classes equally.
        total_steps: training batches of the main stage, or None if their number is not known.
        student_maps: the student's maps by name, from input to output, with the shape of one sample.
        teacher_maps: the teacher's.
        student: the network itself, for methods that read its modules; a term does not keep it.
        teacher: the teacher, likewise.
    """

    student_dim: int
    teacher_dim: int
    student_classes: int
    teacher_classes: int
    same_labels: bool = True
    num_samples: int | None = None
    batch_size: int | None = None
    label_smoothing: float = 0.0
    class_weights: Tensor | None = None
    mixed: bool = False
    several_labels: bool = False
    total_steps: int | None = None
    student_maps: Mapping[str, Shape] = field(default_factory=dict)
    teacher_maps: Mapping[str, Shape] = field(default_factory=dict)
    student: nn.Module | None = None
    teacher: nn.Module | None = None
