"""The contracts of losses on the features of tokens, and on the angles between embeddings and classes."""

import math
from collections.abc import Iterator

import torch
from tests.support import naive_tokens as naive
from tests.support.loss_contract import (
    Contract,
    Inputs,
    above_0,
    common_shift,
    exchange,
    fill,
    from_0,
    samples,
    student_row_scales,
)
from torch import Tensor

from wcord import losses
from wcord.numerics import full_precision

FEATURES, ATTENTION = (3, 4, 6), (3, 2, 4, 4)
WEIGHT = fill((5, 4), 2.0)


def pairs(features: Tensor, other: Tensor, attention: Tensor, other_attention: Tensor) -> Inputs:
    return {"student": [features, attention], "teacher": [other, other_attention]}


def local_features() -> Inputs:
    attention = (fill(ATTENTION, phase).softmax(-1) for phase in (2.0, 3.0))
    return pairs(fill(FEATURES, 0.0), fill(FEATURES, 1.0), *attention)


def extreme_local_features() -> Iterator[tuple[str, Inputs]]:
    even, sharp = torch.full(ATTENTION, 0.25), torch.eye(4).expand(ATTENTION)
    for value in (0.0, 1.0, -3.0, 1e4):
        flat = torch.full(FEATURES, value)
        yield f"{value}, equal", pairs(flat, flat, even, even)
        yield f"{value}, sharp", pairs(flat, flat, sharp, sharp)
        yield f"{value}, opposite", pairs(flat, -flat, even, sharp)


def margin_softmax(embedding: Tensor, target: Tensor, **options: float) -> Tensor:
    """The loss with a fixed weight in the precision of the embedding."""
    weight = WEIGHT.to(full_precision(embedding).dtype)
    return losses.margin_softmax_loss(embedding, weight, target, **options)


def naive_margin_softmax(embedding: Tensor, target: Tensor, scale: float, margin: float) -> float:
    return naive.margin_softmax(embedding, target, WEIGHT, scale, margin)


def embeddings() -> Inputs:
    return {"embedding": fill((4, 4), 0.0), "target": torch.tensor([0, 4, 2, 2])}


def extreme_embeddings() -> Iterator[tuple[str, Inputs]]:
    rows = WEIGHT[[0, 4, 2, 2]].float()
    cases = {
        "zero": 0 * rows,
        "tiny": 1e-20 * rows,
        "own class": rows,
        "opposite": -1e4 * rows,
        "one-hot": torch.eye(4),
    }
    for name, case in cases.items():
        yield name, {"embedding": case, "target": torch.tensor([0, 4, 2, 2])}


ON_TOKENS = {
    "urfm": Contract(
        losses.urfm_loss,
        local_features,
        naive=naive.urfm,
        defaults={"attention_weight": 1.0, "feature_weight": 1.0},
        options=({}, {"attention_weight": 2.0, "feature_weight": 0.0}, {"attention_weight": 0.0}),
        degenerate=extreme_local_features,
        symmetries=(samples, common_shift, exchange),
        degree=2,
        rank="local features",
        errors=[
            *from_0("attention_weight", "feature_weight"),
            ({"student": local_features()["student"][:1]}, "student must be a pair of features and attention"),
            ({"teacher": [fill((3, 5, 6), 0.0), fill(ATTENTION, 0.0)]}, "must have the same shape"),
            ({"teacher": [fill(FEATURES, 0.0), fill((3, 1, 4, 4), 0.0)]}, r"teacher\[1\] must have the same shape"),
            ({"student": [fill(FEATURES, 0.0)] * 2}, r"student\[1\] must be attention"),
        ],
    ),
    "margin_softmax": Contract(
        margin_softmax,
        embeddings,
        naive=naive_margin_softmax,
        defaults={"scale": 64.0, "margin": 0.5},
        options=({}, {"scale": 10.0, "margin": 0.0}, {"scale": 30.0, "margin": 1.5}),
        gradcheck=({}, {"scale": 5.0, "margin": 1.0}),
        degenerate=extreme_embeddings,
        extreme_options=({}, {"margin": 3.0}),
        zero=None,
        symmetries=(samples, student_row_scales),
        bounds=(0, math.inf),
        rank="a matrix",
        errors=[
            *above_0("scale"),
            ({"margin": -0.1}, "margin must lie between 0 and 3.14159, received -0.1"),
            ({"target": torch.tensor([0, 1, 2, 5])}, "target holds classes 0 to 5, logits have 5 classes"),
            ({"embedding": fill((4, 3), 0.0)}, "embedding and weight must have the same width, received 3 and 4"),
        ],
    ),
}
