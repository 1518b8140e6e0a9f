"""Cross-entropy: factors of class weights, and shares of one class."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.losses import cross_entropy_loss


@settings(max_examples=30, deadline=None)
@given(factor=st.floats(0.01, 100.0), seed=st.integers(0, 1000))
def test_a_factor_of_all_class_weights_changes_nothing(factor, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    target = torch.randint(3, (7,), generator=generator)
    weights = torch.rand(3, generator=generator, dtype=torch.float64) + 0.1
    one = cross_entropy_loss(logits, target, class_weights=weights)
    assert cross_entropy_loss(logits, target, class_weights=factor * weights).item() == pytest.approx(one.item())
    alike = cross_entropy_loss(logits, target, class_weights=torch.full((3,), factor))
    assert alike.item() == pytest.approx(cross_entropy_loss(logits, target).item(), rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), smoothing=st.floats(0, 1), weighted=st.booleans())
def test_shares_of_one_class_are_that_class(seed, smoothing, weighted):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    target = torch.randint(4, (6,), generator=generator)
    weights = torch.rand(4, generator=generator, dtype=torch.float64) + 0.1 if weighted else None
    shares = torch.nn.functional.one_hot(target, 4).double()
    one = cross_entropy_loss(logits, target, label_smoothing=smoothing, class_weights=weights)
    other = cross_entropy_loss(logits, shares, label_smoothing=smoothing, class_weights=weights)
    assert other.item() == pytest.approx(one.item())
