"""Agreement of a student with its teacher: predictions, class correlations and embeddings."""

import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.checks import UsageError, require_matrix, require_same_rows
from wcord.evaluation.accuracy import Predictions
from wcord.evaluation.information import FEWEST, halves, information_bound, map_to_teacher
from wcord.numerics import evenly_spaced, row_blocks
from wcord.transport import cosine_cost, sinkhorn

TRANSPORTED = 256
"""Most samples that are transported."""
EPSILON = 0.05
"""Regularization of the transport, as in the local contrastive term."""
ITERATIONS = 200
CORRELATED = 1000
"""Most classes whose correlations are compared; of more, this many evenly spaced ones."""


def agreement(student: Predictions, teacher: Predictions, *, same_labels: bool = True) -> dict[str, float]:
    """Return every measure of agreement that applies to the two networks.

    `agreement` is the share of samples with the same top-1 class, in percent; `fidelity_kl` the mean
    KL(teacher‖student) of the class probabilities at temperature 1, in nats; `correlation_gap` the mean absolute entry
    of `class_correlation_difference`; `cka` the linear CKA of the embeddings, in [0, 1]. For networks
    with different classes (by number, or not `same_labels`), only the measures of embeddings are returned.

    A single sample has neither correlations nor `cka`. From 64 samples on, with the student's embeddings mapped into
    the teacher's space on one half of the samples (`map_to_teacher`) and compared by their cosine on the other:
    `information_nats`, see `information_bound`, and `transport_cost`, the cost of the entropic transport between at
    most 256 samples of both. For identical embeddings it is near 0 but positive, because the regularization blurs the
    plan (0.02 in 2 dimensions, 0.0001 in 64).

    Raises:
        UsageError: if the two have different numbers of samples.

    >>> same = Predictions(torch.eye(3), torch.arange(3), torch.eye(3))
    >>> {name: round(value, 3) for name, value in agreement(same, same).items()}
    {'agreement': 100.0, 'fidelity_kl': 0.0, 'correlation_gap': 0.0, 'cka': 1.0}
    """
    require_same_rows("the student's predictions", student.logits, "the teacher's predictions", teacher.logits)
    measures: dict[str, float] = {}
    if same_labels and student.num_classes == teacher.num_classes:
        measures["agreement"] = 100.0 * float((student.top1 == teacher.top1).double().mean())
        measures["fidelity_kl"] = max(_divergence(student.logits, teacher.logits), 0.0)
        if len(student) > 1:
            measures["correlation_gap"] = float(class_correlation_difference(student, teacher).abs().mean())
    if len(student) > 1:
        measures["cka"] = linear_cka(student.embeddings, teacher.embeddings)
    if len(student) >= 2 * FEWEST:
        fitted, measured = halves(len(student))
        mapped, expected = map_to_teacher(student.embeddings, teacher.embeddings, fitted=fitted, measured=measured)
        measures["information_nats"] = information_bound(F.normalize(mapped, dim=1), F.normalize(expected, dim=1))
        cost = cosine_cost(mapped[:TRANSPORTED], expected[:TRANSPORTED])
        measures["transport_cost"] = float(sinkhorn(cost, epsilon=EPSILON, iterations=ITERATIONS).cost)
    return measures


def _divergence(student: Tensor, teacher: Tensor) -> float:
    """Return the mean KL(teacher‖student) of the class probabilities, in nats."""
    total = sum(
        float(F.kl_div(ours.double().log_softmax(1), other.double().log_softmax(1), reduction="sum", log_target=True))
        for ours, other in row_blocks(student, teacher)
    )
    return total / len(student)


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Return the linear centered kernel alignment of two representations of the same samples.

    |Yᵀ X|²_F / (|Xᵀ X|_F |Yᵀ Y|_F) with the columns of X (N×D₁) and Y (N×D₂) centered: 1 for representations that are
    equal up to rotation and scale, near 0 for unrelated ones (Kornblith et al., ICML 2019, equation 1 with the linear
    kernel). Computed in float64; the N×N Gram matrices are used where there are fewer samples than columns. 0 if one
    of the two is constant and the ratio undefined.

    Raises:
        UsageError: if the inputs are not matrices with the same number of rows, at least two.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0]])
    >>> round(linear_cka(x, x @ torch.tensor([[0.0, 5.0], [-5.0, 0.0]])), 6)
    1.0
    """
    require_matrix("x", x, min_rows=2)
    require_matrix("y", y, min_rows=2)
    require_same_rows("x", x, "y", y)
    x, y = (z.double() - z.double().mean(dim=0) for z in (x, y))
    if x.shape[0] < max(x.shape[1], y.shape[1]):
        gram_x, gram_y = x @ x.T, y @ y.T
        cross, within = (gram_x * gram_y).sum(), gram_x.norm() * gram_y.norm()
    else:
        cross, within = (y.T @ x).square().sum(), (x.T @ x).norm() * (y.T @ y).norm()
    return float(cross / within) if float(within) > 0 else 0.0


def class_correlation(logits: Tensor) -> Tensor:
    """Return the Pearson correlation of the class logits over the samples, C×C; 0 for a class of constant logit.

    Of more than 1000 classes, 1000 evenly spaced ones are taken, so the result is C×C with C ≤ 1000.

    >>> class_correlation(torch.tensor([[1.0, -1.0, 5.0], [2.0, -2.0, 5.0], [3.0, -3.0, 5.0]])).round().abs()
    tensor([[1., 1., 0.],
            [1., 1., 0.],
            [0., 0., 0.]])
    """
    require_matrix("logits", logits, min_rows=2)
    logits = logits[:, evenly_spaced(logits.shape[1], CORRELATED)].double()
    centered = logits - logits.mean(dim=0)
    spread = centered.norm(dim=0)
    # The norm of a constant column is rounding noise.
    varies = spread > 1e-9 * (1.0 + logits.abs().amax(dim=0)) * logits.shape[0] ** 0.5
    unit = centered * torch.where(varies, 1.0 / spread.clamp_min(1e-300), 0.0)
    return (unit.T @ unit).float()


def class_correlation_difference(student: Predictions, teacher: Predictions) -> Tensor:
    """Return the student's class-to-class logit correlations minus the teacher's, C×C, entries in [-2, 2].

    The classes are those of `class_correlation`.

    This is the figure of the CRD paper (Tian et al., ICLR 2020, figure 2): a student that has learned the
    teacher's similarities of classes has a difference near zero everywhere.

    Raises:
        UsageError: if the two have different numbers of classes or samples.

    >>> p = Predictions(torch.eye(3), torch.arange(3), torch.eye(3))
    >>> float(class_correlation_difference(p, p).abs().max())
    0.0
    """
    require_same_rows("the student's predictions", student.logits, "the teacher's predictions", teacher.logits)
    if student.num_classes != teacher.num_classes:
        raise UsageError(
            f"class correlations need the same classes, received a student with {student.num_classes} and a teacher "
            f"with {teacher.num_classes}: compare networks of one data set"
        )
    return class_correlation(student.logits) - class_correlation(teacher.logits)
