"""Similarity preservation: closed forms and shapes."""

import pytest
import torch
from tests.support.loss_contract import fill

from wcord.losses.sp import sp_loss


@pytest.mark.parametrize("batch", [2, 3, 7])
def test_orthogonal_students_of_a_teacher_that_sees_no_difference(batch):
    student = torch.eye(batch).reshape(batch, batch, 1, 1)
    expected = (batch * (1 - batch**-0.5) ** 2 + batch * (batch - 1) / batch) / batch**2
    assert sp_loss(student, torch.ones(batch, 2, 3, 3)).item() == pytest.approx(expected)


def test_maps_tokens_and_vectors_of_the_same_numbers_are_the_same():
    student, teacher = fill((4, 3, 4, 4), 0.0), fill((4, 5, 2, 2), 1.0)
    assert torch.equal(sp_loss(student.flatten(2), teacher.flatten(1)), sp_loss(student, teacher))


def test_the_gradient_at_a_sample_that_is_zero_is_bounded():
    student = torch.eye(4)[:, :3].clone().requires_grad_()
    sp_loss(student, torch.ones(4, 3)).backward()
    assert student.grad.norm() < 1e6
