"""Inter-channel correlation (Liu, Huang, Lin, Xie, Wang, Chang and Liang, ICCV 2021, arXiv 2202.03680)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from wcord.checks import DoesNotFitError, UsageError, require_bool, require_kind, require_number
from wcord.losses.maps import require_maps
from wcord.numerics import BLOCK_ENTRIES, autocast_off, full_precision, unit_rows

ROW_EPS = 1e-8
"""Added to the squared length of a row of products: bounds the gradient at a channel that is zero."""


def ickd_loss(student_map: Tensor, teacher_map: Tensor, *, cells: Sequence[int] = (1, 1), rows: bool = True) -> Tensor:
    r"""Return how far the products between the channels of a map differ between the two networks.

    1/(B n m C) Σ_i Σ_cells Σ_c ‖ ĝ_c(s_i) − ĝ_c(t_i) ‖²,  ĝ_c(x) = row c of G(x) at unit length,  G(x) = x xᵀ

    with s `student_map` and t `teacher_map` of sample i, a channel a row of x, C×hw. The student's map is the output
    of an embedding that brings it to the teacher's channels; the embedding belongs to the method. A squared distance
    of two unit rows is 2 − 2 cos, so the loss lies between 0 and 4 and depends neither on the scale of the maps nor
    on their sizes, which may differ.

    `cells` = (n, m) cuts both maps into n×m cells, with a G each, which keeps where two channels are active together:
    ICKD-S, the paper's form for segmentation. With (1, 1) it is ICKD-C. With `rows` the value is that of the authors'
    code, which weighs it 2.5 on CIFAR-100. Without, it is the paper's, 1/(B n m C²) Σ ‖ G(s_i) − G(t_i) ‖²_F, whose
    scale grows with the square of the positions and the fourth power of the features.

    Where we differ from the code: 1e-8 is added to the squared length of a row, so that a channel that is zero has a
    bounded gradient. Its unit row is zero: where the teacher's is, the student's row costs 1, whatever it is. Large
    batches are computed in parts, again in the backward pass, to keep few products at a time.

    The teacher is detached.

    Args:
        student_map: s, embedded, B×C×h×w.
        teacher_map: t, B×C×H×W; of the student's size where there are several cells.
        cells: n and m, divisors of the height and the width.
        rows: compare rows of unit length.

    Returns:
        A scalar in at least single precision.

    Raises:
        UsageError: if the maps have other channels or samples, on NaN or infinity.
        DoesNotFitError: if there are several cells and the maps differ in size or do not divide into them.

    Example:
        >>> student = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).reshape(1, 2, 1, 2)  # two channels, never together
        >>> ickd_loss(student, torch.ones(1, 2, 1, 2)).round(decimals=4)  # 2 − 2 cos 45°
        tensor(0.5858)
        >>> ickd_loss(student, torch.ones(1, 2, 3, 3), rows=False)  # G(s) is the identity, G(t) 9 everywhere
        tensor(72.5000)
    """
    require_maps(student_map, teacher_map)
    if student_map.shape[1] != teacher_map.shape[1]:
        raise UsageError(
            f"ickd compares channel by channel, received a student of {student_map.shape[1]} channels and a teacher "
            f"of {teacher_map.shape[1]}: bring the student's map to the teacher's channels with a 1×1 convolution, as "
            "the method 'ickd' does"
        )
    require_bool("rows", rows)
    require_cells(cells, student_map.shape[2:], teacher_map.shape[2:])
    with autocast_off(student_map):
        student = _cells(full_precision(student_map), cells)
        teacher = _cells(full_precision(teacher_map.detach()), cells).to(student.dtype)
        count, channels = student.shape[:2]
        return _in_parts(student, teacher, rows) / (count * channels * (1 if rows else channels))


def require_cells(cells: object, student_size: Sequence[int], teacher_size: Sequence[int]) -> None:
    """Raise unless `cells` is a number of rows and of columns into which maps of both sizes (h, w) can be cut.

    >>> require_cells((2, 2), (4, 4), (8, 8))
    Traceback (most recent call last):
        ...
    wcord.checks.DoesNotFitError: ickd cuts both maps into 2×2 cells, which needs one size, received 4×4 and 8×8: ...
    """
    require_kind("cells", cells, (tuple, list), "two whole numbers, such as (2, 2)")
    assert isinstance(cells, tuple | list)
    if len(cells) != 2:
        raise UsageError(f"cells must be two whole numbers, such as (2, 2), received {len(cells)}")
    for place, number in enumerate(cells):
        require_number(f"cells[{place}]", number, low=1, whole=True)
    if tuple(cells) == (1, 1):
        return
    what = f"ickd cuts both maps into {cells[0]}×{cells[1]} cells"
    mend = "leave out cells, or compare other maps"
    (height, width), other = student_size, tuple(teacher_size)
    if (height, width) != other:
        raise DoesNotFitError(f"{what}, which needs one size, received {height}×{width} and {_size(other)}: {mend}")
    if height % cells[0] or width % cells[1]:
        raise DoesNotFitError(f"{what}, which do not divide maps of {height}×{width}: {mend}")


def _size(size: Sequence[int]) -> str:
    return "×".join(map(str, size))


def _cells(feature_map: Tensor, cells: Sequence[int]) -> Tensor:
    """Return the cells of a map B×C×h×w as maps of their own, Bnm×C×(positions of a cell)."""
    if tuple(cells) == (1, 1):
        return feature_map.flatten(2)
    batch, channels, height, width = feature_map.shape
    n, m = cells
    cut = feature_map.reshape(batch, channels, n, height // n, m, width // m)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(batch * n * m, channels, -1)


def _in_parts(student: Tensor, teacher: Tensor, rows: bool) -> Tensor:
    """Return the sum of the squared differences of all products, some samples at a time."""
    samples = max(1, BLOCK_ENTRIES // student.shape[1] ** 2)
    if len(student) <= samples:
        return _squared_difference(student, teacher, rows)
    total = student.new_zeros(())
    for one, other in zip(student.split(samples), teacher.split(samples), strict=True):
        part = checkpoint(_squared_difference, one, other, rows, use_reentrant=False, preserve_rng_state=False)
        assert isinstance(part, Tensor)
        total = total + part
    return total


def _squared_difference(student: Tensor, teacher: Tensor, rows: bool) -> Tensor:
    student, teacher = (torch.bmm(x, x.transpose(1, 2)) for x in (student, teacher))
    if rows:
        student, teacher = (unit_rows(x, eps=ROW_EPS) for x in (student, teacher))
    return (student - teacher).square().sum()
