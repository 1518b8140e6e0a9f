"""Flow of the solution procedure: pooling and a closed form."""

import pytest
import torch
import torch.nn.functional as F
from tests.support.loss_contract import wave

from wcord.losses.fsp import fsp_loss


@pytest.fixture
def maps():
    student = [wave((2, 3, 6, 6), 0.1), wave((2, 4, 6, 6), 0.2), wave((2, 5, 3, 3), 0.3)]
    teacher = [wave((2, 3, 4, 4), 0.4), wave((2, 4, 2, 2), 0.5), wave((2, 5, 4, 4), 0.6)]
    return student, teacher


def test_the_larger_neighbour_is_pooled(maps):
    student, teacher = maps
    pooled = [F.adaptive_avg_pool2d(student[1], 3), student[2]]
    torch.testing.assert_close(fsp_loss(student[1:], teacher[1:]), fsp_loss(pooled, teacher[1:]))


def test_a_teacher_of_zeros_leaves_the_students_own_flow():
    student = [torch.full((1, 2, 2, 2), 2.0), torch.full((1, 1, 2, 2), 3.0)]
    assert fsp_loss(student, [torch.zeros_like(x) for x in student]).item() == pytest.approx(36.0)
