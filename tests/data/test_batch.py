"""A batch keeps its shared input shared."""

import torch

from wcord.data.batch import Batch


def test_moving_keeps_what_is_shared() -> None:
    images = torch.zeros(2, 1, 2, 2)
    batch = Batch(images, images, torch.tensor([0, 1]), torch.tensor([5, 6])).to("cpu")
    assert batch.student_input is batch.teacher_input
    assert len(batch) == 2
    apart = Batch(images, images.clone(), torch.tensor([0, 1])).to("cpu")
    assert apart.student_input is not apart.teacher_input
    assert apart.index is None
