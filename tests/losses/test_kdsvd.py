"""Distillation by singular vectors: a closed form."""

import torch

from wcord.losses.kdsvd import kdsvd_loss


def test_maps_of_one_pattern_are_their_channel_vectors():
    # A map a_hw·b_c has the one right singular vector b / |b|.
    pattern = torch.tensor([[1.0, 2], [0, 3]]).double()
    channels = [torch.tensor(b).double() for b in ([0.6, 0.8], [0.8, 0.6], [1.0, 0.0])]
    first, second, last = ((b[:, None, None] * pattern)[None] for b in channels)
    rbf = [torch.exp(-((channels[0][None, :] - b[:, None]) ** 2) / 8) for b in channels[1:]]
    expected = (rbf[0] - rbf[1]).square().sum()
    torch.testing.assert_close(kdsvd_loss([first, second], [2 * first, last]), expected)
