"""The checks of feature maps, and one size for both networks' maps."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import NonFiniteError, UsageError
from wcord.losses.maps import pool_to_smaller, require_map, require_maps


def test_pools_the_larger_by_the_mean_of_each_block():
    student, teacher = torch.randn(2, 3, 4, 6), torch.randn(2, 5, 2, 3)
    pooled, untouched = pool_to_smaller(student, teacher)
    assert untouched is teacher
    for row in range(2):
        for column in range(3):
            block = student[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            torch.testing.assert_close(pooled[:, :, row, column], block.mean(dim=(2, 3)))
    swapped = pool_to_smaller(teacher, student)
    assert swapped[0] is teacher
    assert torch.equal(swapped[1], pooled)


def test_sizes_that_do_not_divide_are_pooled_from_overlapping_blocks():
    row = torch.arange(5.0).reshape(1, 1, 1, 5)
    pooled, _ = pool_to_smaller(row, torch.zeros(1, 1, 1, 3))
    assert pooled.flatten().tolist() == [0.5, 2.0, 3.5]  # of 0 1, 1 2 3, 3 4


def test_height_and_width_are_taken_each_by_itself():
    student, teacher = pool_to_smaller(torch.zeros(2, 3, 8, 2), torch.zeros(2, 5, 4, 6))
    assert student.shape == (2, 3, 4, 2)
    assert teacher.shape == (2, 5, 4, 2)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.floats(-10, 10))
def test_a_constant_map_stays_constant(h, w, other_h, other_w, value):
    pair = pool_to_smaller(torch.full((1, 2, h, w), value), torch.full((1, 3, other_h, other_w), value))
    for pooled in pair:
        assert pooled.shape[2:] == (min(h, other_h), min(w, other_w))
        torch.testing.assert_close(pooled, torch.full_like(pooled, value))


def test_maps_of_other_channels_and_sizes_are_accepted():
    require_maps(torch.zeros(2, 3, 4, 4), torch.zeros(2, 5, 8, 6))
    require_maps(torch.zeros(2, 7, 16), torch.zeros(2, 9), any_shape=True)


@pytest.mark.parametrize(
    ("student", "teacher", "options", "message"),
    [
        (
            torch.zeros(2, 3),
            torch.zeros(2, 3, 1, 1),
            {},
            r"student_map must be a feature map .*received shape \(2, 3\)",
        ),
        (torch.zeros(2, 3, 1, 1), torch.zeros(2, 7, 16), {}, r"teacher_map must be a feature map .*\(2, 7, 16\)"),
        (torch.zeros(2), torch.zeros(2, 1), {"any_shape": True}, r"student_map must be features .*shape \(2,\)"),
        (torch.zeros(1, 3, 1, 1), torch.zeros(1, 3, 1, 1), {"min_rows": 2}, "a batch of at least 2, received 1"),
        (torch.zeros(0, 3, 1, 1), torch.zeros(0, 3, 1, 1), {}, "a batch of at least 1, received 0"),
        (torch.zeros(2, 3, 0, 4), torch.zeros(2, 3, 1, 1), {}, r"student_map is empty, received shape \(2, 3, 0, 4\)"),
        (torch.zeros(2, 3, 1, 1), torch.zeros(3, 3, 1, 1), {}, "must hold the same samples, received 2 and 3 rows"),
    ],
)
def test_errors(student, teacher, options, message):
    with pytest.raises(UsageError, match=message):
        require_maps(student, teacher, **options)


def test_whole_numbers_and_non_finite_values_are_refused():
    with pytest.raises(TypeError, match=r"features must hold floating-point numbers, received torch.int64: .*\.float"):
        require_map("features", torch.zeros(2, 3, 1, 1, dtype=torch.int64))
    with pytest.raises(NonFiniteError, match="features holds 6 values that are NaN"):
        require_map("features", torch.full((2, 3, 1, 1), torch.nan))
