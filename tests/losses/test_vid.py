"""Variational information distillation against its loop, the public code's values, its state, and its errors."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import NonFiniteError, UsageError
from wcord.losses.vid import VIDLoss


def _fill(shape, phase):
    """Element n, counted from 1 in row-major order, is sin(0.3 n² + phase)."""
    return torch.sin(0.3 * torch.arange(1, torch.Size(shape).numel() + 1).double() ** 2 + phase).reshape(shape)


def _criterion(student_channels=3, teacher_channels=4):
    """A criterion in double precision whose three convolutions are filled with phases 0.1, 0.2 and 0.3."""
    criterion = VIDLoss(student_channels, teacher_channels).double()
    for layer, phase in ((0, 0.1), (2, 0.2), (4, 0.3)):
        weight = criterion.regressor[layer].weight
        weight.data = _fill(weight.shape, phase)
    return criterion


def _naive(criterion, student, teacher):
    weights = [criterion.regressor[layer].weight.flatten(1).tolist() for layer in (0, 2, 4)]
    variances = [math.log(1 + math.exp(a)) + criterion.eps for a in criterion.raw_variance.tolist()]
    total = 0.0
    for i, h, w in torch.cartesian_prod(*(torch.arange(n) for n in (len(student), *student.shape[2:]))).tolist():
        x = student[i, :, h, w].tolist()
        for layer, weight in enumerate(weights):
            x = [sum(a * b for a, b in zip(row, x, strict=True)) for row in weight]
            x = [max(value, 0.0) for value in x] if layer < 2 else x
        for mean, target, variance in zip(x, teacher[i, :, h, w].tolist(), variances, strict=True):
            total += 0.5 * ((target - mean) ** 2 / variance + math.log(variance))
    return total / teacher.numel()


@pytest.fixture
def maps():
    return _fill((2, 3, 2, 2), 0.0).requires_grad_(), _fill((2, 4, 2, 2), 1.0)


def test_is_the_loop(maps):
    criterion = _criterion()
    criterion.raw_variance.data = torch.tensor([-1.0, 0.0, 2.0, 5.0], dtype=torch.float64)
    assert criterion(*maps).item() == pytest.approx(_naive(criterion, *maps))


@pytest.mark.parametrize(("student_size", "value"), [(2, 0.9545748112), (4, 0.8627797599)])
def test_is_the_public_code(student_size, value):
    # RepDistiller, distiller_zoo/VID.py, run on these inputs and weights in double precision.
    loss = _criterion()(_fill((2, 3, student_size, student_size), 0.0), _fill((2, 4, 2, 2), 1.0))
    assert loss.item() == pytest.approx(value, rel=1e-7)


def test_starts_as_the_public_code_does():
    criterion = VIDLoss(3, 4)
    shapes = {name: tuple(parameter.shape) for name, parameter in criterion.named_parameters()}
    assert shapes == {
        "raw_variance": (4,),
        "regressor.0.weight": (4, 3, 1, 1),
        "regressor.2.weight": (4, 4, 1, 1),
        "regressor.4.weight": (4, 4, 1, 1),
    }
    torch.testing.assert_close(criterion.raw_variance.detach(), torch.full((4,), 4.993229183))
    torch.testing.assert_close(criterion.variance().detach(), torch.full((4,), 5.0))
    torch.testing.assert_close(VIDLoss(3, 4, initial_variance=0.5).variance().detach(), torch.full((4,), 0.5))


def test_without_prediction_is_the_teachers_power_and_the_variance():
    criterion = _criterion()
    criterion.regressor[4].weight.data.zero_()
    teacher = _fill((2, 4, 2, 2), 1.0)
    expected = 0.5 * (teacher.square().mean() / 5 + math.log(5))
    torch.testing.assert_close(criterion(torch.zeros(2, 3, 2, 2).double(), teacher), expected, rtol=1e-6, atol=0)


def test_the_best_variance_is_the_mean_squared_error():
    criterion, student, teacher = _criterion(), _fill((2, 3, 2, 2), 0.0), _fill((2, 4, 2, 2), 1.0)
    error = (criterion.regressor(student) - teacher).square().mean(dim=(0, 2, 3)).detach()
    criterion.raw_variance.data = (error - criterion.eps).expm1().log()
    criterion(student, teacher).backward()
    torch.testing.assert_close(criterion.raw_variance.grad, torch.zeros(4).double())


def test_gradcheck_and_no_gradient_into_the_teacher(maps):
    criterion, (student, teacher) = _criterion(), maps
    teacher.requires_grad_()
    assert torch.autograd.gradcheck(lambda s, *_: criterion(s, teacher), (student, *criterion.parameters()))
    criterion(student, teacher).backward()
    assert teacher.grad is None
    assert all(parameter.grad is not None for parameter in criterion.parameters())


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_ignores_the_order_of_samples_and_places(seed):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(3, c, 2, 5, generator=generator, dtype=torch.float64) for c in (3, 4))
    rows, places = torch.randperm(3, generator=generator), torch.randperm(5, generator=generator)
    criterion = _criterion()
    moved = criterion(student[rows][..., places], teacher[rows][..., places])
    torch.testing.assert_close(moved, criterion(student, teacher))


@pytest.mark.parametrize("raw", [-1e4, 0.0, 1e4])
@pytest.mark.parametrize(
    "student", [torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 2, 2), 1e3 * torch.eye(4).repeat(2, 3, 1, 1)]
)
@pytest.mark.parametrize(
    "teacher", [torch.zeros(2, 4, 2, 2), torch.ones(2, 4, 2, 2), 1e3 * torch.eye(2).repeat(2, 4, 1, 1)]
)
def test_value_and_gradient_are_finite(student, teacher, raw):
    torch.manual_seed(0)
    criterion, student = VIDLoss(3, 4), student.clone().requires_grad_()
    criterion.raw_variance.data.fill_(raw)
    loss = criterion(student, teacher)
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in criterion.parameters())


def test_half_precision_is_computed_in_single(maps):
    criterion = _criterion().float()
    student, teacher = (x.detach().bfloat16() for x in maps)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = criterion(student, teacher)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, criterion(student.float(), teacher.float()))
    assert _criterion()(*maps).dtype == torch.float64


def test_its_state_is_all_it_is():
    first, second = _criterion(), VIDLoss(3, 4).double()
    second.load_state_dict(first.state_dict())
    student, teacher = _fill((2, 3, 2, 2), 0.0), _fill((2, 4, 2, 2), 1.0)
    assert torch.equal(first(student, teacher), second(student, teacher))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"student_map": torch.zeros(2, 5, 2, 2)},
            "built for a student of width 3 and a teacher of width 4, received 5 and 4",
        ),
        ({"teacher_map": torch.zeros(3, 4, 2, 2)}, "must hold the same samples, received 2 and 3 rows"),
        ({"teacher_map": torch.zeros(2, 4)}, "teacher_map must be a feature map"),
    ],
)
def test_errors(maps, change, message):
    with pytest.raises(UsageError, match=message):
        VIDLoss(3, 4)(**{"student_map": maps[0].float(), "teacher_map": maps[1].float()} | change)


def test_non_finite_maps_are_refused(maps):
    with pytest.raises(NonFiniteError, match="student_map holds 24 values that are NaN or infinite"):
        VIDLoss(3, 4)(torch.full((2, 3, 2, 2), torch.nan), maps[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial_variance": 0.0}, "initial_variance must be a finite number above 0, received 0.0"),
        ({"initial_variance": 1e-6}, "initial_variance must be above eps, received 1e-06 and 1e-05"),
        ({"eps": -1.0}, "eps must be a finite number above 0, received -1.0"),
    ],
)
def test_errors_of_its_parameters(options, message):
    with pytest.raises(UsageError, match=message):
        VIDLoss(3, 4, **options)
