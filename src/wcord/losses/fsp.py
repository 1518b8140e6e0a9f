"""Flow of the solution procedure: how each map follows from the one before (Yim et al., CVPR 2017)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from wcord.checks import UsageError, require_same_rows
from wcord.losses.maps import pool_to_smaller, require_lists, require_map
from wcord.numerics import autocast_off, full_precision

Maps = Sequence[Tensor]
"""A network's maps from input to output, each B×C×H×W."""


def fsp_loss(student_maps: Maps, teacher_maps: Maps) -> Tensor:
    r"""Return the distance between the student's and the teacher's products of neighboring maps.

    Σ_i mean( (G_i(s) - G_i(t))² ),    G_i(x) = 1 / (H W) Σ_hw x_i[:, h, w] x_{i+1}[:, h, w]ᵀ

    with s `student_maps` and t `teacher_maps`, each from input to output; G_i holds a number for each channel of map i
    and each of map i+1. Within a network the larger of two neighbors is average-pooled to the smaller; between the
    networks only channels have to agree. The paper sums over the entries of G and pools by maximum; the CRD benchmark,
    and we, take the mean over them and the batch, and pool by average.

    The teacher is detached.

    Args:
        student_maps: at least two maps, B×C_i×H×W each.
        teacher_maps: as many, with the same channels; their sizes may differ.

    Returns:
        A scalar, in at least single precision.

    Raises:
        UsageError: on fewer than two maps, other numbers of maps or channels, NaN or infinity.

    Example:
        >>> maps = [torch.ones(1, 1, 2, 2), torch.ones(1, 1, 1, 1)]
        >>> fsp_loss(maps, [3 * maps[0], maps[1]])  # G is 1 and 3
        tensor(4.)
    """
    require_lists(student_maps, teacher_maps)
    if len(student_maps) != len(teacher_maps) or len(student_maps) < 2:
        raise UsageError(
            "fsp compares neighboring maps and needs at least two of each network, as many of both, "
            f"received {len(student_maps)} of the student and {len(teacher_maps)} of the teacher"
        )
    for number, (student, teacher) in enumerate(zip(student_maps, teacher_maps, strict=True)):
        require_map(f"student_maps[{number}]", student)
        require_map(f"teacher_maps[{number}]", teacher)
        require_same_rows("student_maps[0]", student_maps[0], f"student_maps[{number}]", student)
        require_same_rows("student_maps[0]", student_maps[0], f"teacher_maps[{number}]", teacher)
    require_same_channels([x.shape[1] for x in student_maps], [x.shape[1] for x in teacher_maps])
    with autocast_off(student_maps[0]):
        students, teachers = _flows(student_maps), _flows([x.detach() for x in teacher_maps])
        return torch.stack([(s - t).square().mean() for s, t in zip(students, teachers, strict=True)]).sum()


def require_same_channels(student: Sequence[int], teacher: Sequence[int]) -> None:
    """Raise unless both networks' maps have the same numbers of channels, from input to output.

    >>> require_same_channels([16, 32], [16, 64])
    Traceback (most recent call last):
        ...
    wcord.checks.UsageError: fsp needs maps of equal channels, received a student of 16, 32 and a teacher of 16, 64: ...
    """
    if list(student) != list(teacher):
        received = " and a teacher of ".join(", ".join(map(str, channels)) for channels in (student, teacher))
        raise UsageError(
            f"fsp needs maps of equal channels, received a student of {received}: "
            "use networks of one width, such as resnet56 and resnet20, or another method, such as 'at'"
        )


def _flows(maps: Maps) -> list[Tensor]:
    flows = []
    for before, after in pairwise(maps):
        first, second = pool_to_smaller(full_precision(before), full_precision(after))
        positions = first.shape[2] * first.shape[3]
        flows.append(first.flatten(2) @ second.flatten(2).transpose(1, 2) / positions)
    return flows
