"""The contracts of losses on lists of feature maps."""

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import torch
from tests.support import naive_losses as naive
from tests.support.criteria import (
    constant_fused_maps,
    fused_maps,
    review_loss,
)
from tests.support.loss_contract import (
    Contract,
    Inputs,
    common_shift,
    exchange,
    fill,
    lists,
    samples,
    student_places,
    student_scale,
    student_sign,
    teacher_scale,
    teacher_sign,
    wave,
)

from wcord import losses


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


MAP = {"rank": "a feature map"}

ON_MAP_LISTS = {
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
}
