"""Transformed teacher matching as terms: each hands its loss what it takes."""

import pytest
import torch

from wcord.checks import UsageError
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses.ttm import ttm_loss, wttm_loss
from wcord.methods.setting import Setting
from wcord.methods.ttm import TTMTerm, WTTMTerm

IMAGES = torch.zeros(5, 1, 1, 1)
BATCH = Batch(IMAGES, IMAGES, torch.tensor([0, 1, 2, 0, 1]))
SETTING = Setting(4, 6, 3, 3)


@pytest.mark.parametrize(("kind", "loss"), [(TTMTerm, ttm_loss), (WTTMTerm, wttm_loss)])
@pytest.mark.parametrize("options", [{}, {"exponent": 0.5}])
def test_hands_logits_and_options_to_the_loss(kind, loss, options) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = [torch.randn(5, 3, generator=generator) for _ in range(2)]
    term = kind("some", SETTING, **options)
    found = term(*(Features(x, torch.zeros(5, 4), {}) for x in logits), BATCH)
    torch.testing.assert_close(found, loss(*logits, **options))


@pytest.mark.parametrize("kind", [TTMTerm, WTTMTerm])
def test_needs_the_same_classes(kind) -> None:
    with pytest.raises(UsageError, match="some compares logits, but the teacher has 9 classes"):
        kind("some", SETTING).check("some", Setting(4, 6, 3, 9))
