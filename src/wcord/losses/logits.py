"""Checks shared by the losses on logits: both networks' logits, and the classes."""

import torch
from torch import Tensor

from wcord.checks import UsageError, WrongTypeError, require_finite, require_matrix, require_same_rows, require_tensor
from wcord.host import may_read

SHARE_TOLERANCE = 1e-3
"""Largest deviation from 1 of a sum of shares, by rounding."""


def require_logits(name: str, student_logits: Tensor, teacher_logits: Tensor, *, min_rows: int = 1) -> None:
    """Raise unless both are finite logits of the same samples over the same two classes or more.

    Args:
        name: the method, for messages.
        student_logits: B×C.
        teacher_logits: B×C.
        min_rows: the smallest batch.

    >>> import torch
    >>> require_logits("dkd", torch.zeros(2, 3), torch.zeros(2, 5))
    Traceback (most recent call last):
        ...
    wcord.checks.UsageError: dkd compares class by class, received a student of 3 classes and a teacher of 5: ...
    """
    require_matrix("student_logits", student_logits, min_rows=min_rows)
    require_matrix("teacher_logits", teacher_logits, min_rows=min_rows)
    require_same_rows("student_logits", student_logits, "teacher_logits", teacher_logits)
    classes = student_logits.shape[1]
    if classes != teacher_logits.shape[1]:
        raise UsageError(
            f"{name} compares class by class, received a student of {classes} classes and a teacher of "
            f"{teacher_logits.shape[1]}: use a method on features, such as 'wcord', which needs no common classes"
        )
    if classes < 2:
        raise UsageError(f"{name} needs logits of at least 2 classes, received {classes}: state a class for 'no', too")
    require_finite("student_logits", student_logits)
    require_finite("teacher_logits", teacher_logits)


def require_classes(target: Tensor, logits: Tensor) -> None:
    """Raise unless `target` holds the number of a class of the logits for each of their rows.

    Values are checked on the CPU only: on an accelerator the check would wait for the device, and the loader has
    checked the classes before.

    >>> import torch
    >>> require_classes(torch.tensor([0, 3]), torch.zeros(2, 3))
    Traceback (most recent call last):
        ...
    wcord.checks.UsageError: target holds classes 0 to 3, logits have 3 classes: ...
    """
    require_tensor("target", target)
    if target.dim() != 1:
        raise UsageError(f"target must hold one class number per sample, received shape {tuple(target.shape)}")
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        raise WrongTypeError(f"target must hold class numbers, received {target.dtype}: convert it with .long()")
    require_same_rows("logits", logits, "target", target)
    if may_read(target) and not 0 <= int(target.min()) <= int(target.max()) < logits.shape[1]:
        raise UsageError(
            f"target holds classes {int(target.min())} to {int(target.max())}, logits have {logits.shape[1]} classes: "
            "build the network with as many classes as the data has"
        )


def is_class(target: Tensor, classes: int) -> Tensor:
    """Return the one-hot mask of each row's class, B×C; `F.one_hot` would read the target on the host.

    >>> is_class(torch.tensor([1, 0]), 3)
    tensor([[False,  True, False],
            [ True, False, False]])
    """
    return target[:, None] == torch.arange(classes, device=target.device)


def require_shares(target: Tensor, logits: Tensor) -> None:
    """Raise unless `target` holds for each row of the logits the shares of their classes, from 0 on, of sum 1.

    Values are checked on the CPU only, as by `require_classes`.

    >>> import torch
    >>> require_shares(torch.tensor([[0.5, 0.4]]), torch.zeros(1, 2))
    Traceback (most recent call last):
        ...
    wcord.checks.UsageError: target must hold shares of the classes, from 0 on and of sum 1 in each row; row 0 does not
    """
    if target.shape != logits.shape:
        raise UsageError(
            f"target holds shares of shape {tuple(target.shape)}, logits have shape {tuple(logits.shape)}: give one "
            "share for each class of each sample"
        )
    if may_read(target):
        right = (target >= 0).all(dim=1) & ((target.sum(dim=1) - 1).abs() < SHARE_TOLERANCE)
        if not bool(right.all()):
            row = int((~right).nonzero()[0])
            raise UsageError(
                f"target must hold shares of the classes, from 0 on and of sum 1 in each row; row {row} does not"
            )
