"""Measures are named after what they measure."""

import torch

from wcord.data.loader import Loader
from wcord.data.mixing import Mixing
from wcord.data.split import MemorySplit
from wcord.training.measures import measures_of

IMAGES = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
NUMBERS, MARKS = torch.tensor([0, 1, 0, 1]), torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [1.0, 0.0]])


def test_names_say_what_is_measured() -> None:
    def names(targets: torch.Tensor, mixing: Mixing | None) -> tuple[str, str, str, bool]:
        found = measures_of(Loader(MemorySplit(IMAGES, targets), batch_size=2, mixing=mixing))
        return found.train, found.test, found.measure, found.several_labels

    mixing = Mixing(2, mixup=0.2)
    assert names(NUMBERS, None) == ("train_top1", "test_top1", "top1", False)
    assert names(NUMBERS, mixing) == ("train_top1_mixed", "test_top1", "top1", False)
    assert names(MARKS, None) == names(MARKS, mixing) == ("train_label_accuracy", "test_map", "map", True)
