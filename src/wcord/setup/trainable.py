"""Checks of a student before its first step: trainable weights, not shared, and batches that its layers accept."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from wcord.checks import UsageError
from wcord.features import unwrap


def require_own_weights(student: nn.Module, teacher: nn.Module | None) -> None:
    """Raise if a student shares weights with its teacher, which is frozen.

    Args:
        student: the network to be trained.
        teacher: the teacher, or None.

    Raises:
        UsageError: weights are shared; the message names them.

    >>> network = nn.Linear(2, 2)
    >>> require_own_weights(network, network)
    Traceback (most recent call last):
        ...
    wcord.checks.UsageError: the student is the teacher itself: give it a copy, copy.deepcopy(teacher), or another ...
    """
    if teacher is not None and unwrap(student) is unwrap(teacher):
        raise UsageError(
            "the student is the teacher itself: give it a copy, copy.deepcopy(teacher), or another network"
        )
    frozen = set() if teacher is None else {id(parameter) for parameter in teacher.parameters()}
    shared = [name for name, parameter in student.named_parameters() if id(parameter) in frozen]
    if shared:
        raise UsageError(
            f"the student shares {len(shared)} of its weights with the teacher ({shared[0]!r}, …), and a teacher is "
            "frozen: give the student copies of them (copy.deepcopy)"
        )


def require_trainable(student: nn.Module) -> None:
    """Raise if a student has no trainable weights."""
    if not any(parameter.requires_grad for parameter in student.parameters()):
        raise UsageError(
            f"{type(unwrap(student)).__name__} has no trainable weights: set requires_grad on those that should train"
        )


def require_normalizable(student: nn.Module, sample: Tensor, batch: int) -> None:
    """Raise if a layer would normalize over a single value, which PyTorch refuses in training.

    Args:
        student: the network to be trained; it is not changed.
        sample: a batch of its input.
        batch: size of the smallest batch.

    Raises:
        UsageError: one does; the message names the layer and the size of batch or input that it needs.
    """
    modes = [(module, module.training) for module in student.modules()]
    handles = [
        module.register_forward_pre_hook(partial(_require_values, name, batch))
        for name, module in student.named_modules()
        if isinstance(module, _BatchNorm | _InstanceNorm)
    ]
    try:
        with torch.no_grad():
            student.eval()(sample[:1])
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training


def _require_values(name: str, batch: int, layer: nn.Module, args: tuple[Tensor, ...]) -> None:
    positions = args[0][0, 0].numel()
    if positions > 1:
        return
    if isinstance(layer, _InstanceNorm):
        raise UsageError(
            f"the student's {name!r} normalizes over the positions of a map, which has only one: use larger inputs"
        )
    if batch < 2:
        raise UsageError(
            f"the student's {name!r} normalizes over the batch, and its map has one position: a batch of one sample "
            "has nothing to normalize: raise --batch-size to 2 or more for each process"
        )
