"""Losses on rotated batches and on phases by plain loops over numbers."""

import math
from collections.abc import Sequence

from torch import Tensor

TURNS = 3


def kept_rows(scores: Sequence[Sequence[float]], true: Sequence[int], share: float) -> list[bool]:
    """Which rows SSKD keeps, by a sort of Python, which is stable."""
    ranks = [sum(score > row[column] for score in row) for row, column in zip(scores, true, strict=True)]
    wrong = sorted((row for row, rank in enumerate(ranks) if rank), key=lambda row: ranks[row])
    chosen = {row for row, rank in enumerate(ranks) if not rank} | set(wrong[: math.floor(share * len(wrong))])
    return [row in chosen for row in range(len(ranks))]


def kept_divergence(student: Tensor, teacher: Tensor, true: Sequence[int], temperature: float, share: float) -> float:
    rows = []
    kept = kept_rows(teacher.tolist(), true, share)
    for s, t, keep in zip(student.tolist(), teacher.tolist(), kept, strict=True):
        if keep:
            rows.append(_divergence(t, s, temperature))
    return temperature**2 * sum(rows) / max(len(rows), 1)


def sskd(
    student: Tensor, teacher: Tensor, student_similarity: Tensor, teacher_similarity: Tensor, target: Tensor, *,
    temperature: float, turned_temperature: float, similarity_temperature: float, keep_turned: float,
    keep_similarity: float,
) -> float:  # fmt: skip
    """The sum of the three parts."""
    samples = len(target)
    by_sample = [samples * view + sample for sample in range(samples) for view in (1, 2, 3)]
    upright, turned = ((student[rows], teacher[rows]) for rows in (range(samples), by_sample))
    classes = target.tolist()
    kd = kept_divergence(*upright, classes, temperature, 1.0)
    on_turned = [classes[row // TURNS] for row in range(TURNS * samples)]
    columns = [row // TURNS for row in range(TURNS * samples)]
    return (
        kd
        + kept_divergence(*turned, on_turned, turned_temperature, keep_turned)
        + kept_divergence(student_similarity, teacher_similarity, columns, similarity_temperature, keep_similarity)
    )


def sskd_head(similarity: Tensor) -> float:
    rows = similarity.tolist()
    return -sum(math.log(_softmax(row, 1.0)[at // TURNS]) for at, row in enumerate(rows)) / len(rows)


def align(student: Tensor, teacher: Tensor) -> float:
    total = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        total += sum((a - b) ** 2 for a, b in zip(unit(s), unit(t), strict=True))
    return total / len(student)


def correlation(student: Tensor, teacher: Tensor, temperature: float) -> float:
    pairs = list(zip(student.tolist(), teacher.tolist(), strict=True))
    return sum(_divergence(t, s, temperature) for s, t in pairs) / len(pairs)


def phase_feature(student: Sequence[Tensor], teacher: Sequence[Tensor], gate: Tensor, wrap: bool) -> float:
    """The loss of 4Ds, of maps whose sides divide by the last one's."""
    total, count, first = 0.0, 0, 0
    for s, t in zip(student, teacher, strict=True):
        for row, weights in enumerate(gate.tolist()):
            for channel in range(s.shape[1]):
                cells = zip(_cells(s[row, channel], student[-1]), _cells(t[row, channel], student[-1]), strict=True)
                apart = [_apart(a, b, wrap) for a, b in cells]
                total += weights[first + channel] ** 2 * sum(apart)
                count += len(apart)
        first += s.shape[1]
    return total / count


def _apart(a: Sequence[float], b: Sequence[float], wrap: bool) -> float:
    if wrap:
        return sum(2 - 2 * math.cos(x - y) for x, y in zip(a, b, strict=True)) / len(a)
    return (sum(a) / len(a) - sum(b) / len(b)) ** 2


def _cells(plane: Tensor, last: Tensor) -> list[list[float]]:
    """The numbers of each cell of a grid with as many cells as the last map has positions."""
    height, width = last.shape[2:]
    down, across = plane.shape[0] // height, plane.shape[1] // width
    return [
        plane[y * down : (y + 1) * down, x * across : (x + 1) * across].flatten().tolist()
        for y in range(height)
        for x in range(width)
    ]


def unit(row: Sequence[float]) -> list[float]:
    """A row at unit length, with 1e-6 in its squared length as the losses have it."""
    return [x / math.sqrt(sum(a * a for a in row) + 1e-6) for x in row]


def _softmax(row: Sequence[float], temperature: float) -> list[float]:
    powers = [math.exp(x / temperature) for x in row]
    return [x / sum(powers) for x in powers]


def _divergence(teacher: Sequence[float], student: Sequence[float], temperature: float) -> float:
    p, q = _softmax(teacher, temperature), _softmax(student, temperature)
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
