"""Distillation of answers label by label beside distillation of classes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.losses import binary_kd_loss, kd_loss


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), temperature=st.floats(0.5, 8))
def test_one_question_is_a_choice_between_two_classes(seed: int, temperature: float) -> None:
    """σ(x) is the softmax of (x, 0): of labels one by one, the mean of `kd_loss` between yes and no."""
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    pairs = [torch.stack([one.flatten(), torch.zeros(15, dtype=torch.float64)], 1) for one in (student, teacher)]
    expected = kd_loss(pairs[0], pairs[1], temperature=temperature)
    assert binary_kd_loss(student, teacher, temperature=temperature).item() == pytest.approx(expected.item())
    assert binary_kd_loss(teacher, teacher, temperature=temperature).item() == pytest.approx(0, abs=1e-12)
