"""Correlation congruence, as the public code has it: closed forms and both gradients."""

import torch
from tests.support.loss_contract import fill

from wcord.losses.cc import cc_loss


def test_a_constant_difference_gives_its_squared_length():
    assert cc_loss(torch.full((4, 3), 2.0), torch.zeros(4, 3)) == 12


def test_is_zero_where_every_second_sample_agrees():
    student = torch.randn(5, 3)
    student[::2] = 0
    assert cc_loss(student, torch.zeros(5, 3)) == 0


def test_both_sides_get_opposite_gradients_since_the_teacher_side_is_trained():
    student, teacher = fill((5, 6), 0.0).requires_grad_(), fill((5, 6), 1.0).requires_grad_()
    cc_loss(student, teacher).backward()
    torch.testing.assert_close(teacher.grad, -student.grad)
