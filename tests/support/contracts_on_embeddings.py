"""The contracts of losses on embeddings."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import torch
from tests.support import naive_losses as naive
from tests.support.loss_contract import (
    Contract,
    Inputs,
    above_0,
    channels,
    common_shift,
    exchange,
    fill,
    from_0,
    pair,
    reversal,
    samples,
    student_rotation,
    student_row_scales,
    student_scale,
    student_shift,
    teacher_row_scales,
    teacher_scale,
)

from wcord import losses

NAN = math.nan


def extreme_rows(kind: str) -> Callable[[], Iterator[tuple[str, Inputs]]]:
    """Each of some embeddings of the student with each of the teacher; an empty kind: `student`, `teacher`."""
    student, teacher = (f"{side}_{kind}".rstrip("_") for side in ("student", "teacher"))
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
    return lambda: ((f"{s}, {t}", {student: cases[s], teacher: cases[t]}) for s, t in product(cases, cases))


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
    "infonce": Contract(
        partial(losses.infonce_loss, temperature=0.07),
        lambda: {"student": fill((5, 6), 0.0), "teacher": fill((5, 6), 1.0)},
        naive=naive.infonce,
        defaults={"temperature": 0.07},
        options=({}, {"temperature": 0.5}, {"temperature": 2}),
        gradcheck=({}, {"temperature": 1.0}),
        trains_teacher=True,
        degenerate=extreme_rows(""),
        zero=None,  # other samples are always more likely than never
        symmetries=(samples, student_row_scales, teacher_row_scales, student_scale),
        bounds=(0, math.inf),
        precision=torch.float64,
        least_batch=2,
        rank="a matrix",
        errors=[
            ({"teacher": torch.zeros(5, 7)}, "infonce compares embeddings of one width, received 6 and 7: .*'infonce'"),
            *above_0("temperature"),
        ],
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
    "rsd": Contract(
        partial(losses.rsd_loss, kappa=0.01),
        lambda: {"student": fill((5, 6), 0.0), "teacher": fill((5, 6), 1.0)},
        naive=naive.rsd,
        defaults={"kappa": 0.01},
        options=({}, {"kappa": 0}, {"kappa": 2.0}),
        gradcheck=({}, {"kappa": 2.0}),
        degenerate=extreme_rows(""),
        zero=None,  # dimensions of one network are correlated too
        symmetries=(samples, student_scale, teacher_scale, student_shift, common_shift, channels, exchange),
        symmetry_rtol=1e-6,
        bounds=(0, math.inf),
        least_batch=2,
        rank="a matrix",
        errors=[
            ({"teacher": torch.zeros(5, 7)}, "rsd compares embeddings of one width, received 6 and 7: .*'rsd'"),
            *from_0("kappa"),
        ],
    ),
}
