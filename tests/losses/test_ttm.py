"""Transformed teacher matching beside plain distillation."""

import pytest
import torch
import torch.nn.functional as F

from wcord.losses.kd import kd_loss
from wcord.losses.ttm import ttm_loss, wttm_loss

BOTH = pytest.mark.parametrize("loss", [ttm_loss, wttm_loss])


@pytest.fixture
def logits():
    torch.manual_seed(0)
    return torch.randn(4, 6, dtype=torch.float64, requires_grad=True), 3 * torch.randn(4, 6, dtype=torch.float64)


@BOTH
def test_exponent_one_is_plain_distillation(logits, loss):
    torch.testing.assert_close(loss(*logits, exponent=1.0), kd_loss(*logits, temperature=1.0))


def test_is_a_temperature_on_the_teacher_alone(logits):
    student, teacher = logits
    soft = F.softmax(teacher / 5, dim=1)
    expected = F.kl_div(F.log_softmax(student, dim=1), soft, reduction="batchmean")
    torch.testing.assert_close(ttm_loss(student, teacher, exponent=0.2), expected)


def test_weight_lies_between_a_sure_and_an_unsure_teacher():
    student = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    for teacher, weight in ((torch.tensor([[200.0, 0, 0, 0]]), 1.0), (torch.zeros(1, 4), 4**0.8)):
        ratio = wttm_loss(student, teacher) / ttm_loss(student, teacher, exponent=0.2)
        assert ratio.item() == pytest.approx(weight, rel=1e-5)
