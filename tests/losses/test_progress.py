"""Progress is counted in training mode alone and survives a restart."""

import pytest
import torch

from wcord.checks import UsageError
from wcord.losses.progress import Progress


def test_only_training_moves_it_and_the_end_is_the_end():
    progress = Progress(2)
    progress.eval()
    assert [progress().item() for _ in range(3)] == [0, 0, 0]
    progress.train()
    assert [progress().item() for _ in range(4)] == [0, 0.5, 1, 1]


def test_it_goes_on_from_its_state():
    progress, other = Progress(8), Progress(8)
    for _ in range(3):
        progress()
    other.load_state_dict(progress.state_dict())
    assert torch.equal(other(), progress())
    assert other.share.item() == 0.5


def test_a_training_of_no_steps_is_refused():
    with pytest.raises(UsageError, match="total must be a whole number of at least 1"):
        Progress(0)
