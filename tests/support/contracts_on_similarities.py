"""The contracts of losses on rotated batches, and on phases of maps under a gate."""

import math
from collections.abc import Callable, Iterator
from itertools import product

import torch
from tests.support import naive_similarities as naive
from tests.support.contracts_on_embeddings import extreme_rows
from tests.support.loss_contract import (
    Contract,
    Inputs,
    above_0,
    both_shifts,
    channels,
    classes,
    each,
    exchange,
    features,
    fill,
    pair,
    samples,
    student_row_scales,
    student_shift,
    teacher_row_scales,
)
from torch import Tensor

from wcord import losses

LOGITS, SIMILARITIES = ("student_logits", "teacher_logits"), ("student_similarity", "teacher_similarity", "similarity")


def sskd(**inputs: Tensor) -> Tensor:
    """The sum of the three parts of SSKD."""
    return sum(losses.sskd_loss(**inputs).values(), torch.zeros(()))


def rotated_batch() -> Inputs:
    similarities = (fill((9, 3), phase) for phase in (2.0, 4.0))
    return {
        **pair("logits", (12, 4), (12, 4)),
        **dict(zip(SIMILARITIES, similarities, strict=False)),
        "target": torch.tensor([1, 0, 2]),
    }


def _of_samples(inputs: Inputs, order: Tensor) -> Inputs:
    """The rotated batch of some samples: logits go view by view, similarities sample by sample."""
    turned = (3 * order[:, None] + torch.arange(3)).flatten()
    moved = each(lambda x: x.unflatten(0, (4, len(x) // 4))[:, order].flatten(0, 1), inputs, *LOGITS)
    moved = each(lambda x: x[turned][:, order], moved, *SIMILARITIES)
    return each(lambda x: x[order], moved, "target")


def first_samples(inputs: Inputs, count: int) -> Inputs:
    """The first samples of a rotated batch."""
    return _of_samples(inputs, torch.arange(count))


def samples_of_rotated_batch(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """Another order of the samples of a rotated batch."""
    return _of_samples(inputs, torch.randperm(3, generator=generator))


def turns_of_one_sample(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """Two turned views of the first sample, each in place of the other."""
    logits, similarity = torch.arange(12), torch.arange(9)
    logits[[3, 6]], similarity[[0, 1]] = logits[[6, 3]], similarity[[1, 0]]
    return each(lambda x: x[similarity], each(lambda x: x[logits], inputs, *LOGITS), *SIMILARITIES)


def row_shifts(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """Each row shifted by a number of its own."""
    return each(lambda x: x + torch.randn(len(x), 1, generator=generator).double(), inputs, *features(inputs))


def extreme_rotated_batches() -> Iterator[tuple[str, Inputs]]:
    one_hot = 1e4 * torch.eye(4).repeat(3, 1)
    logits = {"zero": 0 * one_hot, "one-hot": one_hot, "opposite": -one_hot}
    own = torch.eye(3).repeat_interleave(3, 0)
    similarities = {"zero": 0 * own, "ones": torch.ones(9, 3), "own": own, "other": -own}
    for (s, t), (a, b) in product(product(logits, logits), product(similarities, similarities)):
        tensors = (logits[s], logits[t], similarities[a], similarities[b], torch.tensor([1, 0, 2]))
        yield f"{s}, {t}, {a}, {b}", dict(zip([*rotated_batch()], tensors, strict=True))


def extreme_similarities() -> Iterator[tuple[str, Inputs]]:
    for value in (0.0, 1.0, -1.0, 1e4):
        yield f"{value}", {"similarity": torch.full((9, 3), value)}
        yield f"own {value}", {"similarity": value * torch.eye(3).repeat_interleave(3, 0)}


def phases(of: Callable[[tuple[int, ...], float], Tensor] = fill) -> Inputs:
    shapes = ((3, 2, 6, 8), (3, 3, 3, 4))
    student, teacher = ([3 * of(shape, phase) for shape in shapes] for phase in (0.0, 1.0))
    return {"student_phases": student, "teacher_phases": teacher, "gate": fill((3, 5), 2.0).sigmoid()}


def extreme_phases() -> Iterator[tuple[str, Inputs]]:
    for s, t, gate in product((0.0, math.pi, -math.pi), (0.0, math.pi), (0.0, 0.5, 1.0)):
        student, teacher = (phases(lambda shape, _, x=x: torch.full(shape, x / 3)) for x in (s, t))
        yield (
            f"{s}, {t}, {gate}",
            student
            | {
                "teacher_phases": teacher["teacher_phases"],
                "gate": torch.full((3, 5), gate),
            },
        )


def gate_signs(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """The gate times -1, which the square takes out."""
    return each(lambda x: -x, inputs, "gate")


def phase_shift(inputs: Inputs, generator: torch.Generator) -> Inputs:
    """Both networks' phases shifted by one angle."""
    return each(lambda x: x + 1, inputs, "student_phases", "teacher_phases")


ON_SIMILARITIES = {
    "sskd": Contract(
        sskd,
        rotated_batch,
        naive=naive.sskd,
        defaults={
            "temperature": 4.0,
            "turned_temperature": 4.0,
            "similarity_temperature": 0.5,
            "keep_turned": 1.0,
            "keep_similarity": 0.75,
        },
        options=(
            {},
            {"temperature": 3, "turned_temperature": 2.0, "similarity_temperature": 0.4},
            {"keep_turned": 0.6, "keep_similarity": 0.4},
            {"keep_turned": 0, "keep_similarity": 0},
        ),
        gradcheck=({}, {"keep_turned": 0.6, "keep_similarity": 0.4}),
        trains=("student_similarity",),
        first=first_samples,
        degenerate=extreme_rotated_batches,
        extreme_options=({}, {"keep_turned": 0.0, "keep_similarity": 0.0}),
        symmetries=(samples_of_rotated_batch, turns_of_one_sample, both_shifts, student_shift),
        symmetry_options={"keep_similarity": 1.0},  # a share may cut between rows of one rank, by their order
        precision=torch.float64,
        rank="a matrix",
        errors=[
            *above_0("temperature", "turned_temperature", "similarity_temperature"),
            *(
                ({name: 1.5}, f"{name} must lie between 0 and 1, received 1.5")
                for name in ("keep_turned", "keep_similarity")
            ),
            ({"teacher_logits": torch.zeros(12, 3)}, "sskd compares class by class, received a student of 4 classes"),
            ({"teacher_similarity": torch.zeros(6, 2)}, "12 rows of logits and similarities with 3 and 2 originals"),
            ({"student_similarity": torch.zeros(8, 3)}, "a row for each of three turned views.* received 8×3"),
            ({"target": torch.tensor([0, 1, 4])}, "target holds classes 0 to 4, logits have 4 classes"),
        ],
    ),
    "sskd_head": Contract(
        losses.sskd_head_loss,
        lambda: {"similarity": fill((9, 3), 2.0)},
        naive=naive.sskd_head,
        defaults={},
        first=first_samples,
        degenerate=extreme_similarities,
        zero=None,  # other originals are always more likely than never
        symmetries=(samples_of_rotated_batch, turns_of_one_sample, row_shifts),
        bounds=(0, math.inf),
        rank="a matrix",
        errors=[({"similarity": torch.zeros(4, 2)}, "similarity must hold a row for each of three .* received 4×2")],
    ),
    "align": Contract(
        losses.align_loss,
        lambda: {"student": fill((5, 6), 0.0), "teacher": fill((5, 6), 1.0)},
        naive=naive.align,
        degenerate=extreme_rows(""),
        gradient_bound=1e3,
        zero=1e-6,
        symmetries=(samples, channels, exchange, student_row_scales, teacher_row_scales),
        symmetry_rtol=1e-5,
        bounds=(0, 4),
        precision=torch.float64,
        rank="a matrix",
        errors=[({"teacher": torch.zeros(5, 7)}, r"must have the same shape, received \(5, 6\) and \(5, 7\)")],
    ),
    "correlation": Contract(
        losses.correlation_loss,
        lambda: pair("similarity", (6, 4), (6, 4)),
        naive=naive.correlation,
        defaults={"temperature": 0.5},
        options=({}, {"temperature": 2}),
        gradcheck=({}, {"temperature": 2.0}),
        degenerate=extreme_rows("similarity"),
        symmetries=(samples, classes, row_shifts, both_shifts),
        precision=torch.float64,
        rank="a matrix",
        errors=[
            *above_0("temperature"),
            ({"teacher_similarity": torch.zeros(6, 2)}, r"must have the same shape, received \(6, 4\) and \(6, 2\)"),
        ],
    ),
    "phase_feature": Contract(
        losses.phase_feature_loss,
        phases,
        naive=naive.phase_feature,
        defaults={"wrap": False},
        options=({}, {"wrap": True}),
        gradcheck=({}, {"wrap": True}),
        trains=("gate",),
        degenerate=extreme_phases,
        extreme_options=({}, {"wrap": True}),
        symmetries=(samples, exchange, gate_signs, phase_shift),
        degree=4,  # twice in the gate, and twice in the phases
        precision=torch.float64,
        rank="(a feature map|a matrix)",
        errors=[
            ({"wrap": 1}, "wrap must be"),
            ({"teacher_phases": []}, "must be of the same stages, received shapes"),
            ({"gate": torch.zeros(3, 4)}, r"gate must be B×ΣC, here \(3, 5\), received \(3, 4\)"),
            (
                {"wrap": True, "teacher_phases": [torch.zeros(3, 2, 9, 8), torch.zeros(3, 3, 3, 4)]},
                "student_phases and teacher_phases must be of the same stages",
            ),
        ],
    ),
}
