"""What every loss of `tests/support/loss_table.py` promises, as data: one `Contract` per loss."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Inputs = dict[str, Any]
"""Name of a parameter → tensor or list of tensors; the student is the first."""
Symmetry = Callable[[Inputs, torch.Generator], Inputs]

LABELS = ("target", "class_weights")
CONSTANT = (*LABELS, "class_cost", "margin")
"""Inputs that are no features: they stay as they are where random features are drawn."""


@dataclass(frozen=True)
class Contract:
    """A loss and what is promised of it; `tests/losses/test_contract.py` checks each line.

    Attributes:
        loss: the function, called with `inputs` and options by name.
        inputs: gives its inputs in double precision, the student's first.
        naive: the same value by Python's loops, called as the loss with all `defaults`.
        defaults: each option of the loss with its documented default.
        options: sets of options at which the value is the naive loop's.
        public: inputs that differ, options and the value that the authors' or the public benchmark's code gives.
        gradcheck: sets of options at which gradients are checked; none where the gradient is not that of the value.
        small: gives smaller inputs for the check of gradients.
        trains_teacher: whether gradients reach the teacher's side too.
        trains: names of further inputs that gradients reach.
        first: gives the inputs of the first samples of the batch.
        degenerate: gives named inputs at which value and gradient are finite.
        extreme_options: sets of options for them.
        gradient_bound: the largest entry of a gradient there.
        zero: how far from 0 the loss may be where student and teacher are equal; None if it is not 0 there.
        symmetries: changes of random inputs that leave the loss as it is.
        symmetry_options: options at which they hold.
        degree: the power of a common scale with which the loss grows.
        bounds: the least and the greatest value on random inputs.
        precision: that of a loss between a student in single precision and a teacher in double precision.
        least_batch: the smallest batch that is accepted.
        refuses_nan: whether inputs that are not finite raise.
        rank: the message on features of a wrong number of dimensions.
        errors: changes of inputs or options, with the message that each gives.
        rel: the relative tolerance of values.
        symmetry_rtol: the relative tolerance of symmetries.
    """

    loss: Callable[..., Tensor]
    inputs: Callable[[], Inputs]
    naive: Callable[..., float] | None = None
    defaults: Inputs | None = None
    options: Sequence[Inputs] = ({},)
    public: Sequence[tuple[Inputs, Inputs, float]] = ()
    gradcheck: Sequence[Inputs] = ({},)
    small: Callable[[], Inputs] | None = None
    trains_teacher: bool = False
    trains: Sequence[str] = ()
    first: Callable[[Inputs, int], Inputs] = lambda inputs, count: first_rows(inputs, count)
    degenerate: Callable[[], Iterable[tuple[str, Inputs]]] = tuple
    extreme_options: Sequence[Inputs] = ({},)
    gradient_bound: float = math.inf
    zero: float | None = 0.0
    symmetries: Sequence[Symmetry] = ()
    symmetry_options: Inputs = field(default_factory=dict)
    degree: int | None = None
    bounds: tuple[float, float] = (-1e-12, math.inf)
    precision: torch.dtype = torch.float32
    least_batch: int = 1
    refuses_nan: bool = True
    rank: str = ""
    errors: Sequence[tuple[Inputs, str]] = ()
    rel: float = 1e-6
    symmetry_rtol: float = 1e-7


def fill(shape: Sequence[int], phase: float) -> Tensor:
    """Return a tensor whose element n, counted from 1 in row-major order, is sin(0.3 n² + phase)."""
    return torch.sin(0.3 * torch.arange(1, math.prod(shape) + 1).double() ** 2 + phase).reshape(tuple(shape))


def wave(shape: Sequence[int], phase: float) -> Tensor:
    """Return a tensor whose element n, counted from 1 in row-major order, is sin(0.7 n + phase)."""
    return torch.sin(0.7 * torch.arange(1, math.prod(shape) + 1).double() + phase).reshape(tuple(shape))


def tensors(inputs: Inputs) -> Iterator[tuple[str, Tensor]]:
    """Give each tensor with its name, those of a list as `name[i]`."""
    for name, value in inputs.items():
        if isinstance(value, Tensor):
            yield name, value
        else:
            yield from ((f"{name}[{i}]", one) for i, one in enumerate(value))


def each(change: Callable[[Tensor], Tensor], inputs: Inputs, *names: str) -> Inputs:
    """Return the inputs with a change of each tensor, or of those under some names."""

    def changed(value: Any) -> Any:
        return change(value) if isinstance(value, Tensor) else [change(one) for one in value]

    return {name: changed(value) if not names or name in names else value for name, value in inputs.items()}


def floats(change: Callable[[Tensor], Tensor], inputs: Inputs) -> Inputs:
    """Return the inputs with a change of each tensor of floating-point numbers."""
    return each(lambda x: change(x) if x.is_floating_point() else x, inputs)


def features(inputs: Inputs) -> list[str]:
    """Return the names of both networks' features, the student's first."""
    return [name for name in inputs if name not in CONSTANT]


def first_rows(inputs: Inputs, count: int) -> Inputs:
    """Return the inputs of the first samples of the batch."""
    return each(lambda x: x[:count], inputs, *features(inputs), "target")


def random_features(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """Return the inputs with normal numbers in place of both networks' features."""
    return each(lambda x: 2 * torch.randn(x.shape, generator=generator, dtype=torch.float64), inputs, *features(inputs))


def pair(kind: str, student: Sequence[int], teacher: Sequence[int], of: Callable[..., Tensor] = fill) -> Inputs:
    """Return features of both networks as arguments, such as `student_map` and `teacher_map`."""
    return {f"student_{kind}": of(student, 0.0), f"teacher_{kind}": of(teacher, 1.0)}


def lists(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Inputs:
    return {"student_maps": list(student), "teacher_maps": list(teacher)}


def above_0(*names: str) -> list[tuple[Inputs, str]]:
    return [({name: -1.0}, f"{name} must be a finite number above 0, received -1.0") for name in names]


def from_0(*names: str) -> list[tuple[Inputs, str]]:
    return [({name: -1.0}, f"{name} must be a finite number of at least 0, received -1.0") for name in names]


# --- symmetries


def samples(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """Another order of the batch."""
    names = [*features(inputs), "target"]
    rows = next(x for _, x in tensors(inputs)).shape[0]
    order = torch.randperm(rows, generator=generator)
    return each(lambda x: x[order], inputs, *names)


def reversal(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """The batch from its last sample to its first."""
    return each(lambda x: x.flip(0), inputs, *features(inputs))


def classes(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """Another order of the classes."""
    order = torch.randperm(next(x for _, x in tensors(inputs)).shape[1], generator=generator)
    moved = each(lambda x: x[:, order], inputs, *features(inputs))
    if "target" in inputs:
        target = inputs["target"]
        moved["target"] = target[:, order] if target.is_floating_point() else order.argsort()[target]
    if "class_cost" in inputs:
        moved["class_cost"] = inputs["class_cost"][order][:, order]
    if "class_weights" in inputs:
        moved["class_weights"] = inputs["class_weights"][order]
    return moved


def channels(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """Another order of both networks' channels."""
    order = torch.randperm(next(x for _, x in tensors(inputs)).shape[1], generator=generator)
    moved = each(lambda x: x[:, order], inputs, *features(inputs))
    return moved | ({"margin": inputs["margin"][order]} if "margin" in inputs else {})


def student_channels(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """Another order of the student's channels."""
    return _student(inputs, lambda x: x[:, torch.randperm(x.shape[1], generator=generator)])


def places(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """Another order of the columns of the maps, one order for both networks."""
    state = generator.get_state()

    def moved(x: Tensor) -> Tensor:
        return x[..., torch.randperm(x.shape[-1], generator=generator.set_state(state))]

    return each(moved, inputs, *features(inputs))


def student_places(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """Another order of all places of the student's maps."""

    def moved(x: Tensor) -> Tensor:
        flat = x.flatten(2)
        return flat[..., torch.randperm(flat.shape[2], generator=generator)].view_as(x)

    return _student(inputs, moved)


def both_shifts(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """The student's features shifted by a number and the teacher's by another."""
    names = features(inputs)
    shift = _number(generator, -50, 50)
    moved = each(lambda x: x + shift, inputs, names[0])
    return each(lambda x: x - shift, moved, *names[1:])


def student_shift(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """The student's features shifted by a number."""
    shift = _number(generator, -50, 50)
    return _student(inputs, lambda x: x + shift)


def common_shift(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """Both networks' features shifted by one number."""
    shift = _number(generator, -5, 5)
    return each(lambda x: x + shift, inputs, *features(inputs))


def student_scale(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """The student's features times a number above 0."""
    scale = _number(generator, 0.1, 10)
    return _student(inputs, lambda x: scale * x)


def teacher_scale(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """The teacher's features times a number above 0."""
    scale = _number(generator, 0.1, 10)
    return each(lambda x: scale * x, inputs, features(inputs)[1])


def student_sign(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """The student's features times -1."""
    return _student(inputs, lambda x: -x)


def teacher_sign(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """The teacher's features times -1."""
    return each(lambda x: -x, inputs, features(inputs)[1])


def student_row_scales(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """Each sample of the student times a number of its own above 0."""
    return _student(inputs, lambda x: (1 + 5 * torch.rand(len(x), 1, generator=generator).double()) * x)


def teacher_row_scales(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """Each sample of the teacher times a number of its own above 0."""
    return each(
        lambda x: (1 + 5 * torch.rand(len(x), 1, generator=generator).double()) * x, inputs, features(inputs)[1]
    )


def student_channel_scales(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """Each channel of the student times a number of its own, the first one's below 0."""

    def scaled(x: Tensor) -> Tensor:
        factor = 0.2 + torch.rand(x.shape[1], 1, 1, generator=generator).double()
        factor[0] *= -1
        return factor * x

    return _student(inputs, scaled)


def student_rotation(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """The student's features of each sample rotated."""

    def rotated(x: Tensor) -> Tensor:
        flat = x.flatten(1)
        square = torch.randn(flat.shape[1], flat.shape[1], generator=generator, dtype=torch.float64)
        return (flat @ torch.linalg.qr(square).Q).view_as(x)

    return _student(inputs, rotated)


def exchange(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """The student's features in place of the teacher's and the teacher's in place of the student's."""
    student, teacher = features(inputs)[:2]
    return inputs | {student: inputs[teacher], teacher: inputs[student]}


def _student(inputs: Inputs, change: Callable[[Tensor], Tensor]) -> Inputs:
    return each(change, inputs, features(inputs)[0])


def _number(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * torch.rand((), generator=generator).item()
