"""Losses on tokens and angles by plain loops over numbers."""

import math
from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor


def urfm(student: Sequence[Tensor], teacher: Sequence[Tensor], attention_weight: float, feature_weight: float) -> float:
    means = []
    for one, other in zip(student, teacher, strict=True):
        pairs = list(zip(one.flatten().tolist(), other.flatten().tolist(), strict=True))
        means.append(sum((a - b) ** 2 for a, b in pairs) / len(pairs))
    return feature_weight * means[0] + attention_weight * means[1]


def margin_softmax(embedding: Tensor, target: Tensor, weight: Tensor, scale: float, margin: float) -> float:
    total = 0.0
    for x, own in zip(embedding.tolist(), target.tolist(), strict=True):
        angles = [math.acos(_cosine(x, row)) + (margin if c == own else 0) for c, row in enumerate(weight.tolist())]
        powers = [math.exp(scale * math.cos(angle)) for angle in angles]
        total -= math.log(powers[own] / sum(powers))
    return total / len(embedding)


def _cosine(x: Sequence[float], y: Sequence[float]) -> float:
    lengths = (math.sqrt(sum(a * a for a in row)) for row in (x, y))
    return sum(a * b for a, b in zip(x, y, strict=True)) / math.prod(lengths)


def local_features(
    tokens: Tensor, index: Tensor, centers: Tensor, query: Tensor, key: Tensor, value: Tensor, bucket: Tensor
) -> Tensor:
    """The features h of `UnifiedMapping` in a double loop over samples and centers; matrices are applied as x W."""
    samples, width = len(tokens), centers.shape[1]
    local = torch.zeros(samples, len(centers), width, dtype=torch.float64)
    for b, c in product(range(samples), range(len(centers))):
        scores = [
            float((centers[c] @ query) @ (tokens[b, j] @ key + bucket[index[j]])) / math.sqrt(width)
            for j in range(tokens.shape[1])
        ]
        total = sum(map(math.exp, scores))
        for j, score in enumerate(scores):
            local[b, c] += math.exp(score) / total * (tokens[b, j] @ value)
    return local


def tar_at_far(embeddings: Tensor, labels: Tensor, far: float) -> float:
    """The largest share of genuine pairs above a threshold that at most a share `far` of the other pairs passes.

    Every cosine of a pair is tried as the threshold, which pairs of that cosine pass, and none.
    """
    rows, names = embeddings.double().tolist(), labels.tolist()
    genuine: list[float] = []
    impostor: list[float] = []
    for i in range(len(rows)):
        for j in range(i):
            (genuine if names[i] == names[j] else impostor).append(round(_cosine(rows[i], rows[j]), 12))
    best = 0.0
    for threshold in [*genuine, *impostor]:
        if sum(x >= threshold for x in impostor) <= far * len(impostor):
            best = max(best, sum(x >= threshold for x in genuine) / len(genuine))
    return best
