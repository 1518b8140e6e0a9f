"""DIST as a term: what it is given, and what it needs."""

import pytest
import torch

from wcord.checks import UsageError
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses.dist import dist_loss
from wcord.methods.dist import DISTTerm
from wcord.methods.setting import Setting

IMAGES = torch.zeros(5, 1, 1, 1)
BATCH = Batch(IMAGES, IMAGES, torch.tensor([0, 1, 2, 0, 1]))


def test_hands_logits_and_options_to_the_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = [torch.randn(5, 3, generator=generator) for _ in range(2)]
    term = DISTTerm("dist", Setting(4, 6, 3, 3), temperature=4.0, gamma=2.0)
    found = term(*(Features(x, torch.zeros(5, 4), {}) for x in logits), BATCH)
    torch.testing.assert_close(found, dist_loss(*logits, temperature=4.0, gamma=2.0))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (Setting(4, 6, 3, 3, batch_size=1), "dist compares samples within a batch and needs at least 2"),
        (Setting(4, 6, 3, 9), "dist compares logits, but the teacher has 9 classes"),
    ],
)
def test_says_what_it_needs(setting: Setting, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        DISTTerm("dist", setting).check("dist", setting)
