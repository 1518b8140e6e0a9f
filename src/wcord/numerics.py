"""The guarded operations that every loss shares: enough precision, and unit rows with a bounded gradient."""

import torch
from torch import Tensor

NORM_EPS = 1e-6
"""Added to the squared norm before the root: bounds the gradient at a zero row by 1/sqrt(1e-6) = 1000."""


def full_precision(tensor: Tensor) -> Tensor:
    """Return `tensor` in at least single precision; double stays double."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def autocast_off(tensor: Tensor) -> torch.autocast:
    """Return a context in which no operation on the tensor's device is autocast to half precision."""
    return torch.autocast(tensor.device.type, enabled=False)


def unit_rows(x: Tensor) -> Tensor:
    r"""Bring each row to (nearly) unit length: n(x) = x / sqrt(|x|² + 1e-6).

    Zero rows stay zero with a finite gradient, unlike x / |x|.

    >>> unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    return x * torch.rsqrt(x.square().sum(dim=-1, keepdim=True) + NORM_EPS)
