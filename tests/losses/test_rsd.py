"""Redundancy suppression: closed forms, and what a dimension that never changes costs."""

import pytest
import torch
from tests.support.loss_contract import fill
from torch import Tensor

from wcord.losses.rsd import rsd_loss


def sides() -> tuple[Tensor, Tensor]:
    return fill((5, 6), 0.0), fill((5, 6), 1.0)


@pytest.mark.parametrize(("kappa", "expected"), [(0, 4.4638314604), (0.01, 4.5192939357), (1.0, 10.0100789838)])
def test_values_written_down_once(kappa: float, expected: float) -> None:
    assert rsd_loss(*sides(), kappa=kappa).item() == pytest.approx(expected, rel=1e-6)


def test_is_the_correlation_matrix_of_numpy() -> None:
    student, teacher = sides()
    matrix = torch.corrcoef(torch.cat([student, teacher], dim=1).T)[:6, 6:]
    expected = (matrix.diagonal() - 1).square().sum() + 0.3 * (matrix - torch.diag(matrix.diagonal())).square().sum()
    assert rsd_loss(student, teacher, kappa=0.3).item() == pytest.approx(expected.item(), rel=1e-8)


@pytest.mark.parametrize("width", [1, 3, 7])
def test_dimensions_that_agree_and_are_uncorrelated_cost_nothing(width: int) -> None:
    square = torch.linalg.qr(torch.cat([torch.ones(9, 1), fill((9, 8), 0.0).float()], dim=1))[0]
    teacher = 3 * square[:, 1 : width + 1] + 1  # orthogonal to a constant, and to each other
    assert rsd_loss(0.1 * teacher - 5, teacher, kappa=10.0).item() == pytest.approx(0, abs=1e-8)
    assert rsd_loss(-teacher, teacher, kappa=10.0).item() == pytest.approx(4 * width, rel=1e-5)


def test_a_constant_dimension_is_correlated_with_none() -> None:
    student, teacher = sides()
    teacher[:, 2] = 4.0
    student.requires_grad_()
    others = [0, 1, 3, 4, 5]
    loss = rsd_loss(student, teacher, kappa=0.0)
    assert loss.item() == pytest.approx(1 + rsd_loss(student[:, others], teacher[:, others], kappa=0.0).item())
    student.detach()[:, 3] = -1.0
    rsd_loss(student, teacher, kappa=0.01).backward()
    assert student.grad.isfinite().all()
    assert student.grad.abs().max() < 1e6


def test_the_batch_is_no_factor() -> None:
    student, teacher = sides()
    twice = rsd_loss(student.repeat(2, 1), teacher.repeat(2, 1), kappa=0.5)
    torch.testing.assert_close(twice, rsd_loss(student, teacher, kappa=0.5))
