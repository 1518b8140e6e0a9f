"""Relations between predictions: what is related and what is not."""

import pytest
import torch

from wcord.losses.dist import dist_loss


def test_a_linear_relation_is_enough():
    """With two classes a confidence that grows linearly with the teacher's costs nothing."""
    teacher = torch.tensor([0.9, 0.6, 0.2], dtype=torch.float64)
    student = 0.5 + 0.4 * (teacher - 0.5)
    logits = [torch.stack([p, 1 - p], dim=1).log() for p in (student, teacher)]
    assert dist_loss(*logits).item() == pytest.approx(0, abs=1e-6)
    assert dist_loss(logits[0].flip(1), logits[1]).item() == pytest.approx(4, abs=1e-6)


def test_a_constant_row_counts_as_unrelated():
    teacher = torch.tensor([[3.0, 0.0, 1.0], [0.0, 2.0, 1.0]])
    assert dist_loss(torch.zeros(2, 3), teacher).item() == pytest.approx(2, abs=1e-3)
