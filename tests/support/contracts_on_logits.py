"""The contracts of losses on logits."""

import math
from collections.abc import Callable, Iterator
from itertools import product

import torch
from tests.support import naive_losses as naive
from tests.support.loss_contract import (
    Contract,
    Inputs,
    above_0,
    both_shifts,
    classes,
    exchange,
    fill,
    from_0,
    samples,
    student_scale,
    student_shift,
    teacher_scale,
)
from torch import Tensor

from wcord import losses

NAN = math.nan
TARGET = torch.tensor([0, 5, 2, 2])


def logits() -> Inputs:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(4, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    return {"student_logits": student, "teacher_logits": 3 * teacher}


def labelled_logits() -> Inputs:
    return logits() | {"target": TARGET}


def published_logits() -> Inputs:
    """The logits at which the authors' code was run."""
    k = torch.arange(1, 21, dtype=torch.float64)
    return {"student_logits": 3 * torch.sin(0.7 * k).view(4, 5), "teacher_logits": 4 * torch.cos(0.3 * k).view(4, 5)}


def extreme_logits(**fixed: Tensor) -> Iterator[tuple[str, Inputs]]:
    sure, some = 1e4 * torch.eye(3)[:2], torch.arange(6.0).reshape(2, 3)
    cases = {
        "zero": (torch.zeros(2, 3), torch.zeros(2, 3)),
        "sure teacher": (torch.ones(2, 3), sure),
        "wrong teacher": (torch.ones(2, 3), sure.flip(0)),
        "opposite": (-sure, sure),
        "both sure": (sure, sure),
        "constant columns": (torch.arange(3.0).repeat(2, 1), some),
        "equal": (some, some),
    }
    for (name, (student, teacher)), width in product(cases.items(), (2, 3)):
        yield f"{name}, {width}", {"student_logits": student[:, :width], "teacher_logits": teacher[:, :width]} | fixed


def extreme_predictions() -> Iterator[tuple[str, Inputs]]:
    for cost, target in product((1 - torch.eye(3), torch.zeros(3, 3)), (torch.tensor([0, 1]), None)):
        for name, case in extreme_logits(class_cost=cost):
            if case["student_logits"].shape[1] == 3:
                yield f"{name}, {cost.max():g}", case | ({} if target is None else {"target": target})


def other_classes(name: str) -> tuple[Inputs, str]:
    message = f"{name} compares class by class, received a student of 6 classes and a teacher of 9: .*'wcord'"
    return {"teacher_logits": torch.zeros(4, 9)}, message


def extreme_answers(target: Tensor, **fixed: Tensor) -> Callable[[], Iterator[tuple[str, Inputs]]]:
    def cases() -> Iterator[tuple[str, Inputs]]:
        for size in (0.0, 1e4, -1e4):
            yield f"{size}", {"logits": torch.eye(3) * size, "target": target} | fixed

    return cases


def answers(target: Tensor, **fixed: Tensor) -> Callable[[], Inputs]:
    return lambda: {"logits": fill(target.shape if target.dim() == 2 else (4, 5), 0.0), "target": target} | fixed


MARKS = torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1], [0.25, 1, 0]], dtype=torch.float64)
NUMBERS, WEIGHTS = torch.tensor([0, 4, 2, 2]), torch.tensor([1.0, 2.0, 3.0, 4.0, 0.5], dtype=torch.float64)
SHARES = fill((4, 5), 0.5).softmax(1)
CLASS_COST = losses.classifier_cost(torch.sin(1.3 * torch.arange(1, 16, dtype=torch.float64)).view(5, 3))
SMOOTHING = ({}, {"label_smoothing": 0.3}, {"label_smoothing": 1.0})
LOGIT = {"inputs": logits, "degenerate": extreme_logits, "zero": 1e-6, "rank": "a matrix"}
CROSS_ENTROPY = {
    "loss": losses.cross_entropy_loss,
    "naive": naive.cross_entropy,
    "defaults": {"label_smoothing": 0.0},
    "options": SMOOTHING,
    "gradcheck": SMOOTHING[:2],
    "symmetries": (samples, classes, student_shift),
    "refuses_nan": False,  # the training loop reports it
    "rank": "a matrix",
}

ON_LOGITS = {
    "kd": Contract(
        losses.kd_loss,
        naive=naive.kd,
        defaults={"temperature": 4.0, "standardize": False},
        options=({}, {"temperature": 1.0}),
        symmetries=(samples, classes, both_shifts),
        errors=[other_classes("kd"), *above_0("temperature")],
        **LOGIT,
    ),
    "kd standardized": Contract(
        lambda standardize=True, **given: losses.kd_loss(standardize=standardize, **given),
        naive=naive.kd,
        defaults={"temperature": 4.0, "standardize": True},
        options=({}, {"temperature": 2.0}),
        symmetries=(samples, classes, both_shifts, student_scale, teacher_scale),
        rel=1e-4,
        symmetry_rtol=1e-2,
        **LOGIT,
    ),
    "binary_kd": Contract(
        losses.binary_kd_loss,
        naive=naive.binary_kd,
        defaults={"temperature": 4.0},
        options=({}, {"temperature": 1.0}),
        symmetries=(samples, classes),
        errors=above_0("temperature"),
        **LOGIT,
    ),
    "bce": Contract(
        losses.bce_loss,
        answers(MARKS),
        naive=naive.bce,
        defaults={"label_smoothing": 0.0},
        options=SMOOTHING,
        gradcheck=SMOOTHING[:2],
        degenerate=extreme_answers(torch.eye(3)),
        symmetries=(samples, classes),
        refuses_nan=False,  # the training loop reports it
        rank="a matrix",
        errors=[
            ({"target": 2 * MARKS}, "1 where a sample has the label and 0 elsewhere"),
            ({"target": -MARKS}, "1 where a sample has the label"),
            ({"target": NAN * MARKS}, "1 where a sample has the label"),
            ({"target": MARKS[:, :2]}, "logits and target must have the same shape"),
            ({"target": MARKS[0]}, "target must be a matrix"),
        ],
    ),
    "cross_entropy": Contract(
        inputs=answers(NUMBERS),
        degenerate=extreme_answers(torch.tensor([0, 2, 1])),
        errors=[
            ({"target": torch.tensor([0, 5, 0, 0])}, "target holds classes 0 to 5, logits have 5 classes"),
            ({"target": torch.tensor([-1, 1, 0, 0])}, "target holds classes -1 to 1"),
            ({"target": NUMBERS[:, None]}, "target must hold one class number per sample"),
            ({"target": NUMBERS.double()}, "target must hold class numbers"),
            ({"label_smoothing": 1.5}, "label_smoothing must lie between 0 and 1"),
            ({"class_weights": WEIGHTS[:2]}, "one number for each of the 5 classes, received shape"),
            ({"class_weights": WEIGHTS[None]}, r"received shape \(1, 5\)"),
            ({"class_weights": WEIGHTS - 2}, "above 0, received -1.0 for class 0"),
            ({"class_weights": WEIGHTS - 1}, "above 0, received 0.0 for class 0"),
            ({"class_weights": torch.tensor([NAN, 1, 1, 1, 1])}, "above 0, received nan for class 0"),
            ({"class_weights": torch.tensor([1, math.inf, 1, 1, 1])}, "above 0, received inf for class 1"),
        ],
        **CROSS_ENTROPY,
    ),
    "cross_entropy with class weights": Contract(
        inputs=answers(NUMBERS, class_weights=WEIGHTS),
        degenerate=extreme_answers(torch.tensor([0, 2, 1]), class_weights=torch.tensor([1e-6, 1.0, 1e6])),
        **CROSS_ENTROPY,
    ),
    "cross_entropy of shares": Contract(
        inputs=answers(SHARES),
        degenerate=extreme_answers(torch.eye(3)),
        errors=[
            ({"target": torch.cat([0.9 * SHARES[:1], SHARES[1:]])}, "sum 1 in each row; row 0 does not"),
            ({"target": torch.cat([SHARES[:3], torch.tensor([[1.5, -0.5, 0, 0, 0]])])}, "from 0 on .* row 3 does not"),
            ({"target": torch.cat([SHARES[:3], NAN * SHARES[3:]])}, "row 3 does not"),
            ({"target": SHARES[:, :1]}, "shares of shape"),
        ],
        **CROSS_ENTROPY,
    ),
    "cross_entropy of shares with class weights": Contract(
        inputs=answers(SHARES, class_weights=WEIGHTS),
        degenerate=extreme_answers(torch.eye(3), class_weights=torch.tensor([1e-6, 1.0, 1e6])),
        **CROSS_ENTROPY,
    ),
    "dkd": Contract(
        losses.dkd_loss,
        naive=naive.dkd,
        defaults={"alpha": 1.0, "beta": 8.0, "temperature": 4.0},
        options=(
            {},
            {"beta": 0.0, "temperature": 1.0},
            {"alpha": 0.0, "beta": 1.0, "temperature": 1.0},
            {"alpha": 0.3, "beta": 2.0, "temperature": 2.0},
        ),
        public=[
            (published_logits() | {"target": torch.tensor([0, 2, 4, 1])}, {}, 17.34237193294164),
            (
                published_logits() | {"target": torch.tensor([0, 2, 4, 1])},
                {"alpha": 0.5, "beta": 2.0, "temperature": 1.0},
                3.5770189547402,
            ),
        ],
        symmetries=(samples, classes, both_shifts),
        errors=[
            other_classes("dkd"),
            *above_0("temperature"),
            ({"target": torch.tensor([0, 1, 2, 6])}, "target holds classes 0 to 6, logits have 6 classes"),
        ],
        **LOGIT
        | {
            "inputs": labelled_logits,
            "degenerate": lambda: extreme_logits(target=torch.tensor([0, 1])),
            "zero": 1e-5,
        },
    ),
    "dist": Contract(
        losses.dist_loss,
        naive=naive.dist,
        defaults={"beta": 1.0, "gamma": 1.0, "temperature": 1.0},
        options=(
            {},
            {"gamma": 0.0, "temperature": 4.0},
            {"beta": 0.0, "temperature": 4.0},
            {"beta": 2.0, "gamma": 0.5, "temperature": 2.0},
        ),
        public=[
            (published_logits(), {}, 1.7858380943391752),
            (published_logits(), {"beta": 2.0, "gamma": 0.5, "temperature": 4.0}, 38.614719464109584),
        ],
        gradcheck=({}, {"temperature": 4.0}),
        gradient_bound=1e5,
        symmetries=(samples, classes, both_shifts, exchange),
        bounds=(0, 4),
        least_batch=2,
        errors=[other_classes("dist"), *above_0("temperature")],
        **LOGIT | {"zero": None},  # a constant row counts as unrelated
    ),
    "ttm": Contract(
        losses.ttm_loss,
        naive=naive.ttm,
        defaults={"exponent": 0.1},
        options=({}, {"exponent": 0.5}, {"exponent": 1.0}, {"exponent": 2.0}),
        public=[
            (published_logits(), {}, 1.345066776959393),
            (published_logits(), {"exponent": 0.5}, 1.567097999674331),
        ],
        extreme_options=({}, {"exponent": 1.0}),
        symmetries=(samples, classes, both_shifts),
        errors=[other_classes("ttm"), *above_0("exponent")],
        **LOGIT | {"zero": None},  # the student stands at another temperature than the teacher
    ),
    # The gradient is that of the entropic value: see test_wkd.py.
    "wkd_logit": Contract(
        losses.wkd_logit_loss,
        lambda: published_logits() | {"class_cost": CLASS_COST, "target": torch.tensor([0, 2, 4, 1])},
        naive=naive.wkd_logit,
        options=(
            {"transport_weight": 7.0, "temperature": 8.0, "epsilon": 0.1, "iterations": 3000},
            {"transport_weight": 7.0, "temperature": 2.0, "epsilon": 0.2, "iterations": 3000},
        ),
        public=[
            ({}, {"epsilon": 0.2, "iterations": 500}, 55.25909568259489),
            ({}, {"transport_weight": 30.0, "temperature": 2.0, "epsilon": 0.2, "iterations": 500}, 7.357469827093571),
            (
                {"target": None},
                {"transport_weight": 1.0, "temperature": 4.0, "epsilon": 0.2, "iterations": 500},
                0.13957896470415393,
            ),
        ],
        gradcheck=(),
        degenerate=extreme_predictions,
        extreme_options=({}, {"epsilon": 0.005}),
        zero=None,
        precision=torch.float64,
        symmetries=(samples, classes, both_shifts),
        bounds=(0, math.inf),
        errors=[
            (
                {"teacher_logits": torch.zeros(4, 9)},
                "wkd-l compares class by class, received a student of 5 classes and a teacher of 9",
            ),
            ({"class_cost": torch.zeros(4, 4)}, r"a cost for each pair of the 5 classes, received \(4, 4\)"),
            ({"class_cost": 2 - torch.eye(5)}, "class_cost must lie between 0 and 1, received 1 to 2: divide it by"),
            ({"class_cost": CLASS_COST - 1}, "class_cost must lie between 0 and 1, received -1 to "),
            ({"class_cost": torch.full((5, 5), NAN)}, "class_cost holds 25 values that are NaN"),
            ({"target": torch.tensor([0, 1, 2, 5])}, "target holds classes 0 to 5, logits have 5 classes"),
            *above_0("temperature", "epsilon"),
            *from_0("transport_weight"),
            ({"iterations": 0}, "iterations must be a whole number of at least 1, received 0"),
        ],
        rank="a matrix",
    ),
    "wttm": Contract(
        losses.wttm_loss,
        naive=naive.wttm,
        defaults={"exponent": 0.2},
        options=({}, {"exponent": 0.1}, {"exponent": 1.0}, {"exponent": 2.0}),
        public=[
            (published_logits(), {}, 4.509901378008621),
            (published_logits(), {"exponent": 0.5}, 3.015984143480126),
        ],
        extreme_options=({}, {"exponent": 1.0}),
        symmetries=(samples, classes, both_shifts),
        errors=[other_classes("ttm"), *above_0("exponent")],
        **LOGIT | {"zero": None},
    ),
}
