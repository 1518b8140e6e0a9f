"""The contract of each loss: one row per loss, which `tests/losses/test_contract.py` checks."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product

import torch
from tests.support import naive_losses as naive
from tests.support.loss_contract import (
    Contract,
    Inputs,
    both_shifts,
    channels,
    classes,
    common_shift,
    each,
    exchange,
    fill,
    places,
    reversal,
    samples,
    student_channel_scales,
    student_channels,
    student_places,
    student_rotation,
    student_row_scales,
    student_scale,
    student_shift,
    student_sign,
    teacher_row_scales,
    teacher_scale,
    teacher_sign,
    wave,
)
from torch import Tensor

from wcord import losses

NAN = math.nan
TARGET = torch.tensor([0, 5, 2, 2])


def pair(kind: str, student: Sequence[int], teacher: Sequence[int], of: Callable[..., Tensor] = fill) -> Inputs:
    """Return features of both networks as arguments, such as `student_map` and `teacher_map`."""
    return {f"student_{kind}": of(student, 0.0), f"teacher_{kind}": of(teacher, 1.0)}


def lists(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Inputs:
    return {"student_maps": list(student), "teacher_maps": list(teacher)}


# --- logits


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


def above_0(*names: str) -> list[tuple[Inputs, str]]:
    return [({name: -1.0}, f"{name} must be a finite number above 0, received -1.0") for name in names]


def from_0(*names: str) -> list[tuple[Inputs, str]]:
    return [({name: -1.0}, f"{name} must be a finite number of at least 0, received -1.0") for name in names]


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

# --- embeddings


def extreme_rows(kind: str) -> Callable[[], Iterator[tuple[str, Inputs]]]:
    """Each of some embeddings of the student with each of the teacher."""
    ones, unit = torch.ones(4, 4), torch.eye(4)
    cases = {
        "zero": 0 * ones,
        "equal": ones,
        "one-hot": 1e4 * unit,
        "one sample zero": torch.diag(torch.tensor([1.0, 1, 1, 0])),
        "opposite": torch.tensor([1.0, -1, 1, -1])[:, None] * ones,
        "tiny": 1e-10 * unit,
        "two equal": torch.tensor([[1.0, 2, 0, 0], [1, 2, 0, 0], [0, 1, 0, 0], [5, 5, 0, 0]]),
        "nearly equal": 1 + 1e-6 * unit,
    }
    return lambda: (
        (f"{s}, {t}", {f"student_{kind}": cases[s], f"teacher_{kind}": cases[t]}) for s, t in product(cases, cases)
    )


ROWS = {"degenerate": extreme_rows("embedding"), "least_batch": 2, "rank": "a matrix"}

ON_EMBEDDINGS = {
    "cc": Contract(
        losses.cc_loss,
        lambda: pair("embedding", (5, 6), (5, 6)),
        naive=naive.cc,
        public=[({}, {}, 2.320309821)],
        trains_teacher=True,
        symmetries=(reversal, common_shift, exchange),
        degree=2,
        precision=torch.float64,
        errors=[
            ({"teacher_embedding": torch.zeros(5, 7)}, "widths 6 and 7: bring both to one width with linear layers"),
        ],
        **ROWS,
    ),
    "pkt": Contract(
        losses.pkt_loss,
        lambda: pair("embedding", (5, 4), (5, 7)),
        naive=naive.pkt,
        public=[({}, {}, 0.00960838844)],
        symmetries=(samples, student_rotation, student_row_scales, teacher_row_scales),
        bounds=(0, math.inf),
        symmetry_rtol=1e-5,
        **ROWS,
    ),
    "rkd": Contract(
        losses.rkd_loss,
        lambda: pair("embedding", (5, 4), (5, 7)),
        naive=naive.rkd,
        defaults={"distance_weight": 25.0, "angle_weight": 50.0},
        options=({}, {"distance_weight": 2, "angle_weight": 0}, {"distance_weight": 0, "angle_weight": 3}),
        public=[
            ({}, {}, 1.753279504),
            ({}, {"distance_weight": 1, "angle_weight": 0}, 0.02409444957),
            ({}, {"distance_weight": 0, "angle_weight": 1}, 0.02301836529),
        ],
        symmetries=(samples, student_shift, student_scale, teacher_scale, common_shift, student_rotation),
        bounds=(0, math.inf),
        errors=[
            *from_0("distance_weight"),
            ({"angle_weight": NAN}, "angle_weight must be a finite number of at least 0, received nan"),
        ],
        **ROWS,
    ),
}

# --- maps


def extreme_maps(
    kind: str = "map", near: bool = True, **fixed: Tensor
) -> Callable[[], Iterator[tuple[str, Inputs]]]:
    """Each of some maps of the student with each of the teacher."""
    shape = (2, 3, 4, 4)
    place = torch.zeros(shape)
    place[:, :, 1, 2] = 1e4
    dead = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    dead[:, 1] = 0
    cases = {
        "zero": torch.zeros(shape),
        "constant": torch.ones(shape),
        "negative": -torch.ones(shape),
        "large": torch.full(shape, 1e4),
        "one place": place,
        "a dead channel": dead,
        "diagonal": 1e4 * torch.eye(4).repeat(2, 3, 1, 1),
        "nearly zero": 1e-7 * torch.eye(4).repeat(2, 3, 1, 1),
        "tiny": torch.full(shape, 1e-20),
    }
    return lambda: (
        (f"{s}, {t}", {f"student_{kind}": cases[s], f"teacher_{kind}": cases[t]} | fixed)
        for s, t in product(cases, cases)
    )


def constant_lists(*shapes: Sequence[int]) -> Callable[[], Iterator[tuple[str, Inputs]]]:
    def cases() -> Iterator[tuple[str, Inputs]]:
        for value in (0.0, 1.0, -3.0, 1e4):
            maps = [torch.full(tuple(shape), value) for shape in shapes]
            yield f"{value}", lists(maps, maps)

    return cases


def extreme_singular_values() -> Iterator[tuple[str, Inputs]]:
    unit = torch.eye(4).reshape(1, 4, 2, 2).repeat(2, 1, 1, 1)
    near = torch.diag(torch.tensor([1.0, 1 + 1e-7, 1 - 1e-6, 1])).reshape(1, 4, 2, 2).repeat(2, 1, 1, 1)
    cases = {
        "zero": 0 * unit,
        "constant": torch.ones(2, 4, 2, 2),
        "equal singular values": unit,
        "nearly equal singular values": near,
        "one-hot": 1e4 * torch.eye(4)[0].reshape(1, 4, 1, 1).repeat(2, 1, 2, 2),
        "tiny": 1e-20 * unit,
    }
    other = torch.rand(2, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    for s, t in product(cases, cases):
        yield f"{s}, {t}", lists([cases[s], other], [cases[t], other.flip(1)])
    for s in cases:
        yield f"equal, {s}", lists([cases[s], other], [cases[s], other])


def flow_maps() -> Inputs:
    student, teacher = ((6, 6, 3), (4, 2, 4))
    return lists(
        [wave((2, 3 + i, side, side), 0.1 * (i + 1)) for i, side in enumerate(student)],
        [wave((2, 3 + i, side, side), 0.1 * (i + 4)) for i, side in enumerate(teacher)],
    )


def review_maps() -> Inputs:
    shapes = [(2, 3, 8, 8), (2, 4, 4, 4), (2, 5, 1, 1)]
    return lists(
        [wave(shape, 0.1 * (i + 1)) for i, shape in enumerate(shapes)],
        [wave(shape, 0.1 * (i + 4)) for i, shape in enumerate(shapes)],
    )


TALL, WIDE = ((2, 4, 6, 6), (2, 6, 4, 4), (2, 8, 3, 3)), ((2, 5, 3, 2), (2, 9, 2, 2), (2, 12, 1, 2))


def singular_maps(shapes: Sequence[Sequence[int]] = TALL) -> Inputs:
    """Maps that are not negative, as after a ReLU."""
    return lists(
        [1 + fill(shape, float(i)) for i, shape in enumerate(shapes)],
        [1 + fill(shape, 3.0 + i) for i, shape in enumerate(shapes)],
    )


MARGIN = losses.ofd_margin(
    torch.tensor([1.0, 0.5, -0.8, 0.2, 0.3], dtype=torch.float64),
    torch.tensor([0.0, 0.3, -0.4, 1.0, -2.0], dtype=torch.float64),
)


def activation_maps() -> Inputs:
    return {"student_map": 2 * wave((2, 5, 2, 2), 0.3), "teacher_map": wave((2, 5, 2, 2), 0.6)}


def responses(side: int = 3, teacher_side: int = 3) -> Inputs:
    student, teacher = wave((2, 5, side, side), 0.1), wave((2, 5, teacher_side, teacher_side), 0.7)
    return {"student_map": 2 * student, "teacher_map": 2 * teacher, "margin": MARGIN}


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


def fused_maps(
    batch: int = 2, student: Sequence[int] = (8, 4, 2, 1), teacher: Sequence[int] = (8, 8, 4, 1)
) -> Inputs:
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


MAP = {"rank": "a feature map"}

ON_MAPS = {
    "ab": Contract(
        losses.ab_loss,
        activation_maps,
        naive=naive.ab,
        defaults={"margin": 1.0},
        options=({}, {"margin": 0.5}, {"margin": 3.0}),
        public=[({}, {}, 0.008961108310290483), ({}, {"margin": 0.5}, 0.002013272804324961)],
        degenerate=extreme_maps(),
        zero=None,  # at 0 each neuron is within the margin
        symmetries=(samples, channels, teacher_scale),
        errors=[
            (
                {"teacher_map": torch.zeros(2, 4, 2, 2)},
                "must have the same shape, received .2, 5, 2, 2. and .2, 4, 2, 2.",
            ),
            *above_0("margin"),
        ],
        **MAP,
    ),
    "at": Contract(
        losses.at_loss,
        lambda: pair("map", (3, 4, 6, 6), (3, 5, 6, 6)),
        naive=naive.at,
        defaults={"p": 2},
        options=({}, {"p": 1}, {"p": 3}, {"p": 2.5}),
        public=[
            ({}, {}, 0.006342570566),
            (pair("map", (3, 4, 6, 6), (3, 5, 4, 4)), {}, 0.0140072053),
            (pair("map", (3, 4, 4, 4), (3, 5, 6, 6)), {}, 0.01407843884),
            ({}, {"p": 4}, 0.01128352268),
        ],
        small=lambda: pair("map", (2, 2, 5, 5), (2, 3, 3, 3)),
        gradcheck=({}, {"p": 1.5}),
        degenerate=extreme_maps(),
        extreme_options=({}, {"p": 1}, {"p": 1.5}, {"p": 4}),
        gradient_bound=1e6,
        symmetries=(samples, student_channels, student_scale, student_sign, teacher_scale),
        bounds=(0, 2 / 36),
        errors=[
            ({"p": 0.5}, "p must be a finite number of at least 1, received 0.5"),
            ({"p": math.inf}, "p must be a finite number of at least 1, received inf"),
        ],
        **MAP,
    ),
    "fitnet": Contract(
        losses.fitnet_loss,
        lambda: pair("map", (2, 3, 4, 4), (2, 3, 4, 4)),
        naive=naive.fitnet,
        public=[({}, {}, 0.4782269338)],
        degenerate=extreme_maps(),
        symmetries=(samples, channels, common_shift, exchange),
        degree=2,
        errors=[
            (
                {"teacher_map": torch.zeros(2, 5, 4, 4)},
                r"student of shape \(2, 3, 4, 4\) and a teacher of \(2, 5, 4, 4\): ",
            ),
            ({"teacher_map": torch.zeros(2, 3, 2, 2)}, "bring the student's map to the teacher's shape with a regres"),
        ],
        rank="features with the batch first",
    ),
    "fsp": Contract(
        losses.fsp_loss,
        flow_maps,
        naive=naive.fsp,
        public=[({}, {}, 0.28477218743604205)],
        degenerate=constant_lists((2, 3, 4, 4), (2, 2, 2, 2)),
        symmetries=(samples, student_sign),
        degree=4,
        precision=torch.float64,
        errors=[
            (
                lists(flow_maps()["student_maps"][:1], flow_maps()["teacher_maps"][:1]),
                "at least two of each network.*received 1 of the student and 1 of the teacher",
            ),
            (
                {"teacher_maps": flow_maps()["teacher_maps"][:2]},
                "as many of both, received 3 of the student and 2 of the teacher",
            ),
            (
                lists(flow_maps()["student_maps"][:2], flow_maps()["teacher_maps"][1:]),
                "equal channels, received a student of 3, 4 and a teacher of 4, 5: .*'at'",
            ),
        ],
        **MAP,
    ),
    "ft": Contract(
        losses.ft_loss,
        lambda: {"student_factor": wave((2, 3, 4, 4), 0.1), "teacher_factor": wave((2, 5, 4, 4), 0.2)},
        naive=naive.ft,
        defaults={"p1": 2, "p2": 1},
        options=({}, {"p1": 1}, {"p2": 2}, {"p1": 3, "p2": 1.5}),
        public=[
            ({}, {}, 0.03698536043369109),
            ({}, {"p2": 2}, 0.0017807859154164419),
            ({"teacher_factor": wave((2, 5, 2, 2), 0.3)}, {}, 0.1143184528255683),
            ({"student_factor": wave((2, 3, 2, 2), 0.4)}, {"p1": 1}, 0.6157717199176431),
        ],
        gradcheck=({}, {"p1": 1, "p2": 2}),
        degenerate=extreme_maps("factor"),
        extreme_options=({}, {"p1": 1}),
        gradient_bound=1e6,
        symmetries=(samples, student_channels, student_sign, student_scale, teacher_scale),
        bounds=(0, 1),
        errors=[
            ({"p1": 0}, "p1 must be a whole number between 1 and 1000, received 0"),
            ({"p1": 1.5}, "p1 must be a whole number between 1 and 1000, received 1.5"),
            ({"p2": 0.5}, "p2 must lie between 1 and 1000, received 0.5"),
        ],
        **MAP,
    ),
    "hcl": Contract(
        losses.hcl_loss,
        review_maps,
        naive=naive.hcl,
        public=[
            ({}, {}, 0.10153855365965353),
            (lists(review_maps()["student_maps"][:1], review_maps()["teacher_maps"][:1]), {}, 0.03432573715670783),
        ],
        degenerate=constant_lists((2, 3, 8, 8)),
        symmetries=(samples, common_shift, exchange),
        degree=2,
        errors=[
            (
                {"teacher_maps": review_maps()["teacher_maps"][:2]},
                "maps one by one, received 3 of the student and 2 of the teacher",
            ),
            (lists([], []), "received 0 of the student"),
            (
                lists(review_maps()["student_maps"][:1], review_maps()["teacher_maps"][1:2]),
                r"student_maps\[0\] and teacher_maps\[0\] must have the same shape",
            ),
        ],
        **MAP,
    ),
    "kdsvd": Contract(
        losses.kdsvd_loss,
        singular_maps,
        naive=naive.kdsvd,
        defaults={"k": 1},
        options=({}, {"k": 2}),
        # For k = 2 with the largest element of each teacher's vector made positive: the value of the public code
        # depends on the library's signs.
        public=[({}, {}, 0.0009375257754), ({}, {"k": 2}, 0.001051102033)],
        small=lambda: singular_maps([(1, *shape[1:]) for shape in TALL]),
        gradcheck=({}, {"k": 2}),
        degenerate=extreme_singular_values,
        extreme_options=({}, {"k": 3}),
        zero=1e-8,
        symmetries=(samples, student_places, student_scale, student_sign, teacher_scale, teacher_sign),
        errors=[
            (
                {"teacher_maps": singular_maps()["teacher_maps"][:2]},
                "two or more maps of each network and as many of both, received 3 and 2",
            ),
            (
                lists(singular_maps()["student_maps"][:1], singular_maps()["teacher_maps"][:1]),
                "two or more maps .*received 1 and 1",
            ),
            ({"k": 0}, "k must be a whole number of at least 1, received 0"),
            (
                singular_maps(WIDE) | {"k": 3},
                r"k must be at most 2, the rank that teacher_maps\[2\] can have",
            ),
            (
                {"teacher_maps": [*singular_maps()["teacher_maps"][:2], torch.zeros(2, 9, 3, 3)]},
                r"student_maps\[2\] has 8 channels and .* has 9",
            ),
        ],
        **MAP,
    ),
    "kdsvd of wide maps": Contract(
        losses.kdsvd_loss,
        lambda: singular_maps(WIDE),
        naive=naive.kdsvd,
        defaults={"k": 1},
        options=({}, {"k": 2}),
        small=lambda: singular_maps([(1, *shape[1:]) for shape in WIDE]),
        gradcheck=({}, {"k": 2}),
        degenerate=lambda: extreme_singular_values(),
        zero=1e-8,
        **MAP,
    ),
    "nst": Contract(
        losses.nst_loss,
        lambda: pair("map", (2, 3, 4, 4), (2, 5, 4, 4)),
        naive=naive.nst,
        public=[({}, {}, 0.4735078629), (pair("map", (2, 3, 6, 6), (2, 5, 4, 4)), {}, 0.527826655)],
        small=lambda: pair("map", (2, 2, 5, 5), (2, 3, 3, 3)),
        degenerate=extreme_maps(),
        gradient_bound=1e4,
        zero=1e-6,
        symmetries=(samples, student_channels, student_channel_scales, exchange),
        **MAP,
    ),
    "ofd": Contract(
        losses.ofd_loss,
        responses,
        naive=naive.ofd,
        public=[({}, {}, 24.524018189721065), (responses(3, 6), {}, 43.75935168699981)],
        degenerate=extreme_maps(margin=torch.tensor([-0.5, 0.0, -2.0])),
        symmetries=(samples, channels),
        degree=2,
        precision=torch.float64,
        errors=[
            (
                {"teacher_map": torch.zeros(2, 4, 3, 3)},
                "received 5 channels of the student, 4 of the teacher and 5 margins",
            ),
            ({"margin": -torch.ones(4)}, "5 of the teacher and 4 margins: bring the student's map to the teacher's"),
            ({"margin": torch.full((5,), 0.25)}, "margin must be at most 0.*received 0.25: compute it with ofd_margin"),
        ],
        **MAP,
    ),
    "ReviewKD": Contract(
        review_loss,
        fused_maps,
        public=[({}, {}, 4.741563765761)],
        small=lambda: fused_maps(3, (2, 2, 1, 1), (2, 1, 1, 1)),
        degenerate=constant_fused_maps,
        zero=None,
        symmetries=(samples,),
        least_batch=2,
        errors=[
            (
                {"student_maps": fused_maps()["student_maps"][:3]},
                "built for 4 maps of each network, received 3 of the student and 4 of the teacher",
            ),
        ],
        **MAP,
    ),
    "sp": Contract(
        losses.sp_loss,
        lambda: pair("map", (4, 3, 4, 4), (4, 5, 2, 2)),
        naive=naive.sp,
        public=[({}, {}, 0.03415551539)],
        small=lambda: pair("map", (3, 2, 2, 2), (3, 3, 2, 2)),
        degenerate=extreme_rows("map"),
        symmetries=(samples, student_scale, teacher_scale, student_rotation),
        bounds=(0, math.inf),
        least_batch=2,
        rank="features with the batch first",
    ),
    "VID": Contract(
        vid_loss,
        lambda: pair("map", (2, 3, 2, 2), (2, 4, 2, 2)),
        naive=lambda student, teacher: naive.vid(varied_vid_criterion(), student, teacher),
        degenerate=extreme_vid_maps,
        zero=None,  # the variance costs
        symmetries=(samples, places),
        bounds=(-math.inf, math.inf),
        errors=[
            (
                {"student_map": torch.zeros(2, 5, 2, 2)},
                "built for a student of width 3 and a teacher of width 4, received 5 and 4",
            ),
        ],
        **MAP,
    ),
    "wkd_feature": Contract(
        losses.wkd_feature_loss,
        lambda: pair("map", (2, 3, 5, 5), (2, 3, 3, 7)),
        naive=naive.wkd_feature,
        defaults={"mean_weight": 4.0, "grid": 1, "eps": 1e-5},
        options=({}, {"mean_weight": 3.0}, {"grid": 2}, {"grid": 3, "eps": 1e-3}),
        small=lambda: pair("map", (2, 2, 3, 4), (2, 2, 5, 3)),
        gradcheck=({}, {"grid": 3}),
        degenerate=extreme_maps(),
        extreme_options=({}, {"grid": 2}, {"grid": 4}),
        symmetries=(samples, channels, student_places, common_shift, exchange),
        errors=[
            ({"student_map": torch.zeros(2, 4, 4, 4)}, "a student of 4 channels and a teacher of 3: .* 'wkd-f'"),
            ({"grid": 5}, r"grid must be at most the smallest side of the maps \(3\), received 5"),
            ({"grid": 0}, "grid must be a whole number of at least 1"),
            *above_0("eps"),
        ],
        **MAP,
    ),
}

LOSSES: dict[str, Contract] = {**ON_LOGITS, **ON_EMBEDDINGS, **ON_MAPS}
