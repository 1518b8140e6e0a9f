"""What must hold of a student before its first step: weights of its own to train, and batches that its layers take."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from wcord.checks import UsageError
from wcord.features import unwrap


def require_own_weights(student: nn.Module, teacher: nn.Module | None) -> None:
    """Raise where a student shares weights with its teacher, which is frozen.

    Args:
        student: the network to be trained.
        teacher: the trained one, or None.

    Raises:
        UsageError: saying which weights are shared, and how to copy them.

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
    theirs = set() if teacher is None else {id(parameter) for parameter in teacher.parameters()}
    shared = [name for name, parameter in student.named_parameters() if id(parameter) in theirs]
    if shared:
        raise UsageError(
            f"the student shares {len(shared)} of its weights with the teacher ({shared[0]!r}, …), and a teacher is "
            "frozen: give the student copies of them (copy.deepcopy)"
        )


def require_trainable(student: nn.Module) -> None:
    """Raise where a student has nothing to be trained."""
    if not any(parameter.requires_grad for parameter in student.parameters()):
        raise UsageError(
            f"{type(unwrap(student)).__name__} has no weights that train: set requires_grad of those that shall"
        )


def require_normalisable(student: nn.Module, sample: Tensor, batch: int) -> None:
    """Raise where a layer would normalise over a single value, which PyTorch refuses in training.

    Args:
        student: the network to be trained; it is left as it was.
        sample: one batch or more of what it sees.
        batch: samples that reach the network together, in the smallest step.

    Raises:
        UsageError: naming the layer, and the size of batch or picture that it needs.
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


def _require_values(name: str, batch: int, layer: nn.Module, given: tuple[Tensor, ...]) -> None:
    positions = given[0][0, 0].numel()
    if positions > 1:
        return
    if isinstance(layer, _InstanceNorm):
        raise UsageError(
            f"the student's {name!r} normalises over the positions of a map, of which there is one: use larger inputs"
        )
    if batch < 2:
        raise UsageError(
            f"the student's {name!r} normalises over the batch, and its map has one position: a batch of one sample "
            "has nothing to normalise, raise --batch-size to 2 or more for each process"
        )
