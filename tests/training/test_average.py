"""The moving average forgets the initial weights within its first steps."""

import pytest
import torch
from torch import nn

from wcord.models.network import Network
from wcord.models.preprocess import Preprocess
from wcord.training.average import MovingAverage, decay_at


@pytest.mark.parametrize(("updates", "decay", "kept"), [(0, 0.999, 0.1), (8, 0.5, 0.5), (90, 0.999, 0.91), (9, 0.0, 0)])
def test_the_decay_grows_to_the_one_that_is_set(updates: int, decay: float, kept: float) -> None:
    assert decay_at(torch.tensor(updates), decay).item() == pytest.approx(kept)


@pytest.mark.parametrize("decay", [0.99, 0.999, 0.9999])
def test_a_short_run_does_not_keep_its_initial_weights(decay: float) -> None:
    """Weights that jump from 0 to 1 after the first step: after 50 steps of a fixed 0.999, 5 % would be forgotten."""
    student = Network(nn.Linear(1, 1, bias=False), Preprocess((0.0,), (1.0,)))
    average = MovingAverage(student, decay)
    with torch.no_grad():
        student.backbone.weight.fill_(0.0)
        average.update(student)
        student.backbone.weight.fill_(1.0)
        expected = 0.0
        for updates in range(1, 51):
            average.update(student)
            kept = decay_at(torch.tensor(updates), decay).item()
            expected = kept * expected + 1 - kept
    value = average.module.backbone.weight.item()
    assert value == pytest.approx(expected, rel=1e-5)
    assert value > 0.99
