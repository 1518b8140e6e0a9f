"""Knowledge review: the hierarchical loss and the fusion against loops, public values, limits and errors."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.losses.reviewkd import AttentionFusion, ReviewKDLoss, hcl_loss


def _fill(shape, phase):
    return torch.sin(0.7 * (torch.arange(math.prod(shape), dtype=torch.float64) + 1) + phase).reshape(shape)


def _pooled(sample, side):
    """Return the average of one channel over a grid of side × side, whose cells divide the map."""
    step = len(sample) // side
    cells = [sample[i * step : (i + 1) * step, j * step : (j + 1) * step] for i in range(side) for j in range(side)]
    return [sum(cell.flatten().tolist()) / step**2 for cell in cells]


def _naive(student_maps, teacher_maps):
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


@pytest.fixture
def maps():
    shapes = [(2, 3, 8, 8), (2, 4, 4, 4), (2, 5, 1, 1)]
    student = [_fill(shape, 0.1 * (number + 1)) for number, shape in enumerate(shapes)]
    return student, [_fill(shape, 0.1 * (number + 4)) for number, shape in enumerate(shapes)]


def test_hierarchy_is_the_loop(maps):
    assert hcl_loss(*maps).item() == pytest.approx(_naive(*maps))


def test_hierarchy_is_the_value_of_the_public_code(maps):
    assert hcl_loss(*maps).item() == pytest.approx(0.10153855365965353, rel=1e-9)
    assert hcl_loss(maps[0][:1], maps[1][:1]).item() == pytest.approx(0.03432573715670783, rel=1e-9)


def test_a_constant_difference_costs_its_square_at_every_size(maps):
    student, _ = maps
    assert hcl_loss(student, [x + 3 for x in student]).item() == pytest.approx(3 * 9)


def test_hierarchy_gradcheck_and_no_gradient_into_the_teacher(maps):
    student, teacher = ([x.clone().requires_grad_() for x in side] for side in maps)
    assert torch.autograd.gradcheck(lambda *s: hcl_loss(s, teacher), tuple(student))
    hcl_loss(student, teacher).backward()
    assert all(x.grad is None for x in teacher)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.floats(-10, 10), st.integers(1, 9))
def test_hierarchy_ignores_order_and_common_shift(seed, shift, side):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(4, 3, side, side, generator=generator, dtype=torch.float64) for _ in range(2))
    order = torch.randperm(4, generator=generator)
    plain = hcl_loss([student], [teacher])
    torch.testing.assert_close(hcl_loss([student[order] + shift], [teacher[order] + shift]), plain)
    assert 0 <= plain <= (student - teacher).square().mean() + 1e-12


@pytest.mark.parametrize("value", [0.0, 1.0, -1e4])
def test_hierarchy_is_finite_on_equal_and_constant_maps(value):
    student = torch.full((2, 3, 8, 8), value, requires_grad=True)
    loss = hcl_loss([student], [student.detach().clone()])
    loss.backward()
    assert loss.item() == 0.0
    assert student.grad.isfinite().all()


def test_hierarchy_half_precision_is_computed_in_single(maps):
    student, teacher = ([x.bfloat16() for x in side] for side in maps)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = hcl_loss(student, teacher)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, hcl_loss([x.float() for x in student], [x.float() for x in teacher]))
    assert hcl_loss(*maps).dtype == torch.float64


def test_hierarchy_errors(maps):
    student, teacher = maps
    cases = [
        (student, teacher[:2], "maps one by one, received 3 of the student and 2 of the teacher"),
        ([], [], "received 0 of the student"),
        (student[:1], teacher[1:2], r"student_maps\[0\] and teacher_maps\[0\] must have the same shape"),
        (student[:1], [torch.full((2, 3, 8, 8), torch.nan)], r"teacher_maps\[0\] holds 384 values that are NaN"),
        ([torch.zeros(2, 3)], [torch.zeros(2, 3)], r"student_maps\[0\] must be a feature map"),
    ]
    for students, teachers, message in cases:
        with pytest.raises(UsageError, match=message):
            hcl_loss(students, teachers)


@pytest.fixture
def review():
    loss = ReviewKDLoss([3, 4, 6, 6], [4, 5, 7, 8]).double()
    with torch.no_grad():
        for level, fusion in enumerate(loss.fusions):
            for phase, module in enumerate((fusion.narrow[0], fusion.widen[0], fusion.attention)):
                if module is not None:
                    module.weight.copy_(_fill(module.weight.shape, 0.1 * level + phase))
            if fusion.attention is not None:
                fusion.attention.bias.copy_(_fill((2,), 0.1 * level + 3))
    student = [_fill((2, 3, 8, 8), 0.1), _fill((2, 4, 4, 4), 0.2), _fill((2, 6, 2, 2), 0.3), _fill((2, 6, 1, 1), 0.4)]
    teacher = [_fill((2, 4, 8, 8), 0.5), _fill((2, 5, 8, 8), 0.6), _fill((2, 7, 4, 4), 0.7), _fill((2, 8, 1, 1), 0.8)]
    return loss, student, teacher


def test_review_is_the_value_of_the_public_code(review):
    loss, student, teacher = review
    assert loss(student, teacher).item() == pytest.approx(4.741563765761, rel=1e-9)


def test_width_is_that_of_the_students_last_map_and_at_most_the_limit():
    assert [f.narrow[0].out_channels for f in ReviewKDLoss([8, 16], [8, 16]).fusions] == [16, 16]
    assert [f.narrow[0].out_channels for f in ReviewKDLoss([8, 1280], [8, 16]).fusions] == [512, 512]
    assert [f.narrow[0].out_channels for f in ReviewKDLoss([8, 16], [8, 16], max_width=4).fusions] == [4, 4]


def test_each_level_teaches_itself_and_the_deeper_maps_only(review):
    loss, student, teacher = review
    student = [x.requires_grad_() for x in student]
    outputs = loss._review(student, teacher)
    for level, output in enumerate(outputs):
        grads = torch.autograd.grad(output.square().sum(), student, retain_graph=True, allow_unused=True)
        assert [grad is not None for grad in grads] == [other >= level for other in range(4)]


def test_attention_of_one_half_each_is_the_mean_of_both():
    fusion = AttentionFusion(3, 3, 2, fuse=True).eval()
    torch.nn.init.zeros_(fusion.attention.weight)
    torch.nn.init.zeros_(fusion.attention.bias)
    student, deeper = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 2, 2)
    _, fused = fusion(student, deeper, (4, 4))
    enlarged = deeper.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(fused, (fusion.narrow(student) + enlarged) / 2)


def test_review_gradcheck_and_no_gradient_into_the_teacher():
    torch.manual_seed(0)
    loss = ReviewKDLoss([2, 3], [3, 2]).double()
    student = [torch.randn(3, 2, 2, 2).double().requires_grad_(), torch.randn(3, 3, 1, 1).double().requires_grad_()]
    teacher = [torch.randn(3, 3, 4, 4).double().requires_grad_(), torch.randn(3, 2, 1, 1).double().requires_grad_()]
    assert torch.autograd.gradcheck(lambda *s: loss(s, teacher), tuple(student))
    loss(student, teacher).backward()
    assert all(x.grad is None for x in teacher)
    assert all(parameter.grad is not None for parameter in loss.parameters())


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_review_is_finite_on_constant_maps(value):
    loss = ReviewKDLoss([2, 3], [3, 2])
    student = [torch.full((2, 2, 4, 4), value, requires_grad=True), torch.full((2, 3, 1, 1), value, requires_grad=True)]
    result = loss(student, [torch.full((2, 3, 4, 4), value), torch.full((2, 2, 1, 1), value)])
    result.backward()
    assert result.isfinite()
    assert all(x.grad.isfinite().all() for x in student)


def test_review_half_precision_is_computed_in_single(review):
    loss, student, teacher = review
    loss = loss.float().eval()
    student, teacher = ([x.bfloat16() for x in side] for side in (student, teacher))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(student, teacher)
    assert value.dtype == torch.float32
    assert torch.equal(value, loss([x.float() for x in student], [x.float() for x in teacher]))


def test_review_errors(review):
    loss, student, teacher = review
    cases = [
        (student[:3], teacher, "built for 4 maps of each network, received 3 of the student and 4 of the teacher"),
        ([x[:1] for x in student], teacher, r"student_maps\[0\] needs a batch of at least 2, received 1"),
        (student, [x[:1] for x in teacher], "must hold the same samples, received 2 and 1"),
        ([*student[:3], student[3].flatten(1)], teacher, r"student_maps\[3\] must be a feature map"),
    ]
    for students, teachers, message in cases:
        with pytest.raises(UsageError, match=message):
            loss(students, teachers)
    with pytest.raises(UsageError, match="received 2 of the student and 1 of the teacher"):
        ReviewKDLoss([3, 4], [5])
    with pytest.raises(UsageError, match="max_width must be a whole number of at least 1"):
        ReviewKDLoss([3, 4], [5, 6], max_width=0)
