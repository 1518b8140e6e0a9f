"""Unified receptive fields mapping (URFM): tokens of any grid, gathered at learned centers and compared there."""

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wcord.checks import (
    UsageError,
    WrongTypeError,
    require_counts,
    require_finite,
    require_fractions,
    require_kind,
    require_number,
    require_positive,
    require_same_shape,
    require_tensor,
)
from wcord.host import may_read
from wcord.numerics import FullPrecisionModule, autocast_off, full_precision, in_precision_of

LINEAR, LARGEST, FAR = 1.9, 3.8, 15.2
"""The constants of the distance index, which iRPE publishes: α, β and γ there."""

BUCKETS = math.floor(LARGEST) + 1
"""Distance indices from 0 on at these constants."""


def distance_index(x: Tensor, *, linear: float = LINEAR, largest: float = LARGEST, far: float = FAR) -> Tensor:
    r"""Return the bucket of each distance: near ones by rounding, far ones on a logarithmic scale.

    I(x) = round(x)                                                             for \|x\| ≤ a
    I(x) = sign(x) · trunc( min(b, round(a + (b − a) ln(\|x\|/a) / ln(c/a))) )  otherwise

    with a `linear`, b `largest` and c `far`; halves are rounded to the even number. The cut at b is truncated, so that
    the published b = 3.8 gives the indices −3 … 3. Wu, Peng, Chen, Fu and Chao, ICCV 2021, arXiv 2107.14222 (iRPE), in
    the form of their code.

    Args:
        x: distances of any shape, in patches; they may be negative.
        linear: a, up to which indices are linear in the distance.
        largest: b, the largest index, before it is truncated.
        far: c, the distance at which the scale reaches b.

    Returns:
        Whole numbers of the shape of `x`.

    Raises:
        UsageError: unless 0 < a ≤ b and a < c, or on NaN or infinity.

    Example:
        >>> distance_index(torch.tensor([0.5, 1.5, 2.5, 8.0, 100.0, -8.0]))
        tensor([ 0,  2,  2,  3,  3, -3])
    """
    require_tensor("x", x)
    if x.is_complex() or x.dtype == torch.bool:
        raise WrongTypeError(f"x must hold distances, received {x.dtype}: convert it with .float()")
    require_finite("x", x)
    for name, value in (("linear", linear), ("largest", largest), ("far", far)):
        require_positive(name, value)
    if linear > largest or linear >= far:
        raise UsageError(
            f"linear must be at most largest and below far, received {linear}, largest {largest} and far {far}"
        )
    size = x.double().abs()
    scale = (largest - linear) / math.log(far / linear)
    distant = (linear + scale * (size.clamp_min(linear) / linear).log()).round().clamp_max(largest).trunc()
    return (torch.where(size <= linear, size.round(), distant) * x.sign()).long()


def distances_from_middle(height: int, width: int) -> Tensor:
    """Return the Euclidean distance of each cell of a grid from its middle, in cells, row by row: height·width numbers.

    D_j = sqrt( (row_j − (H−1)/2)² + (column_j − (W−1)/2)² )

    >>> distances_from_middle(1, 3)
    tensor([1., 0., 1.], dtype=torch.float64)
    """
    require_counts(height=height, width=width)
    rows = torch.arange(height, dtype=torch.float64) - (height - 1) / 2
    columns = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    return torch.hypot(rows[:, None], columns[None, :]).flatten()


class UnifiedMapping(FullPrecisionModule):
    r"""Gather the tokens of a grid of any size at L learned centers (URFM).

    h = softmax_j(e) (f W_v),    e_lj = ⟨c_l W_q, f_j W_k + P[I_j]⟩ / √d

    with f the tokens (after a linear layer to width d, if they have another one), c the centers, P a vector for each
    bucket of distances and I_j the bucket of token j. Two networks with other numbers of tokens so have features of one
    shape, L×d, that can be compared.

    A reconstruction of the URFM of APT (ACM MM 2023), which has no public code. The paper prints the position vector
    beside the query; but the queries are learned centers without a position, so here it is beside the key.
    Autocast is switched off inside.

    Args:
        dim: d, the width of the features.
        token_dim: width of the tokens; default: d, and then there is no linear layer before.
        centers: L.
        buckets: number of vectors in P: 4 for distances (see `distance_index`), and one more where some of the tokens
            are prompts.

    Raises:
        UsageError: on tokens that do not fit, or an index of another length.

    Example:
        >>> mapping = UnifiedMapping(8, token_dim=6, centers=5)
        >>> index = distance_index(distances_from_middle(7, 7))
        >>> mapping(torch.randn(2, 49, 6), index).shape
        torch.Size([2, 5, 8])
    """

    def __init__(self, dim: int, *, token_dim: int | None = None, centers: int = 16, buckets: int = BUCKETS) -> None:
        super().__init__()
        token_dim = dim if token_dim is None else token_dim
        require_counts(dim=dim, token_dim=token_dim, centers=centers, buckets=buckets)
        self.token_dim = token_dim
        self.projection = nn.Identity() if token_dim == dim else nn.Linear(token_dim, dim, bias=False)
        self.centers = nn.Parameter(torch.randn(centers, dim))
        self.query, self.key, self.value = (nn.Linear(dim, dim, bias=False) for _ in range(3))
        self.bucket = nn.Parameter(0.02 * torch.randn(buckets, dim))

    def forward(self, tokens: Tensor, index: Tensor) -> Tensor:
        """Return the local features h, B×L×d.

        Args:
            tokens: B×N×token_dim.
            index: the bucket of each token, N whole numbers.
        """
        self._require(tokens, index)
        with autocast_off(tokens):
            projected = self._projected(tokens)
            return self._weights(projected, index) @ self.value(projected)

    def weights(self, tokens: Tensor, index: Tensor) -> Tensor:
        """Return how much of each token each center takes, B×L×N, rows of sum 1."""
        self._require(tokens, index)
        with autocast_off(tokens):
            return self._weights(self._projected(tokens), index)

    def _weights(self, projected: Tensor, index: Tensor) -> Tensor:
        keys = self.key(projected) + self.bucket[index]
        return (self.query(self.centers) @ keys.mT / math.sqrt(keys.shape[-1])).softmax(dim=-1)

    def _projected(self, tokens: Tensor) -> Tensor:
        return self.projection(in_precision_of(self, tokens))

    def _require(self, tokens: Tensor, index: Tensor) -> None:
        require_fractions("tokens", tokens)
        if tokens.dim() != 3 or tokens.shape[-1] != self.token_dim or tokens.numel() == 0:
            raise UsageError(
                f"tokens must be batch × tokens × {self.token_dim}, received shape {tuple(tokens.shape)}: flatten a "
                "map with .flatten(2).mT, or build the mapping for this width"
            )
        require_finite("tokens", tokens)
        require_tensor("index", index)
        if index.dtype != torch.long or index.shape != (tokens.shape[1],):
            raise UsageError(
                f"index must hold one whole number for each of {tokens.shape[1]} tokens, received "
                f"{index.dtype} of shape {tuple(index.shape)}: see distance_index"
            )
        if may_read(index) and not 0 <= int(index.min()) <= int(index.max()) < len(self.bucket):
            raise UsageError(
                f"index holds buckets {int(index.min())} to {int(index.max())}, and there are {len(self.bucket)}: "
                "build the mapping with more buckets"
            )


class CenterAttention(FullPrecisionModule):
    r"""Multi-head self-attention over the local features of the centers, without biases.

    Attn = softmax( Q Kᵀ / √(d/heads) ),    out = (Attn V) W_o,    (Q, K, V) = h W_qkv

    Args:
        dim: d, the width of the features.
        heads: number of heads, which divides d.

    Raises:
        UsageError: if the heads do not divide the width, or on features of another width.

    Example:
        >>> features, attention = CenterAttention(8, heads=2)(torch.randn(3, 5, 8))
        >>> features.shape, attention.shape
        (torch.Size([3, 5, 8]), torch.Size([3, 2, 5, 5]))
    """

    def __init__(self, dim: int, *, heads: int = 4) -> None:
        super().__init__()
        require_counts(dim=dim, heads=heads)
        if dim % heads:
            raise UsageError(f"heads must divide the width {dim} of the features, received {heads}")
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.attention = nn.Softmax(dim=-1)
        self.out = nn.Linear(dim, dim, bias=False)

    def forward(self, local: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features, B×L×d, and the attention, B×heads×L×L, of the local features `local`, B×L×d."""
        require_fractions("local", local)
        dim = self.qkv.in_features
        if local.dim() != 3 or local.shape[-1] != dim or local.numel() == 0:
            raise UsageError(f"local must be batch × centers × {dim}, received shape {tuple(local.shape)}")
        require_finite("local", local)
        with autocast_off(local):
            parts = self.qkv(in_precision_of(self, local)).unflatten(-1, (3, self.heads, -1))
            query, key, value = parts.permute(2, 0, 3, 1, 4)
            attention = cast(Tensor, self.attention(query @ key.mT / math.sqrt(query.shape[-1])))
            return self.out((attention @ value).transpose(1, 2).flatten(2)), attention


def urfm_loss(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    *,
    attention_weight: float = 1.0,
    feature_weight: float = 1.0,
) -> Tensor:
    r"""Return the mean squared errors of the features and of the attention at the centers.

    λ₁ / (B·h·L²) Σ (Attn_S − Attn_T)²  +  λ₂ / (B·L·d) Σ (F_S − F_T)²

    with F the features and Attn the attention that `CenterAttention` returns for the student and for the teacher, each
    from the `UnifiedMapping` of its own tokens, λ₁ `attention_weight` and λ₂ `feature_weight`. APT (ACM MM 2023)
    publishes no weights: 1 and 1 are our choice.

    The teacher is detached. Where the teacher's mapping trains too, exchange the arguments: the loss is symmetric.

    Args:
        student: features B×L×d and attention B×h×L×L.
        teacher: the same of the teacher, of the same shapes.
        attention_weight: λ₁, at least 0.
        feature_weight: λ₂, at least 0.

    Returns:
        A scalar, in at least single precision.

    Raises:
        UsageError: on other shapes, NaN or infinity.

    Example:
        >>> student = [torch.zeros(2, 5, 8), torch.full((2, 4, 5, 5), 0.2)]
        >>> teacher = [torch.ones(2, 5, 8), torch.full((2, 4, 5, 5), 0.2)]
        >>> urfm_loss(student, teacher)
        tensor(1.)
    """
    require_number("attention_weight", attention_weight, low=0)
    require_number("feature_weight", feature_weight, low=0)
    for name, pair in (("student", student), ("teacher", teacher)):
        require_kind(name, pair, (list, tuple), "a pair of features and attention")
        if len(pair) != 2:
            raise UsageError(f"{name} must be a pair of features and attention, received {len(pair)} tensors")
        _require_shape(f"{name}[0]", pair[0], 3, "local features (batch × centers × width)")
        _require_shape(f"{name}[1]", pair[1], 4, "attention (batch × heads × centers × centers)")
    for part in (0, 1):
        require_same_shape(f"student[{part}]", student[part], f"teacher[{part}]", teacher[part])
    with autocast_off(student[0]):
        features, attention = (_squared_error(s, t) for s, t in zip(student, teacher, strict=True))
        return attention_weight * attention + feature_weight * features


def _squared_error(student: Tensor, teacher: Tensor) -> Tensor:
    student = full_precision(student)
    return F.mse_loss(student, teacher.detach().to(student.dtype))


def _require_shape(name: str, tensor: Tensor, dimensions: int, kind: str) -> None:
    require_fractions(name, tensor)
    if tensor.dim() != dimensions or tensor.numel() == 0:
        raise UsageError(f"{name} must be {kind}, received shape {tuple(tensor.shape)}")
    require_finite(name, tensor)
