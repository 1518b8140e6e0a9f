"""Knowledge distillation by singular value decomposition (Lee, Kim and Song, ECCV 2018, arXiv 1807.06819)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.checks import UsageError, require_counts, require_same_rows
from wcord.losses.maps import require_lists, require_map
from wcord.numerics import autocast_off, full_precision

SPARE = 3
"""Singular vectors of the student beyond k, among which the teacher's find their counterparts."""
MIN_LENGTH = 1e-3
"""Least Frobenius norm that a student's map is divided by: bounds the gradient where a map is zero."""
GAP_EPS = 1e-10
"""Added to the squared gap of two eigenvalues, of sum 1: bounds the inverse gap by 50 000."""


def kdsvd_loss(student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor], *, k: int = 1) -> Tensor:
    r"""Return how far the networks differ in the way their maps' leading singular vectors change from map to map.

    1/B Σ_l Σ_i Σ_n Σ_cc' ( r(v^s_l, v^s_{l+1}) − r(v^t_l, v^t_{l+1}) )²,  r(a, b) = exp( −(b_c − a_c')² / 8 )

    where, for sample i and map l, the map is taken as a matrix H·W×C; v^t is its n-th right singular vector (n ≤ `k`)
    in the teacher, and v^s the one of the student's first k + 3 that is most parallel to it, with its sign. Both are
    scaled by the teacher's singular value, the first k of them being brought to unit length. Heights and widths may
    differ; channels may not, since the vectors of both networks live there.

    This is the form of the public CRD benchmark's code, which gives it no weight (mdistiller's is 1); the authors' code
    has √k/2 times the sum, not divided by B, and clips its gradient to the norm of cross-entropy's. Where we differ:
    the sign of a teacher's vector, which the value depends on, is there as the linear algebra library leaves it; here
    the vector's largest element is positive. After a ReLU and for k = 1, that is the same value wherever the library
    gives the maps' first vectors one common sign, as LAPACK did where H·W ≥ C. Of several vectors of the student that
    are equally parallel, the code adds all; here it is the first.

    The gradient of a singular vector holds 1/(λ_m − λ_n), λ the squared singular values, which is infinite where two
    are equal. Here λ is scaled to sum 1, and the inverse gap g⁻¹ is taken as g/(g² + 1e-10): exact for separate values,
    and 0 for equal ones, where the vectors are not defined. There is no second derivative.

    The teacher is detached.

    Args:
        student_maps: maps from input to output, B×C_l×H_l×W_l, two or more.
        teacher_maps: the teacher's, as many, each with the student's channels.
        k: singular vectors compared, at most the smaller of C and H·W in each map.

    Returns:
        A scalar in at least single precision.

    Raises:
        UsageError: on other numbers of maps, samples or channels, a k that the maps do not have, NaN or infinity.

    Example:
        >>> import torch
        >>> student = [torch.ones(1, 2, 2, 2), torch.ones(1, 2, 1, 1)]
        >>> teacher = [torch.ones(1, 2, 2, 2), torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1)]
        >>> kdsvd_loss(student, student), kdsvd_loss(student, teacher)
        (tensor(0.), tensor(0.0076))
    """
    _require_sequences(student_maps, teacher_maps, k)
    with autocast_off(student_maps[0]):
        vectors = [_aligned(s, t.detach(), k) for s, t in zip(student_maps, teacher_maps, strict=True)]
        changes = (
            (_rbf(student, next_student) - _rbf(teacher, next_teacher)).square().sum()
            for (student, teacher), (next_student, next_teacher) in pairwise(vectors)
        )
        return torch.stack(list(changes)).sum() / len(student_maps[0])


def _require_sequences(student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor], k: int) -> None:
    require_counts(k=k)
    require_lists(student_maps, teacher_maps)
    if len(student_maps) != len(teacher_maps) or len(student_maps) < 2:
        raise UsageError(
            "kdsvd compares the change from map to map: give two or more maps of each network and as many of both, "
            f"received {len(student_maps)} and {len(teacher_maps)}"
        )
    for number, (student, teacher) in enumerate(zip(student_maps, teacher_maps, strict=True)):
        names = f"student_maps[{number}]", f"teacher_maps[{number}]"
        for name, side in zip(names, (student, teacher), strict=True):
            require_map(name, side)
            require_same_rows("student_maps[0]", student_maps[0], name, side)
        if student.shape[1] != teacher.shape[1]:
            raise UsageError(
                f"kdsvd compares channel by channel, {names[0]} has {student.shape[1]} channels and {names[1]} has "
                f"{teacher.shape[1]}: use networks of one width, or a method such as 'at' or 'nst'"
            )
        most = min(teacher.shape[1], teacher[0, 0].numel())
        if k > most:
            raise UsageError(f"k must be at most {most}, the rank that {names[1]} can have, received {k}")


def _aligned(student_map: Tensor, teacher_map: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the student's and the teacher's vectors, B×C×k, in the same order, with signs, scaled."""
    student = _singular_vectors(full_precision(student_map), k + SPARE)[1]
    values, teacher = (x.to(student.dtype) for x in _singular_vectors(full_precision(teacher_map), k))
    teacher = teacher * teacher.gather(1, teacher.abs().argmax(dim=1, keepdim=True)).sign()
    cosines = student.transpose(1, 2) @ teacher
    nearest = cosines.abs().argmax(dim=1, keepdim=True)
    student = student.gather(2, nearest.expand(-1, student.shape[1], -1)) * cosines.gather(1, nearest).sign()
    scale = F.normalize(values, dim=1).unsqueeze(1)
    return student * scale, teacher * scale


def _singular_vectors(feature_map: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the leading singular values, B×count, and right vectors, B×C×count, the latter with a guarded gradient."""
    x = feature_map.flatten(2).transpose(1, 2)
    x = x / torch.linalg.matrix_norm(x.detach(), keepdim=True).clamp_min(MIN_LENGTH)
    _, values, rows = torch.linalg.svd(x.detach(), full_matrices=False)
    every = rows.transpose(1, 2)
    leading = every[..., :count]
    # First-order perturbation of the eigenvectors of M = xᵀx: `change` is dM·v, 0 in value, and carries the gradient.
    change = x.transpose(1, 2) @ (x @ leading)
    change = change - change.detach()
    eigenvalues = values.square()
    gap = eigenvalues[:, None, :count] - eigenvalues[:, :, None]
    along = every.transpose(1, 2) @ change
    turned = every @ (_inverse(gap) * along) + (change - every @ along) * _inverse(eigenvalues[:, None, :count])
    return values[:, :count], leading + turned


def _inverse(gap: Tensor) -> Tensor:
    return gap / (gap.square() + GAP_EPS)


def _rbf(a: Tensor, b: Tensor) -> Tensor:
    """Return exp(−(b_c − a_c')²/8) for all pairs of channels, B×C_b×C_a×k."""
    return torch.exp(-(b.unsqueeze(2) - a.unsqueeze(1)).square() / 8)
