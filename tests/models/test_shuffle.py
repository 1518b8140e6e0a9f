import torch
from hypothesis import given
from hypothesis import strategies as st

from wcord.models.shuffle import channel_shuffle


@given(st.integers(1, 5), st.integers(1, 5))
def test_moves_channel_i_of_group_g_to_i_times_groups_plus_g(groups, width):
    x = torch.randn(2, groups * width, 2, 3)
    y = channel_shuffle(x, groups)
    for g in range(groups):
        for i in range(width):
            assert torch.equal(y[:, i * groups + g], x[:, g * width + i])


@given(st.integers(1, 5), st.integers(1, 5))
def test_the_transposed_shuffle_undoes_it(groups, width):
    x = torch.randn(1, groups * width, 1, 1)
    assert torch.equal(channel_shuffle(channel_shuffle(x, groups), width), x)
