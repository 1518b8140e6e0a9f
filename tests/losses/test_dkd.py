"""Decoupled distillation beside plain distillation."""

import pytest
import torch

from wcord.losses.dkd import dkd_loss
from wcord.losses.kd import kd_loss


@pytest.fixture
def batch():
    torch.manual_seed(0)
    student = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    return student, 3 * torch.randn(4, 6, dtype=torch.float64), torch.tensor([0, 5, 2, 2])


def test_is_kd_where_the_other_classes_weigh_what_the_teacher_leaves_them(batch):
    student, teacher, target = batch
    for row in range(4):
        s, t, y = student[row : row + 1], teacher[row : row + 1], target[row : row + 1]
        left = 1 - (t / 4).softmax(1)[0, y].item()
        torch.testing.assert_close(dkd_loss(s, t, y, beta=left), kd_loss(s, t))


def test_two_classes_leave_the_binary_part(batch):
    student, teacher, _ = (x[:, :2] if x.dim() == 2 else x for x in batch)
    target = torch.tensor([0, 1, 1, 0])
    torch.testing.assert_close(dkd_loss(student, teacher, target), kd_loss(student, teacher))
    assert dkd_loss(student, teacher, target, alpha=0.0, beta=1.0).item() == 0
