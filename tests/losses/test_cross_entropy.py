"""Cross-entropy against its sum, and its errors."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.losses import cross_entropy_loss


@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
def test_is_the_double_loop(smoothing):
    torch.manual_seed(0)
    logits, target = torch.randn(4, 5, dtype=torch.float64), torch.tensor([0, 4, 2, 2])
    expected = 0.0
    for i in range(4):
        partition = sum(math.exp(logits[i, c]) for c in range(5))
        for c in range(5):
            wanted = (1 - smoothing) * (c == target[i]) + smoothing / 5
            expected -= wanted * math.log(math.exp(logits[i, c]) / partition) / 4
    assert cross_entropy_loss(logits, target, label_smoothing=smoothing).item() == pytest.approx(expected)


def naive_weighted(logits, target, smoothing, weights):
    """The weighted mean, sample by sample and class by class."""
    above = below = 0.0
    classes = logits.shape[1]
    for i in range(logits.shape[0]):
        partition = sum(math.exp(logits[i, c]) for c in range(classes))
        for c in range(classes):
            wanted = (1 - smoothing) * (c == target[i]) + smoothing / classes
            above -= float(weights[c]) * wanted * math.log(math.exp(logits[i, c]) / partition)
        below += float(weights[target[i]])
    return above / below


@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("weights", [[1.0, 2.0, 3.0, 4.0, 0.5], [1e-6, 1.0, 1e6, 1.0, 1.0], [2.0] * 5])
def test_class_weights_are_the_double_loop(smoothing, weights):
    torch.manual_seed(0)
    logits, target = torch.randn(6, 5, dtype=torch.float64), torch.tensor([0, 4, 2, 2, 0, 1])
    weights = torch.tensor(weights)
    expected = naive_weighted(logits, target, smoothing, weights)
    found = cross_entropy_loss(logits, target, label_smoothing=smoothing, class_weights=weights)
    assert found.item() == pytest.approx(expected)


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


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, 2.0], "one number for each of the 3 classes, received shape"),
        ([[1.0, 2.0, 3.0]], r"received shape \(1, 3\)"),
        ([1.0, 0.0, 3.0], "above 0, received 0.0 for class 1"),
        ([1.0, 2.0, -1.0], "above 0, received -1.0 for class 2"),
        ([math.nan, 2.0, 1.0], "above 0, received nan for class 0"),
        ([1.0, math.inf, 1.0], "above 0, received inf for class 1"),
    ],
)
def test_class_weights_that_cannot_be_meant(weights, message):
    with pytest.raises(UsageError, match=message):
        cross_entropy_loss(torch.zeros(2, 3), torch.tensor([0, 1]), class_weights=torch.tensor(weights))


def test_gradcheck_with_class_weights():
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    target, weights = torch.tensor([0, 3, 1]), torch.tensor([0.5, 1.0, 2.0, 7.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: cross_entropy_loss(x, target, label_smoothing=0.1, class_weights=weights), (logits,)
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5]])
def test_shares_are_the_double_loop(smoothing, weights):
    torch.manual_seed(0)
    logits, shares = torch.randn(5, 3, dtype=torch.float64), torch.rand(5, 3, dtype=torch.float64).softmax(1)
    above = below = 0.0
    for i in range(5):
        partition = sum(math.exp(logits[i, c]) for c in range(3))
        for c in range(3):
            weight = 1.0 if weights is None else weights[c]
            wanted = (1 - smoothing) * shares[i, c] + smoothing / 3
            above -= float(weight * wanted * math.log(math.exp(logits[i, c]) / partition))
            below += float(weight * shares[i, c])
    weights = None if weights is None else torch.tensor(weights)
    found = cross_entropy_loss(logits, shares, label_smoothing=smoothing, class_weights=weights)
    assert found.item() == pytest.approx(above / below)


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


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ([[0.5, 0.4], [1.0, 0.0]], "sum 1 in each row; row 0 does not"),
        ([[1.0, 0.0], [1.5, -0.5]], "from 0 on and of sum 1 in each row; row 1 does not"),
        ([[1.0, 0.0], [math.nan, 1.0]], "row 1 does not"),
        ([[1.0], [1.0]], "shares of shape"),
    ],
)
def test_shares_that_are_none(shares, message):
    with pytest.raises(UsageError, match=message):
        cross_entropy_loss(torch.zeros(2, 2), torch.tensor(shares))


def test_class_numbers_must_be_whole():
    with pytest.raises(TypeError, match="target must hold class numbers"):
        cross_entropy_loss(torch.zeros(2, 2), torch.tensor([1.0, 0.0]))


def test_gradcheck_with_shares():
    logits, shares = torch.randn(3, 4, dtype=torch.float64, requires_grad=True), torch.rand(3, 4).double().softmax(1)
    weights = torch.tensor([0.5, 1.0, 2.0, 7.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: cross_entropy_loss(x, shares, label_smoothing=0.1, class_weights=weights), (logits,)
    )


def test_gradcheck():
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0, 3, 1])
    assert torch.autograd.gradcheck(lambda x: cross_entropy_loss(x, target, label_smoothing=0.1), (logits,))


@pytest.mark.parametrize("size", [0.0, 1e4, -1e4])
def test_extreme_logits_are_finite(size):
    logits = (torch.eye(3) * size).requires_grad_()
    loss = cross_entropy_loss(logits, torch.tensor([0, 2, 1]))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_half_precision_is_computed_in_single():
    logits = torch.randn(4, 100).bfloat16()
    target = torch.arange(4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(cross_entropy_loss(logits, target), cross_entropy_loss(logits.float(), target))


@pytest.mark.parametrize(
    ("logits", "target", "smoothing", "message"),
    [
        (torch.zeros(2, 3), torch.tensor([0, 3]), 0.0, "target holds classes 0 to 3, logits have 3 classes"),
        (torch.zeros(2, 3), torch.tensor([-1, 1]), 0.0, "target holds classes -1 to 1"),
        (torch.zeros(2, 3), torch.tensor([[0], [1]]), 0.0, "target must hold one class number per sample"),
        (torch.zeros(2, 3), torch.tensor([0]), 0.0, "logits and target must hold the same samples"),
        (torch.zeros(3), torch.tensor([0]), 0.0, "logits must be a matrix"),
        (torch.zeros(1, 3), torch.tensor([0]), 1.5, "label_smoothing must lie between 0 and 1"),
    ],
)
def test_errors(logits, target, smoothing, message):
    with pytest.raises(UsageError, match=message):
        cross_entropy_loss(logits, target, label_smoothing=smoothing)
