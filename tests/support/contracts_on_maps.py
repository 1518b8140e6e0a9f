"""The contracts of losses on feature maps."""

import math
from collections.abc import Callable, Iterator
from itertools import product

import torch
from tests.support import naive_losses as naive
from tests.support.contracts_on_embeddings import extreme_rows
from tests.support.criteria import (
    extreme_vid_maps,
    varied_vid_criterion,
    vid_loss,
)
from tests.support.loss_contract import (
    Contract,
    Inputs,
    above_0,
    channels,
    common_shift,
    exchange,
    pair,
    places,
    samples,
    student_channel_scales,
    student_channels,
    student_places,
    student_rotation,
    student_scale,
    student_sign,
    teacher_scale,
    wave,
)
from torch import Tensor

from wcord import losses

NAN = math.nan


def extreme_maps(kind: str = "map", near: bool = True, **fixed: Tensor) -> Callable[[], Iterator[tuple[str, Inputs]]]:
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


MARGIN = losses.ofd_margin(
    torch.tensor([1.0, 0.5, -0.8, 0.2, 0.3], dtype=torch.float64),
    torch.tensor([0.0, 0.3, -0.4, 1.0, -2.0], dtype=torch.float64),
)


def activation_maps() -> Inputs:
    return {"student_map": 2 * wave((2, 5, 2, 2), 0.3), "teacher_map": wave((2, 5, 2, 2), 0.6)}


def responses(side: int = 3, teacher_side: int = 3) -> Inputs:
    student, teacher = wave((2, 5, side, side), 0.1), wave((2, 5, teacher_side, teacher_side), 0.7)
    return {"student_map": 2 * student, "teacher_map": 2 * teacher, "margin": MARGIN}


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
    "ickd": Contract(
        losses.ickd_loss,
        lambda: pair("map", (3, 4, 4, 6), (3, 4, 4, 6)),
        naive=naive.ickd,
        defaults={"cells": (1, 1), "rows": True},
        options=({}, {"cells": (2, 3)}, {"cells": [4, 1]}, {"rows": False}, {"cells": (1, 2), "rows": False}),
        small=lambda: pair("map", (2, 3, 2, 4), (2, 3, 2, 4)),
        gradcheck=({}, {"cells": (2, 2)}, {"rows": False}),
        degenerate=extreme_maps(),
        extreme_options=({}, {"cells": (2, 2)}),
        gradient_bound=1e9,
        symmetries=(samples, channels, student_places, student_scale, student_sign, teacher_scale, exchange),
        symmetry_rtol=1e-5,
        bounds=(0, 4),
        errors=[
            ({"student_map": torch.zeros(3, 5, 4, 6)}, "a student of 5 channels and a teacher of 4: .* 'ickd'"),
            ({"cells": (3, 1)}, "ickd cuts both maps into 3×1 cells, which do not divide maps of 4×6: leave out cells"),
            ({"cells": (2, 2), "teacher_map": torch.zeros(3, 4, 2, 2)}, "needs one size, received 4×6 and 2×2: "),
            ({"cells": (0, 1)}, r"cells\[0\] must be a whole number of at least 1, received 0"),
            ({"cells": (1, 2, 3)}, r"cells must be two whole numbers, such as \(2, 2\), received 3"),
            ({"cells": 2}, "cells must be two whole numbers, .* received 2"),
            ({"rows": "no"}, "rows must be True or False, received .no."),
        ],
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
