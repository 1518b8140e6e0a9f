"""The contracts of losses on embeddings."""

import math
from collections.abc import Callable, Iterator
from itertools import product

import torch
from tests.support import naive_losses as naive
from tests.support.loss_contract import (
    Contract,
    Inputs,
    common_shift,
    exchange,
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
