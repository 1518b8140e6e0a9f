import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from wcord.checks import UsageError
from wcord.transport import cosine_cost, squared_euclidean_cost

COSTS = [cosine_cost, squared_euclidean_cost]


def draw(rows, width=5, *, seed=0, dtype=torch.float64):
    return torch.randn(rows, width, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def naive_cosine(x, y):
    return [
        [
            1 - sum(p * q for p, q in zip(r, s, strict=True)) / math.sqrt(sum(p * p for p in r) * sum(q * q for q in s))
            for s in y
        ]
        for r in x
    ]


def naive_squared(x, y):
    return [[sum((p - q) ** 2 for p, q in zip(r, s, strict=True)) for s in y] for r in x]


@pytest.mark.parametrize(("cost", "naive"), [(cosine_cost, naive_cosine), (squared_euclidean_cost, naive_squared)])
def test_against_loop(cost, naive):
    x, y = draw(3), draw(4, seed=1)
    expected = torch.tensor(naive(x.tolist(), y.tolist()), dtype=torch.float64)
    torch.testing.assert_close(cost(x, y), expected, atol=1e-5, rtol=1e-6)


def test_cosine_closed_forms():
    x = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    expected = torch.tensor([[0.0], [1 - math.sqrt(0.5)], [1.0]], dtype=torch.float64)
    torch.testing.assert_close(cosine_cost(x, x[:1]), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("cost", COSTS)
def test_swapped_arguments_transpose(cost):
    x, y = draw(3), draw(4, seed=1)
    torch.testing.assert_close(cost(x, y), cost(y, x).T)


@given(offset=st.floats(-1e3, 1e3), seed=st.integers(0, 50))
def test_squared_distance_survives_a_common_offset(offset, seed):
    x, y = draw(4, seed=seed, dtype=torch.float32), draw(5, seed=seed + 1, dtype=torch.float32)
    torch.testing.assert_close(
        squared_euclidean_cost(x + offset, y + offset), squared_euclidean_cost(x, y), atol=2e-3, rtol=1e-3
    )


@given(scale=st.floats(1e-2, 1e3), seed=st.integers(0, 50))
def test_cosine_ignores_length(scale, seed):
    x, y = draw(4, seed=seed) + 1, draw(5, seed=seed + 1)
    torch.testing.assert_close(cosine_cost(scale * x, y), cosine_cost(x, y), atol=2e-2, rtol=0)


@pytest.mark.parametrize("cost", COSTS)
def test_gradients(cost):
    assert gradcheck(cost, (draw(3).requires_grad_(), draw(4, seed=1).requires_grad_()))


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("x", [torch.zeros(3, 4), torch.eye(3, 4)])
def test_equal_and_zero_rows_are_finite(cost, x):
    x = x.clone().requires_grad_()
    value = cost(x, x)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    assert value.isfinite().all()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("cost", COSTS)
def test_precision(cost):
    x = draw(3, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = cost(x, x)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, cost(x, x))
    assert cost(x.bfloat16(), x.bfloat16()).dtype == torch.float32
    assert cost(x.double(), x.double()).dtype == torch.float64


@pytest.mark.parametrize("cost", COSTS)
def test_errors(cost):
    with pytest.raises(UsageError, match="same width, received 5 and 4: map one"):
        cost(draw(3), draw(3, 4))
    with pytest.raises(UsageError, match=r"y must be a matrix .* received shape \(3,\)"):
        cost(draw(3), torch.ones(3))
    with pytest.raises(TypeError, match="x must hold floating-point numbers"):
        cost(torch.ones(3, 3, dtype=torch.long), draw(3))
