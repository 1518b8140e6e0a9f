"""Variational information distillation: its parameters, closed forms and state."""

import math

import pytest
import torch
from tests.support.criteria import extreme_vid_maps, vid_criterion
from tests.support.loss_contract import fill

from wcord.checks import UsageError
from wcord.losses.vid import VIDLoss


@pytest.mark.parametrize(("student_size", "value"), [(2, 0.9545748112), (4, 0.8627797599)])
def test_is_the_public_code(student_size, value):
    # RepDistiller, distiller_zoo/VID.py, run on these inputs and weights in double precision.
    loss = vid_criterion()(fill((2, 3, student_size, student_size), 0.0), fill((2, 4, 2, 2), 1.0))
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
    criterion = vid_criterion()
    criterion.regressor[4].weight.data.zero_()
    teacher = fill((2, 4, 2, 2), 1.0)
    expected = 0.5 * (teacher.square().mean() / 5 + math.log(5))
    torch.testing.assert_close(criterion(torch.zeros(2, 3, 2, 2).double(), teacher), expected, rtol=1e-6, atol=0)


def test_the_best_variance_is_the_mean_squared_error():
    criterion, student, teacher = vid_criterion(), fill((2, 3, 2, 2), 0.0), fill((2, 4, 2, 2), 1.0)
    error = (criterion.regressor(student) - teacher).square().mean(dim=(0, 2, 3)).detach()
    criterion.raw_variance.data = (error - criterion.eps).expm1().log()
    criterion(student, teacher).backward()
    torch.testing.assert_close(criterion.raw_variance.grad, torch.zeros(4).double())


def test_gradcheck_of_its_parameters():
    criterion, student, teacher = vid_criterion(), fill((2, 3, 2, 2), 0.0), fill((2, 4, 2, 2), 1.0)
    assert torch.autograd.gradcheck(lambda *_: criterion(student, teacher), tuple(criterion.parameters()))


@pytest.mark.parametrize("raw", [-1e4, 0.0, 1e4])
def test_value_and_gradient_are_finite_at_any_variance(raw):
    for _, maps in extreme_vid_maps():
        torch.manual_seed(0)
        criterion, student = VIDLoss(3, 4), maps["student_map"].clone().requires_grad_()
        criterion.raw_variance.data.fill_(raw)
        loss = criterion(student, maps["teacher_map"])
        loss.backward()
        assert loss.isfinite()
        assert student.grad.isfinite().all()
        assert all(parameter.grad.isfinite().all() for parameter in criterion.parameters())


def test_its_state_is_all_it_is():
    first, second = vid_criterion(), VIDLoss(3, 4).double()
    second.load_state_dict(first.state_dict())
    student, teacher = fill((2, 3, 2, 2), 0.0), fill((2, 4, 2, 2), 1.0)
    assert torch.equal(first(student, teacher), second(student, teacher))


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
