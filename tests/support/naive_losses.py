"""Losses by plain loops over numbers: slow, and each readable beside its paper's equation."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import ot
import torch
from torch import Tensor, nn

Rows = list[list[float]]


def _dot(x: Sequence[float], y: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(x, y, strict=True))


def _softmax(row: Sequence[float], temperature: float = 1.0) -> list[float]:
    powers = [math.exp(x / temperature) for x in row]
    return [x / sum(powers) for x in powers]


def _divergence(p: Sequence[float], q: Sequence[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def _standardized(row: list[float]) -> list[float]:
    mean = sum(row) / len(row)
    deviation = math.sqrt(sum((x - mean) ** 2 for x in row) / len(row))
    return [(x - mean) / deviation for x in row]


def kd(student: Tensor, teacher: Tensor, temperature: float, standardize: bool) -> float:
    total = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        s, t = (_standardized(row) if standardize else row for row in (s, t))
        total += _divergence(_softmax(t, temperature), _softmax(s, temperature))
    return temperature**2 * total / len(student)


def binary_kd(student: Tensor, teacher: Tensor, temperature: float) -> float:
    total = 0.0
    for s, t in zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True):
        p, q = (1 / (1 + math.exp(-x / temperature)) for x in (t, s))
        total += _divergence((p, 1 - p), (q, 1 - q))
    return temperature**2 * total / student.numel()


def bce(logits: Tensor, target: Tensor, label_smoothing: float) -> float:
    total = 0.0
    for x, y in zip(logits.flatten().tolist(), target.flatten().tolist(), strict=True):
        yes, smooth = 1 / (1 + math.exp(-x)), (1 - label_smoothing) * y + label_smoothing / 2
        total -= smooth * math.log(yes) + (1 - smooth) * math.log(1 - yes)
    return total / logits.numel()


def cross_entropy(
    logits: Tensor, target: Tensor, class_weights: Tensor | None = None, *, label_smoothing: float
) -> float:
    """Shares or numbers of classes; the weighted mean is over the weights of the true classes."""
    above = below = 0.0
    classes = logits.shape[1]
    weights = [1.0] * classes if class_weights is None else class_weights.tolist()
    for row, y in zip(logits.tolist(), target.tolist(), strict=True):
        shares = y if isinstance(y, list) else [float(c == y) for c in range(classes)]
        for weight, share, p in zip(weights, shares, _softmax(row), strict=True):
            above -= weight * ((1 - label_smoothing) * share + label_smoothing / classes) * math.log(p)
            below += weight * share
    return above / below


def dkd(student: Tensor, teacher: Tensor, target: Tensor, alpha: float, beta: float, temperature: float) -> float:
    total = 0.0
    for s, t, y in zip(student.tolist(), teacher.tolist(), target.tolist(), strict=True):
        p, q = (_softmax(row, temperature) for row in (t, s))
        total += alpha * _divergence((p[y], 1 - p[y]), (q[y], 1 - q[y]))
        others = [[x / (1 - row[y]) for c, x in enumerate(row) if c != y] for row in (p, q)]
        total += beta * _divergence(*others)
    return temperature**2 * total / len(student)


def _pearson(x: Sequence[float], y: Sequence[float]) -> float:
    x, y = ([value - sum(row) / len(row) for value in row] for row in (x, y))
    lengths = math.hypot(*x) * math.hypot(*y)
    return _dot(x, y) / lengths


def dist(student: Tensor, teacher: Tensor, beta: float, gamma: float, temperature: float) -> float:
    p, q = ([_softmax(row, temperature) for row in logits.tolist()] for logits in (student, teacher))
    inter = sum(1 - _pearson(x, y) for x, y in zip(p, q, strict=True)) / len(p)
    columns = zip(zip(*p, strict=True), zip(*q, strict=True), strict=True)
    intra = sum(1 - _pearson(x, y) for x, y in columns) / len(p[0])
    return temperature**2 * (beta * inter + gamma * intra)


def ttm(student: Tensor, teacher: Tensor, exponent: float, *, weighted: bool = False) -> float:
    total = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        powers = [x**exponent for x in _softmax(t)]
        divergence = _divergence([x / sum(powers) for x in powers], _softmax(s))
        total += divergence * (sum(powers) if weighted else 1)
    return total / len(student)


def wttm(student: Tensor, teacher: Tensor, exponent: float) -> float:
    return ttm(student, teacher, exponent, weighted=True)


def wkd_logit(
    student: Tensor,
    teacher: Tensor,
    cost: Tensor,
    target: Tensor,
    transport_weight: float,
    temperature: float,
    epsilon: float,
    iterations: int,
) -> float:
    """The formula with POT's converged plan for each sample by itself."""
    total = 0.0
    for s, t, y in zip(student, teacher, target.tolist(), strict=True):
        total -= (t.softmax(0)[y] * s.log_softmax(0)[y]).item()
        others = [c for c in range(len(s)) if c != y]
        a, b = (((row[others] / temperature).softmax(0)).numpy() for row in (s, t))
        price = cost[others][:, others].numpy()
        plan = ot.sinkhorn(a, b, price, epsilon, stopThr=1e-13, numItermax=10_000)
        total += transport_weight * (plan * price).sum()
    return total / len(student)


def cc(student: Tensor, teacher: Tensor) -> float:
    gaps = [[abs(x) for x in row] for row in (student - teacher).tolist()]
    products = [_dot(x, y) for x, y in pairwise(gaps)]
    return sum(products) / len(products)


def pkt(student: Tensor, teacher: Tensor) -> float:
    tables = []
    for rows in (student.tolist(), teacher.tolist()):
        lengths = [math.hypot(*row) + 1e-7 for row in rows]
        kernel = [
            [(1 + _dot(x, y) / (m * n)) / 2 for y, n in zip(rows, lengths, strict=True)]
            for x, m in zip(rows, lengths, strict=True)
        ]
        tables.append([c / sum(row) for row in kernel for c in row])
    pairs = zip(tables[1], tables[0], strict=True)
    return sum(p * math.log((p + 1e-7) / (q + 1e-7)) for p, q in pairs) / len(tables[0])


def huber(d: float) -> float:
    return d * d / 2 if abs(d) < 1 else abs(d) - 0.5


def rkd(student: Tensor, teacher: Tensor, distance_weight: float, angle_weight: float) -> float:
    batch, relations = len(student), []
    for rows in (student.tolist(), teacher.tolist()):
        gaps = [[[b - a for a, b in zip(x, y, strict=True)] for y in rows] for x in rows]
        lengths = [[math.hypot(*gap) for gap in row] for row in gaps]
        mean = sum(map(sum, lengths)) / (batch * (batch - 1))
        angles = [
            _dot(gaps[i][j], gaps[i][k]) / (lengths[i][j] * lengths[i][k]) if i not in (j, k) else 0.0
            for i in range(batch)
            for j in range(batch)
            for k in range(batch)
        ]
        relations.append(([length / mean for row in lengths for length in row], angles))
    distance, angle = (
        sum(huber(s - t) for s, t in zip(relations[0][part], relations[1][part], strict=True)) / batch ** (2 + part)
        for part in (0, 1)
    )
    return distance_weight * distance + angle_weight * angle


def sp(student: Tensor, teacher: Tensor) -> float:
    matrices = []
    for rows in (student.flatten(1).tolist(), teacher.flatten(1).tolist()):
        gram = [[_dot(x, y) for y in rows] for x in rows]
        matrices.append([g / math.hypot(*row) for row in gram for g in row])
    return sum((a - b) ** 2 for a, b in zip(*matrices, strict=True)) / len(student) ** 2


def ab(student: Tensor, teacher: Tensor, margin: float) -> float:
    total = 0.0
    for s, t in zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True):
        if t > 0:
            total += (s - margin) ** 2 if s <= margin else 0.0
        else:
            total += (s + margin) ** 2 if s > -margin else 0.0
    return 3 * total / 1000 / len(student)


def _attention(sample: Tensor, power: float) -> list[float]:
    """The mean power of all channels at each place, of length 1."""
    places = zip(*sample.flatten(1).tolist(), strict=True)
    means = [sum(x**power for x in place) / len(place) for place in places]
    return [x / math.hypot(*means) for x in means]


def at(student: Tensor, teacher: Tensor, p: float) -> float:
    total = 0.0
    for s, t in zip(student.abs(), teacher.abs(), strict=True):
        pair = (_attention(s, p), _attention(t, p))
        total += sum((a - b) ** 2 for a, b in zip(*pair, strict=True)) / len(pair[0])
    return total / len(student)


def ft(student: Tensor, teacher: Tensor, p1: float, p2: float) -> float:
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        pair = (_attention(s, p1), _attention(t, p1))
        total += sum(abs(a - b) ** p2 for a, b in zip(*pair, strict=True)) / len(pair[0])
    return total / len(student)


def fitnet(student: Tensor, teacher: Tensor) -> float:
    pairs = list(zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True))
    return sum((s - t) ** 2 for s, t in pairs) / len(pairs)


def _flow(first: Tensor, second: Tensor) -> Rows:
    """The mean product of each channel of one map of a sample with each of another; the larger map is pooled."""
    side = min(first.shape[1], second.shape[1])
    rows = [nn.functional.adaptive_avg_pool2d(x, side).flatten(1).tolist() for x in (first, second)]
    return [[_dot(a, b) / len(a) for b in rows[1]] for a in rows[0]]


def fsp(student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor]) -> float:
    total = 0.0
    for student, teacher in zip(pairwise(student_maps), pairwise(teacher_maps), strict=True):
        differences = []
        for sample in range(len(student[0])):
            flows = zip(*(_flow(*(x[sample] for x in maps)) for maps in (student, teacher)), strict=True)
            differences += [(s - t) ** 2 for rows in flows for s, t in zip(*rows, strict=True)]
        total += sum(differences) / len(differences)
    return total


def _pooled(plane: Tensor, side: int) -> list[float]:
    """The average over each cell of a grid of side × side, whose cells divide the plane."""
    step = len(plane) // side
    cells = [plane[i * step : (i + 1) * step, j * step : (j + 1) * step] for i in range(side) for j in range(side)]
    return [sum(cell.flatten().tolist()) / step**2 for cell in cells]


def hcl(student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor]) -> float:
    total = 0.0
    for student, teacher in zip(student_maps, teacher_maps, strict=True):
        height = student.shape[2]
        weights = {height: 1.0}
        for number, side in enumerate(side for side in (4, 2, 1) if side < height):
            weights[side] = 0.5 ** (number + 1)
        value = 0.0
        for side, weight in weights.items():
            squares = [
                (s - t) ** 2
                for a, b in zip(student.flatten(0, 1), teacher.flatten(0, 1), strict=True)
                for s, t in zip(_pooled(a, side), _pooled(b, side), strict=True)
            ]
            value += weight * sum(squares) / len(squares)
        total += value / sum(weights.values())
    return total


def _singular_vectors(student: Tensor, teacher: Tensor, k: int) -> tuple[Rows, Rows]:
    """The scaled vectors of one sample of one map, k lists over the channels for each network."""
    _, values, rows = np.linalg.svd(teacher.flatten(1).T.detach().numpy())
    flat = student.flatten(1)
    candidates = np.linalg.svd(flat.T.detach().numpy())[2][: min(k + 3, *flat.shape)]
    length = math.sqrt(sum(values[:k] ** 2))
    of_student, of_teacher = [], []
    for n in range(k):
        vector = rows[n] * np.sign(rows[n][np.abs(rows[n]).argmax()])
        nearest = max(candidates, key=lambda candidate: abs(candidate @ vector))
        of_student.append((nearest * np.sign(nearest @ vector) * values[n] / length).tolist())
        of_teacher.append((vector * values[n] / length).tolist())
    return of_student, of_teacher


def kdsvd(student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor], k: int) -> float:
    total, batch = 0.0, len(student_maps[0])
    for i in range(batch):
        vectors = [_singular_vectors(s[i], t[i], k) for s, t in zip(student_maps, teacher_maps, strict=True)]
        for (s, t), (next_s, next_t) in pairwise(vectors):
            for n in range(k):
                for c in range(len(s[n])):
                    for d in range(len(next_s[n])):
                        of_student = math.exp(-((s[n][c] - next_s[n][d]) ** 2) / 8)
                        total += (of_student - math.exp(-((t[n][c] - next_t[n][d]) ** 2) / 8)) ** 2
    return total / batch


def nst(student: Tensor, teacher: Tensor) -> float:
    def unit(channel: list[float]) -> list[float]:
        return [x / math.hypot(*channel) for x in channel]

    def mean_kernel(a: Rows, b: Rows) -> float:
        return sum(_dot(x, y) ** 2 for x in a for y in b) / (len(a) * len(b))

    total = 0.0
    for s, t in zip(student.flatten(2).tolist(), teacher.flatten(2).tolist(), strict=True):
        s, t = [unit(x) for x in s], [unit(x) for x in t]
        total += mean_kernel(s, s) + mean_kernel(t, t) - 2 * mean_kernel(s, t)
    return total / len(student)


def ofd(student: Tensor, teacher: Tensor, margin: Tensor) -> float:
    total = 0.0
    for student_channels, teacher_channels in zip(student, teacher, strict=True):
        for s_map, t_map, m in zip(student_channels, teacher_channels, margin.tolist(), strict=True):
            for s, t in zip(s_map.flatten().tolist(), t_map.flatten().tolist(), strict=True):
                aim = max(t, m)
                if aim > 0 or s > aim:
                    total += (s - aim) ** 2
    return total / len(student)


def vid(criterion: nn.Module, student: Tensor, teacher: Tensor) -> float:
    weights = [criterion.regressor[layer].weight.flatten(1).tolist() for layer in (0, 2, 4)]
    variances = [math.log(1 + math.exp(a)) + criterion.eps for a in criterion.raw_variance.tolist()]
    total = 0.0
    for i, h, w in torch.cartesian_prod(*(torch.arange(n) for n in (len(student), *student.shape[2:]))).tolist():
        x = student[i, :, h, w].tolist()
        for layer, weight in enumerate(weights):
            x = [_dot(row, x) for row in weight]
            x = [max(value, 0.0) for value in x] if layer < 2 else x
        for mean, target, variance in zip(x, teacher[i, :, h, w].tolist(), variances, strict=True):
            total += 0.5 * ((target - mean) ** 2 / variance + math.log(variance))
    return total / teacher.numel()


def _moments(plane: Tensor, row: int, column: int, grid: int) -> tuple[float, float]:
    height, width = plane.shape
    rows = range(row * height // grid, math.ceil((row + 1) * height / grid))
    columns = range(column * width // grid, math.ceil((column + 1) * width / grid))
    values = [float(plane[y, x]) for y in rows for x in columns]
    mean = sum(values) / len(values)
    return mean, sum((x - mean) ** 2 for x in values) / max(len(values) - 1, 1)


def wkd_feature(student: Tensor, teacher: Tensor, mean_weight: float, grid: int, eps: float) -> float:
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        for channel in range(len(s)):
            for row in range(grid):
                for column in range(grid):
                    (m, v), (n, w) = (_moments(x[channel], row, column, grid) for x in (s, t))
                    spread = math.sqrt(v + eps) - math.sqrt(w + eps)
                    total += mean_weight * (m - n) ** 2 + spread**2
    return total / (len(student) * grid**2)


def ickd(student: Tensor, teacher: Tensor, cells: Sequence[int], rows: bool) -> float:
    def products(sample: Tensor, row: int, column: int) -> Rows:
        height, width = sample.shape[1] // cells[0], sample.shape[2] // cells[1]
        down, across = slice(row * height, (row + 1) * height), slice(column * width, (column + 1) * width)
        flat = [channel[down, across].flatten().tolist() for channel in sample]
        return [[_dot(x, y) for y in flat] for x in flat]

    total, channels = 0.0, student.shape[1]
    for s, t in zip(student, teacher, strict=True):
        for row in range(cells[0]):
            for column in range(cells[1]):
                for a, b in zip(products(s, row, column), products(t, row, column), strict=True):
                    if rows:
                        a, b = ([x / math.hypot(*line) for x in line] for line in (a, b))
                    total += sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    return total / (len(student) * cells[0] * cells[1] * channels * (1 if rows else channels))


def infonce(student: Tensor, teacher: Tensor, temperature: float) -> float:
    s, t = ([[x / math.hypot(*row) for x in row] for row in side.tolist()] for side in (student, teacher))
    return -sum(math.log(_softmax([_dot(x, y) for y in t], temperature)[i]) for i, x in enumerate(s)) / len(s)


def rsd(student: Tensor, teacher: Tensor, kappa: float) -> float:
    s, t = ([_standardized(column) for column in side.T.tolist()] for side in (student, teacher))
    total = 0.0
    for d, x in enumerate(s):
        for e, y in enumerate(t):
            correlation = _dot(x, y) / len(x)
            total += (correlation - 1) ** 2 if d == e else kappa * correlation**2
    return total
