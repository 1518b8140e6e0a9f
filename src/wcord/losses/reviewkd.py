"""Knowledge review: each of the teacher's maps taught by all deeper ones of the student (Chen et al., CVPR 2021)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wcord.checks import UsageError, require_counts, require_kind, require_same_rows, require_same_shape, require_widths
from wcord.losses.maps import require_lists, require_map
from wcord.numerics import FullPrecisionModule, autocast_off, full_precision, in_precision_of

Maps = Sequence[Tensor]
"""A network's maps from input to output, each B×C×H×W; the last may be the embedding as a map of 1×1."""

POOLED_SIDES = (4, 2, 1)
"""Sides of the coarser copies that the hierarchical loss compares beside the maps themselves."""


def hcl_loss(student_maps: Maps, teacher_maps: Maps) -> Tensor:
    r"""Return the hierarchical context loss: maps compared as they are, and ever coarser.

    Σ_maps ( Σ_l w_l · mean( (pool_l(s) - pool_l(t))² ) ) / Σ_l w_l,    w = 1, 1/2, 1/4, 1/8

    with s one of `student_maps` and t its partner in `teacher_maps`; pool_l is the map itself, then its average over a
    grid of 4×4, 2×2 and 1×1, of which those are taken that are coarser than the map's height. Chen, Liu, Zhao and Jia,
    arXiv 2104.09044; the weights stand in the authors' code.

    The teacher is detached.

    Args:
        student_maps: B×C×H×W each, after fusion.
        teacher_maps: of the same shapes, one by one.

    Returns:
        A scalar, in at least single precision.

    Raises:
        UsageError: on other numbers of maps, other shapes, NaN or infinity.

    Example:
        >>> student, teacher = torch.tensor([[[[1.0, -1.0]]]]), torch.zeros(1, 1, 1, 2)
        >>> hcl_loss([student], [teacher])
        tensor(1.)
    """
    require_lists(student_maps, teacher_maps)
    if len(student_maps) != len(teacher_maps) or not student_maps:
        raise UsageError(
            "the hierarchical context loss compares maps one by one, "
            f"received {len(student_maps)} of the student and {len(teacher_maps)} of the teacher"
        )
    for number, (student, teacher) in enumerate(zip(student_maps, teacher_maps, strict=True)):
        require_map(f"student_maps[{number}]", student)
        require_map(f"teacher_maps[{number}]", teacher)
        require_same_shape(f"student_maps[{number}]", student, f"teacher_maps[{number}]", teacher)
    with autocast_off(student_maps[0]):
        return torch.stack([_hierarchy(s, t.detach()) for s, t in zip(student_maps, teacher_maps, strict=True)]).sum()


def _hierarchy(student: Tensor, teacher: Tensor) -> Tensor:
    student = full_precision(student)
    difference = student - teacher.to(student.dtype)
    total, weights, weight = difference.square().mean(), 1.0, 1.0
    for side in POOLED_SIDES:
        if side < student.shape[2]:
            weight /= 2
            # Pooling is linear: the pooled difference is the difference of the pooled maps.
            total = total + weight * F.adaptive_avg_pool2d(difference, side).square().mean()
            weights += weight
    return total / weights


class AttentionFusion(FullPrecisionModule):
    r"""Merge a map of the student with what is left over from the deeper ones, by two maps of attention.

    z = a_1 ⊙ u + a_2 ⊙ v,    (a_1, a_2) = sigmoid( conv1×1 [u, v] ),    u = BN conv1×1 x,    out = BN conv3×3 z

    with x the student's map and v the left-over z of the next deeper level, enlarged to the size of x (nearest). z is
    brought to the teacher's size the same way. The deepest level has no v, and z = u. This is the authors' ABF.

    Args:
        channels: of the student's map x.
        width: of z at every level.
        teacher_channels: of the output.
        fuse: there is a deeper level.
    """

    def __init__(self, channels: int, width: int, teacher_channels: int, *, fuse: bool) -> None:
        super().__init__()
        narrow = nn.Conv2d(channels, width, 1, bias=False)
        widen = nn.Conv2d(width, teacher_channels, 3, padding=1, bias=False)
        for convolution in (narrow, widen):
            nn.init.kaiming_uniform_(convolution.weight, a=1)
        self.narrow = nn.Sequential(narrow, nn.BatchNorm2d(width))
        self.widen = nn.Sequential(widen, nn.BatchNorm2d(teacher_channels))
        self.attention = nn.Conv2d(2 * width, 2, 1) if fuse else None

    def forward(self, student_map: Tensor, deeper: Tensor | None, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return what is compared with the teacher's map of this `size`, and z, what is left for the next level."""
        fused = self.narrow(student_map)
        if self.attention is not None and deeper is not None:
            enlarged = _resize(deeper, (student_map.shape[2], student_map.shape[3]))
            own, other = self.attention(torch.cat([fused, enlarged], dim=1)).sigmoid().split(1, dim=1)
            fused = own * fused + other * enlarged
        fused = _resize(fused, size)
        return self.widen(fused), fused


class ReviewKDLoss(FullPrecisionModule):
    r"""Distill a chain of maps, from the deepest to the first, each fused with what the deeper ones leave over.

    L = HCL( out_1 … out_n ; t_1 … t_n ),    (out_i, z_i) = fusion_i(s_i, z_{i+1})

    with s_i the student's maps and t_i the teacher's, of which the last are the embeddings as maps of 1×1 (see
    `hcl_loss` and `AttentionFusion`). The authors read the student's maps after the ReLU and the teacher's before it.
    Knowledge flows from deep to shallow only: z_{i+1} carries the gradient of level i into all deeper student maps.

    Chen, Liu, Zhao and Jia, CVPR 2021, arXiv 2104.09044, in the form of the authors' CIFAR code and of mdistiller.
    Autocast is switched off inside. The teacher is detached.

    Args:
        student_channels: channels of the student's maps, from input to output, the embedding's width last.
        teacher_channels: as many of the teacher's.
        max_width: the fused maps are as wide as the student's last map, and at most this.

    Raises:
        UsageError: on another number of maps than of channels, maps of other samples, a batch of one in training mode.

    Example:
        >>> loss = ReviewKDLoss([8, 16], [4, 32])
        >>> student = [torch.randn(2, 8, 4, 4), torch.randn(2, 16, 1, 1)]
        >>> teacher = [torch.randn(2, 4, 8, 8), torch.randn(2, 32, 1, 1)]
        >>> loss(student, teacher).shape
        torch.Size([])
    """

    def __init__(
        self, student_channels: Sequence[int], teacher_channels: Sequence[int], *, max_width: int = 512
    ) -> None:
        super().__init__()
        require_counts(max_width=max_width)
        for name, channels in (("student_channels", student_channels), ("teacher_channels", teacher_channels)):
            require_kind(name, channels, (list, tuple), "a list of channels, one number for each map")
        if len(student_channels) != len(teacher_channels) or not student_channels:
            raise UsageError(
                "reviewkd pairs the maps of both networks one by one, received "
                f"{len(student_channels)} of the student and {len(teacher_channels)} of the teacher"
            )
        for number, pair in enumerate(zip(student_channels, teacher_channels, strict=True)):
            for name, value in zip(("student_channels", "teacher_channels"), pair, strict=True):
                require_counts(**{f"{name}[{number}]": value})
        self.channels = (tuple(student_channels), tuple(teacher_channels))
        deepest = len(student_channels) - 1
        width = min(max_width, student_channels[-1])
        self.fusions = nn.ModuleList(
            AttentionFusion(student, width, teacher, fuse=level < deepest)
            for level, (student, teacher) in enumerate(zip(student_channels, teacher_channels, strict=True))
        )

    def forward(self, student_maps: Maps, teacher_maps: Maps) -> Tensor:
        """Return the loss of one batch."""
        require_lists(student_maps, teacher_maps)
        if not len(student_maps) == len(teacher_maps) == len(self.fusions):
            raise UsageError(
                f"reviewkd was built for {len(self.fusions)} maps of each network, "
                f"received {len(student_maps)} of the student and {len(teacher_maps)} of the teacher"
            )
        for number, (student, teacher) in enumerate(zip(student_maps, teacher_maps, strict=True)):
            require_map(f"student_maps[{number}]", student, min_rows=2 if self.training else 1)
            require_map(f"teacher_maps[{number}]", teacher)
            require_same_rows(f"student_maps[{number}]", student, f"teacher_maps[{number}]", teacher)
        received = [tuple(one.shape[1] for one in maps) for maps in (student_maps, teacher_maps)]
        require_widths("ReviewKDLoss", self.channels, received)
        with autocast_off(student_maps[0]):
            return hcl_loss(self._review(student_maps, teacher_maps), teacher_maps)

    def _review(self, student_maps: Maps, teacher_maps: Maps) -> list[Tensor]:
        outputs: list[Tensor] = []
        deeper: Tensor | None = None
        for fusion, student, teacher in zip(
            reversed(self.fusions), reversed(student_maps), reversed(teacher_maps), strict=True
        ):
            output, deeper = fusion(in_precision_of(self, student), deeper, (teacher.shape[2], teacher.shape[3]))
            outputs.append(output)
        return outputs[::-1]


def _resize(feature_map: Tensor, size: tuple[int, int]) -> Tensor:
    return feature_map if feature_map.shape[2:] == size else F.interpolate(feature_map, size, mode="nearest")
