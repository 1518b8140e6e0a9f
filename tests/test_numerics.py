import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from wcord.numerics import NORM_EPS, autocast_off, full_precision, unit_rows


@pytest.mark.parametrize(
    ("given_dtype", "found"),
    [(torch.bfloat16, torch.float32), (torch.float16, torch.float32), (torch.float64, torch.float64)],
)
def test_full_precision_raises_half_and_keeps_double(given_dtype, found):
    assert full_precision(torch.ones(2, dtype=given_dtype)).dtype == found


def test_full_precision_does_not_copy_single():
    x = torch.ones(2)
    assert full_precision(x) is x


def test_autocast_off_keeps_a_product_in_single_precision():
    x = torch.randn(3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (x @ x).dtype == torch.bfloat16
        with autocast_off(x):
            assert (x @ x).dtype == torch.float32


def test_unit_rows_against_loop():
    x = torch.randn(5, 7, dtype=torch.float64)
    for row, unit in zip(x, unit_rows(x), strict=True):
        length = sum(float(value) ** 2 for value in row)
        torch.testing.assert_close(unit, row / (length + NORM_EPS) ** 0.5)


@given(scale=st.floats(min_value=0.1, max_value=1e6), seed=st.integers(0, 99))
def test_unit_rows_have_unit_length_and_ignore_scale(scale, seed):
    x = torch.randn(3, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 1
    units = unit_rows(scale * x)
    torch.testing.assert_close(units.norm(dim=1), torch.ones(3, dtype=torch.float64), atol=1e-3, rtol=0)
    torch.testing.assert_close(units, unit_rows(x), atol=1e-3, rtol=0)


def test_unit_rows_gradient():
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(unit_rows, x)


def test_zero_row_has_a_bounded_gradient():
    x = torch.zeros(2, 4, requires_grad=True)
    unit_rows(x).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.full((2, 4), NORM_EPS**-0.5))
