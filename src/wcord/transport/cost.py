"""Costs of carrying one unit of mass from row i of x to row j of y."""

from torch import Tensor

from wcord.checks import UsageError, require_matrix
from wcord.numerics import autocast_off, in_common_precision, unit_rows


def cosine_cost(x: Tensor, y: Tensor) -> Tensor:
    r"""Return one minus the cosine of every pair of rows.

    C_ij = 1 − ⟨n(x_i), n(y_j)⟩ with n(x) = x / sqrt(|x|² + 1e-6), so a zero row costs 1 against every row and has a
    finite gradient. Values lie in [0, 2] up to rounding.

    Args:
        x: n×D.
        y: m×D.

    Returns:
        C, n×m, in float32 at least, whatever autocast says; differentiable in both arguments.

    Raises:
        UsageError: an argument is no matrix, or the widths differ.
        TypeError: an argument does not hold floating-point numbers.

    >>> import torch
    >>> cosine_cost(torch.tensor([[2.0, 0.0]]), torch.tensor([[3.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])).round(decimals=4)
    tensor([[0., 1., 2.]])
    """
    require_same_width(x, y)
    with autocast_off(x):
        x, y = in_common_precision(x, y)
        return 1 - unit_rows(x) @ unit_rows(y).T


def squared_euclidean_cost(x: Tensor, y: Tensor) -> Tensor:
    r"""Return the squared Euclidean distance of every pair of rows.

    C_ij = |x_i − y_j|², expanded into |x_i|² + |y_j|² − 2⟨x_i, y_j⟩ after both sets have been moved by the mean of x:
    the distances stay, and less is lost to cancellation when the points lie far from the origin.

    Args:
        x: n×D.
        y: m×D.

    Returns:
        C, n×m, never negative, in float32 at least, whatever autocast says; differentiable in both arguments.

    Raises:
        UsageError: an argument is no matrix, or the widths differ.
        TypeError: an argument does not hold floating-point numbers.

    >>> import torch
    >>> squared_euclidean_cost(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[25.,  1.]])
    """
    require_same_width(x, y)
    with autocast_off(x):
        x, y = in_common_precision(x, y)
        # The distance does not depend on the shift, so nothing is lost by keeping it out of the gradient.
        shift = x.detach().mean(dim=0)
        x, y = x - shift, y - shift
        squares = x.square().sum(dim=1, keepdim=True) + y.square().sum(dim=1)
        return (squares - 2 * x @ y.T).clamp_min(0)


def require_same_width(x: Tensor, y: Tensor, names: tuple[str, str] = ("x", "y")) -> None:
    """Raise unless both are floating-point matrices with rows of one length."""
    for name, tensor in zip(names, (x, y), strict=True):
        require_matrix(name, tensor, min_rows=1)
    if x.shape[1] != y.shape[1]:
        raise UsageError(
            f"{names[0]} and {names[1]} must have rows of the same width, received {x.shape[1]} and {y.shape[1]}: "
            "map one of them to the other's width first"
        )
