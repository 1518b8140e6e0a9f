"""A method's objective for any training loop."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from wcord.checks import require_kind, require_list, require_names, require_positive
from wcord.methods.build import Options, build_objective, parse_method
from wcord.methods.objective import Objective
from wcord.methods.observe import observe
from wcord.setup.trainable import require_own_weights


def build_method(
    method: str,
    student: nn.Module,
    teacher: nn.Module,
    *,
    sample: Tensor | None = None,
    teacher_sample: Tensor | None = None,
    num_samples: int | None = None,
    batch_size: int | None = None,
    label_smoothing: float = 0.0,
    class_weights: Sequence[float] | Tensor | None = None,
    several_labels: bool = False,
    total_steps: int | None = None,
    student_maps: Sequence[str] | None = None,
    teacher_maps: Sequence[str] | None = None,
    student_embedding: str | None = None,
    teacher_embedding: str | None = None,
    options: Options | None = None,
) -> Objective:
    """Return a method's objective for two networks, for use in any loop.

    Args:
        method: terms joined by `+`, such as `wcord+kd`; see `wcord list`.
        student: the network to be trained.
        teacher: the trained network.
        sample: a batch of the student's input; default: 32×32 images with the channels of its first layer.
        teacher_sample: a batch of the teacher's input; default: `sample`.
        num_samples: rows of the training set, for memories by sample index; None: a queue is used if the method allows
            one.
        batch_size: samples in a batch, to refuse a method that needs more.
        label_smoothing: label smoothing of the cross-entropy.
        class_weights: a number above 0 for each of the student's classes, for the cross-entropy; default: all equal.
        several_labels: whether a sample may have several labels; `Batch.target` is then B×C of 0 and 1.
        total_steps: batches of the whole training, for options that change during it.
        student_maps: names or module paths of the student's maps, from stem to last; default: what it states.
        teacher_maps: as `student_maps`. Read both with
            `capture(…, maps=objective.student_map_names, cut=objective.cuts)`.
        student_embedding: path of the module whose input is the student's embedding; default: its classifier. Read
            both with `capture(…, embedding=…)`.
        teacher_embedding: as `student_embedding`.
        options: term → option → value, as keyword arguments of its loss.

    Raises:
        UsageError: a name is unknown, or the networks or the data lack what the method needs.

    Example:
        >>> import torch
        >>> from wcord import capture, create_model
        >>> from wcord.data.batch import Batch
        >>> student, teacher = create_model("resnet8", num_classes=10), create_model("resnet14", num_classes=10)
        >>> objective = build_method("wcord+kd", student, teacher)
        >>> objective.formula
        '1 ce + 0.8 gckt + 0.05 lckt + 1 kd'
        >>> images, target = torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 2, 3])
        >>> with capture(student) as student_tap, capture(teacher) as teacher_tap:
        ...     with torch.no_grad():
        ...         target_features = teacher_tap(images)
        ...     report = objective(student_tap(images), target_features, Batch(images, images, target))
        >>> sorted(report.parts)
        ['ce', 'gckt', 'kd', 'lckt']
    """
    for name, value in (("student", student), ("teacher", teacher)):
        require_kind(name, value, nn.Module, "a torch.nn.Module")
    if class_weights is not None and not isinstance(class_weights, Tensor):
        require_list("class_weights", class_weights)
        for weight in class_weights:
            require_positive("class_weights", weight)
    for name, names in (("student_maps", student_maps), ("teacher_maps", teacher_maps)):
        if names is not None:
            require_names(name, names)
    for name, path in (("student_embedding", student_embedding), ("teacher_embedding", teacher_embedding)):
        if path is not None:
            require_kind(name, path, str, "the path of a module")
    _require_options(options)
    if any(name != "ce" for name in parse_method(method)):
        require_own_weights(student, teacher)
    setting = observe(
        student,
        teacher,
        student_sample=sample,
        teacher_sample=teacher_sample,
        num_samples=num_samples,
        batch_size=batch_size,
        label_smoothing=label_smoothing,
        class_weights=None if class_weights is None else torch.as_tensor(class_weights, dtype=torch.float32),
        several_labels=several_labels,
        total_steps=total_steps,
        student_maps=student_maps,
        teacher_maps=teacher_maps,
        student_embedding=student_embedding,
        teacher_embedding=teacher_embedding,
    )
    return build_objective(method, setting, options=options)


def _require_options(options: object) -> None:
    expected = "a mapping of term → option → value, such as {'kd': {'temperature': 2}}"
    if options is not None:
        require_kind("options", options, Mapping, expected)
        assert isinstance(options, Mapping)
        for chosen in options.values():
            require_kind("options", chosen, Mapping, expected)
