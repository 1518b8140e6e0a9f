"""Wasserstein distances between predictions and between maps (Lv, Yang and Li, NeurIPS 2024, arXiv 2412.08139)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.checks import UsageError, require_choice, require_finite, require_matrix, require_number, require_positive
from wcord.host import may_read
from wcord.losses.logits import is_class, require_classes, require_logits
from wcord.losses.maps import require_maps
from wcord.numerics import autocast_off, full_precision
from wcord.transport import shared_cost_transport

SIMILARITIES = ("cosine", "cka")


def classifier_cost(weight: Tensor, *, similarity: str = "cosine", sharpness: float = 1.0) -> Tensor:
    r"""Return what it costs to mistake a class for another, from the rows of a classifier.

    C_cd = 1 − exp( −κ (1 − r(w_c, w_d)) )

    with w `weight` (one row a class), κ `sharpness` and r the similarity of two rows: their cosine, or with "cka"
    linear centered kernel alignment across their entries, which for single vectors is the square of their correlation.
    The cost is symmetric, lies in [0, 1) and is 0 of a class to itself.

    The paper's cost comes from CKA between the features (in the authors' code, the logits) of all training images of
    two classes, which no network holds; give your own to `wkd_logit_loss` to use it. What the authors' code takes from
    the classifier is the cosine (their option `fc`), hence the default here. The square of the correlation forgets its
    sign: opposite rows count as alike. Over the classes of a CIFAR-100 resnet56 the cosine agrees with how often the
    teacher confuses them (correlation 0.88 with the logarithm), "cka" hardly does (0.07).

    Args:
        weight: w, C×D.
        similarity: "cosine" or "cka".
        sharpness: κ, above 0; 1 in the authors' configurations, 2 for ImageNet's ResNet50 → MobileNet.

    Returns:
        C×C in at least single precision, without a gradient.

    Raises:
        UsageError: on an unknown similarity, NaN or infinity.

    Example:
        >>> classifier_cost(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
        tensor([[0.0000, 0.6321, 0.8647],
                [0.6321, 0.0000, 0.6321],
                [0.8647, 0.6321, 0.0000]])
    """
    require_matrix("weight", weight)
    require_finite("weight", weight)
    require_choice("similarity", similarity, SIMILARITIES)
    require_positive("sharpness", sharpness)
    with torch.no_grad(), autocast_off(weight):
        rows = full_precision(weight)
        if similarity == "cka":
            rows = rows - rows.mean(dim=1, keepdim=True)
        unit = F.normalize(rows, dim=1)
        alike = unit @ unit.T
        if similarity == "cka":
            alike = alike.square()
        cost = -torch.expm1(-sharpness * (1 - alike).clamp_min(0))
        return cost.fill_diagonal_(0)


def wkd_logit_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    class_cost: Tensor,
    target: Tensor | None = None,
    *,
    transport_weight: float = 600.0,
    temperature: float = 8.0,
    epsilon: float = 0.05,
    iterations: int = 10,
) -> Tensor:
    r"""Return WKD-L: what it costs to carry the student's predictions onto the teacher's, over classes that are near.

    1/B Σ_i ( −p_iy^t log p_iy^s + λ Σ_cd P^i_cd C_cd ),  p = softmax(x)
    P^i the entropic plan from q_i^s to q_i^t,  q = softmax(x / T) over the classes other than y

    with x `student_logits` or `teacher_logits` (B×C), y `target`, C `class_cost`, λ `transport_weight` and T
    `temperature`; ε `epsilon` and `iterations` are those of `transport.shared_cost_transport`. Without a target the
    first part is left out, and the plan is between the softened predictions over all classes.

    λ and T are those of the authors' configuration for resnet32x4 → resnet8x4 on CIFAR-100; wrn_40_2 → ShuffleV1 has
    200 and 6, ImageNet 30 (ResNet34 → 18) or 25 (ResNet50 → MobileNet) and 2. In all of them ε = 0.05 and 10
    iterations. Their trainer lets λ fall to 0 along a cosine: on CIFAR-100 from epoch 150 of 240 on, on ImageNet from
    the start. That is the method's part, not the loss's.

    Where we differ from the authors' code: the cost is not copied for each sample, the true class is taken out by a
    weight of zero; and the gradient does not unroll the iteration, but is the plan's dual potential, exact for the
    entropic value Σ P C + ε KL once converged (see `shared_cost_transport`). Converged, the value is the same, and the
    gradient points the same way (cosine 0.95 to 0.97 between resnet56 and resnet20 on CIFAR-100) at 0.6 to 0.8 of the
    length. 10 iterations are few: at T = 8 two fifths of the cost are then missing in both, and the gradients have a
    cosine of 0.93. Both gradients still fall to zero together with the difference of the networks.

    The teacher is detached. As in `transport_loss`, a second derivative is refused.

    Args:
        student_logits: B×C.
        teacher_logits: B×C.
        class_cost: C×C between 0 and 1, such as `classifier_cost`'s; a constant.
        target: classes, B.
        transport_weight: λ, not negative.
        temperature: T, above 0.
        epsilon: ε, in units of the cost.
        iterations: of Sinkhorn's scaling.

    Returns:
        A scalar, in at least single precision.

    Raises:
        UsageError: if the networks have other numbers of classes, on shapes or classes that do not fit, on a cost
            outside [0, 1], NaN or infinity (values are checked on the CPU), or settings out of range.
        TypeError: if the target does not hold whole numbers.

    Example:
        >>> cost = torch.tensor([[0.0, 0.1, 0.9], [0.1, 0.0, 0.9], [0.9, 0.9, 0.0]])
        >>> teacher = torch.tensor([[9.0, 0.0, 0.0]])
        >>> for student in torch.tensor([[[0.0, 9.0, 0.0]], [[0.0, 0.0, 9.0]]]):
        ...     print(wkd_logit_loss(student, teacher, cost, transport_weight=1.0, temperature=1.0).round(decimals=3))
        tensor(0.1000)
        tensor(0.9000)
    """
    require_logits("wkd-l", student_logits, teacher_logits)
    _require_class_cost(class_cost, student_logits.shape[1])
    if target is not None:
        require_classes(target, student_logits)
    require_positive("temperature", temperature)
    require_number("transport_weight", transport_weight, low=0)
    with autocast_off(student_logits):
        student, teacher = full_precision(student_logits), full_precision(teacher_logits.detach())
        total = student.new_zeros(())
        if target is not None:
            total = _confident_cross_entropy(student, teacher, target.long())
            own = is_class(target, student.shape[1])
            student, teacher = (logits.masked_fill(own, -torch.inf) for logits in (student, teacher))
        if transport_weight == 0:
            return total
        a, b = (torch.softmax(logits / temperature, dim=1) for logits in (student, teacher))
        plan = shared_cost_transport(a, b, class_cost, epsilon=epsilon, iterations=iterations, largest=1.0)
        return total + transport_weight * plan.cost.mean()


def _confident_cross_entropy(student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
    """Return the cross-entropy with the target class, weighed by the teacher's probability of it."""
    confidence = teacher.softmax(dim=1).gather(1, target[:, None])
    return -(confidence * student.log_softmax(dim=1).gather(1, target[:, None])).mean()


def _require_class_cost(class_cost: Tensor, classes: int) -> None:
    require_matrix("class_cost", class_cost)
    if class_cost.shape != (classes, classes):
        raise UsageError(
            f"class_cost must hold a cost for each pair of the {classes} classes, received {tuple(class_cost.shape)}"
        )
    require_finite("class_cost", class_cost)
    if may_read(class_cost):
        low, high = (float(end) for end in torch.aminmax(class_cost.detach()))
        if not 0 <= low <= high <= 1:
            raise UsageError(
                f"class_cost must lie between 0 and 1, received {low:g} to {high:g}: divide it by its largest entry"
            )


def wkd_feature_loss(
    student_map: Tensor, teacher_map: Tensor, *, mean_weight: float = 4.0, grid: int = 1, eps: float = 1e-5
) -> Tensor:
    r"""Return WKD-F: the Wasserstein distance between Gaussians of the features at all positions of a map.

    1/(B g²) Σ_i Σ_cells Σ_c ( ρ (μ^s_c − μ^t_c)² + (σ^s_c − σ^t_c)² ),  σ² = var + eps

    with μ and var the mean and the (unbiased) variance of channel c of `student_map` or `teacher_map` over the
    positions of a cell of the g×g grid (`grid`; 1: the whole map), and ρ `mean_weight`. With ρ = 1 it is the squared
    2-Wasserstein distance of Gaussians with diagonal covariance. The student's map is the output of a projector that
    brings it to the teacher's channels; the projector belongs to the method. The maps may differ in height and width:
    each is cut into its own cells, as adaptive pooling does. A cell of one position has the variance 0 (NaN in the
    authors' code).

    ρ = 4, one cell and a weight of 0.08 are those of the authors' configuration for resnet32x4 → resnet8x4 on
    CIFAR-100; wrn_40_2 → ShuffleV1 has 3, a grid of 4 and 0.3, ImageNet (ResNet34 → 18) 2, 4 and 0.02.

    The teacher is detached.

    Args:
        student_map: B×C×H×W.
        teacher_map: B×C×H'×W'.
        mean_weight: ρ.
        grid: g, no larger than a map.
        eps: added to the variance.

    Returns:
        A scalar, in at least single precision.

    Raises:
        UsageError: if the maps have other channels or samples, are smaller than the grid, or hold NaN or infinity.

    Example:
        >>> wkd_feature_loss(torch.zeros(2, 3, 4, 4), torch.full((2, 3, 2, 2), 0.5))  # 3 channels · 4 · 0.5²
        tensor(3.)
    """
    require_maps(student_map, teacher_map)
    require_positive("eps", eps)
    require_number("mean_weight", mean_weight, low=0)
    if student_map.shape[1] != teacher_map.shape[1]:
        raise UsageError(
            f"wkd-f compares channel by channel, received a student of {student_map.shape[1]} channels and a teacher "
            f"of {teacher_map.shape[1]}: bring the student's map to the teacher's channels with a projector, as the "
            "method 'wkd-f' does"
        )
    sides = (*student_map.shape[2:], *teacher_map.shape[2:])
    require_number("grid", grid, low=1, whole=True)
    if grid > min(sides):
        raise UsageError(f"grid must be at most the smallest side of the maps ({min(sides)}), received {grid}")
    with autocast_off(student_map):
        student = full_precision(student_map)
        teacher = full_precision(teacher_map.detach()).to(student.dtype)
        total = student.new_zeros(())
        for student_cell, teacher_cell in zip(_cells(student, grid), _cells(teacher, grid), strict=True):
            mean = (student_cell.mean(dim=(2, 3)) - teacher_cell.mean(dim=(2, 3))).square().sum()
            spread = (_spread(student_cell, eps) - _spread(teacher_cell, eps)).square().sum()
            total = total + mean_weight * mean + spread
        return total / (len(student) * grid**2)


def _cells(feature_map: Tensor, grid: int) -> list[Tensor]:
    """Cut B×C×H×W into the cells of adaptive pooling to grid×grid, row by row."""
    rows, columns = (
        [slice(k * side // grid, -(-(k + 1) * side // grid)) for k in range(grid)] for side in feature_map.shape[2:]
    )
    return [feature_map[:, :, row, column] for row in rows for column in columns]


def _spread(cell: Tensor, eps: float) -> Tensor:
    """Return the standard deviation over the positions of a cell, B×C; of one position, that of a constant."""
    correction = min(1, cell.shape[2] * cell.shape[3] - 1)
    return (cell.var(dim=(2, 3), correction=correction) + eps).sqrt()
