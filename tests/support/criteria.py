"""Losses with parameters, filled with fixed numbers, as functions, and their inputs."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product

import torch
from tests.support.loss_contract import (
    Inputs,
    each,
    fill,
    lists,
    wave,
)
from torch import Tensor

from wcord import losses

NAN = math.nan


def vid_criterion() -> losses.VIDLoss:
    """A criterion in double precision whose three convolutions are filled with phases 0.1, 0.2 and 0.3."""
    criterion = losses.VIDLoss(3, 4).double()
    for layer, phase in ((0, 0.1), (2, 0.2), (4, 0.3)):
        weight = criterion.regressor[layer].weight
        weight.data = fill(weight.shape, phase)
    return criterion


def varied_vid_criterion() -> losses.VIDLoss:
    criterion = vid_criterion()
    criterion.raw_variance.data = torch.tensor([-1.0, 0.0, 2.0, 5.0], dtype=torch.float64)
    return criterion


def in_precision(build: Callable[[], torch.nn.Module], student: Tensor) -> torch.nn.Module:
    """Return a criterion in the precision in which features of the student are computed."""
    return build().to(torch.float64 if student.dtype == torch.float64 else torch.float32)


def vid_loss(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    return in_precision(varied_vid_criterion, student_map)(student_map, teacher_map)


def review_loss(student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor]) -> Tensor:
    return in_precision(review_criterion, student_maps[0])(student_maps, teacher_maps)


def review_criterion() -> losses.ReviewKDLoss:
    """A criterion in double precision whose convolutions are filled with phases by level."""
    criterion = losses.ReviewKDLoss([3, 4, 6, 6], [4, 5, 7, 8]).double()
    for level, fusion in enumerate(criterion.fusions):
        for phase, module in enumerate((fusion.narrow[0], fusion.widen[0], fusion.attention)):
            if module is not None:
                module.weight.data = wave(module.weight.shape, 0.1 * level + phase)
        if fusion.attention is not None:
            fusion.attention.bias.data = wave((2,), 0.1 * level + 3)
    return criterion


def fused_maps(batch: int = 2, student: Sequence[int] = (8, 4, 2, 1), teacher: Sequence[int] = (8, 8, 4, 1)) -> Inputs:
    """Maps of four levels for `review_criterion`, of some heights."""
    return lists(
        [wave((batch, c, h, h), 0.1 * (i + 1)) for i, (c, h) in enumerate(zip((3, 4, 6, 6), student, strict=True))],
        [wave((batch, c, h, h), 0.1 * (i + 5)) for i, (c, h) in enumerate(zip((4, 5, 7, 8), teacher, strict=True))],
    )


def constant_fused_maps() -> Iterator[tuple[str, Inputs]]:
    for value in (0.0, 1.0, 1e4):
        yield f"{value}", each(lambda x, value=value: torch.full(x.shape, value), fused_maps())


def extreme_vid_maps() -> Iterator[tuple[str, Inputs]]:
    students = [torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 2, 2), 1e3 * torch.eye(4).repeat(2, 3, 1, 1)]
    teachers = [torch.zeros(2, 4, 2, 2), torch.ones(2, 4, 2, 2), 1e3 * torch.eye(2).repeat(2, 4, 1, 1)]
    for (i, student), (j, teacher) in product(enumerate(students), enumerate(teachers)):
        yield f"{i}, {j}", {"student_map": student, "teacher_map": teacher}
