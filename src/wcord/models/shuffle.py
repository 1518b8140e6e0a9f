"""The channel shuffle that both ShuffleNets share."""

from torch import Tensor


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Interleave the channels of `groups` equal groups: channel i of group g moves to i · groups + g.

    Args:
        x: B×C×H×W, C divisible by `groups`.
        groups: number of groups; one group changes nothing.

    >>> import torch
    >>> channel_shuffle(torch.arange(6.0).reshape(1, 6, 1, 1), 2).flatten()
    tensor([0., 3., 1., 4., 2., 5.])
    """
    batch, channels, height, width = x.shape
    split = x.reshape(batch, groups, channels // groups, height, width)
    return split.transpose(1, 2).reshape(batch, channels, height, width)
