"""A method for any loop."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from wcord.checks import require_kind, require_list, require_names, require_positive
from wcord.methods.build import Options, build_objective, parse_method
from wcord.methods.observe import observe
from wcord.methods.term import Objective
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
    """Return a method's objective for two networks, to be used in any loop.

    Args:
        method: summands joined by `+`, such as `wcord+kd`; see `wcord list`.
        student: the network to be trained.
        teacher: the trained network.
        sample: a batch of what the student sees; default: 32×32 images of the channels of its first layer.
        teacher_sample: a batch of what the teacher sees; default: `sample`.
        num_samples: rows of the training set, for memories by sample index; None: a queue is used where one can be.
        batch_size: samples in a batch, to refuse a method that needs more.
        label_smoothing: of the cross-entropy.
        class_weights: of the cross-entropy, a number above 0 for each of the student's classes; default: all alike.
        several_labels: whether a sample may have several labels; `Batch.target` is then B×C of 0 and 1.
        total_steps: training batches of the whole training, for options that change on the way.
        student_maps: names or module paths of the student's maps, from stem to last; default: what it states.
        teacher_maps: as `student_maps`. Read both with `capture(…, maps=objective.student_map_names)`.
        student_embedding: path of the module whose input is the student's embedding; default: its classifier. Read
            both with `capture(…, embedding=…)`.
        teacher_embedding: as `student_embedding`.
        options: summand → option → value, as keyword arguments of its loss.

    Raises:
        UsageError: on unknown names, and where the method needs what the networks or the data do not give.

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
        ...         seen = teacher_tap(images)
        ...     report = objective(student_tap(images), seen, Batch(images, images, target))
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
    expected = "a mapping of summand → option → value, such as {'kd': {'temperature': 2}}"
    if options is not None:
        require_kind("options", options, Mapping, expected)
        assert isinstance(options, Mapping)
        for chosen in options.values():
            require_kind("options", chosen, Mapping, expected)
