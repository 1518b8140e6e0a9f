"""Relational knowledge distillation (Park, Kim, Lu and Cho, CVPR 2019, arXiv 1904.05068)."""

import torch.nn.functional as F
from torch import Tensor

from wcord.checks import require_number
from wcord.losses.embeddings import require_embeddings
from wcord.numerics import autocast_off, full_precision

MIN_DISTANCE = 1e-6
"""Least distance of two samples, as in the public code; nearer ones have no gradient through their distance."""
MIN_LENGTH = 1e-3
"""Least length that a difference is divided by: bounds the gradient of the angles at two equal samples by 1000."""


def rkd_loss(
    student_embedding: Tensor, teacher_embedding: Tensor, *, distance_weight: float = 25.0, angle_weight: float = 50.0
) -> Tensor:
    r"""Return how far the distances and angles among the batch's samples differ between the two networks.

    w_D / B² Σ_ij h( δ_ij(s) − δ_ij(t) ) + w_A / B³ Σ_ijk h( a_ijk(s) − a_ijk(t) )

    δ_ij(x) = ‖x_j − x_i‖ over its mean for i ≠ j;  a_ijk(x) = cos of the angle at x_i between x_j and x_k;
    h(d) = d²/2 where |d| < 1, else |d| − 1/2

    with s `student_embedding` and t `teacher_embedding` (B×D, own widths), w_D `distance_weight`, w_A `angle_weight`.
    With two samples it is 0: there is one distance and no angle. Time and memory grow as B²·D + B³.

    The paper sums over pairs and triples of different samples; this is the form of the authors' code,
    which the public CRD benchmark has taken over with weight 1: the mean over all B² and B³, the zeros of equal indices
    included. Where we differ: distances come from differences, not from inner products, which loses no digits for near
    samples; a difference shorter than 1e-3 is divided by 1e-3 (1e-12 there), so that equal samples have bounded
    gradients.

    The teacher is detached.

    Args:
        student_embedding: s.
        teacher_embedding: t.
        distance_weight: w_D, not negative.
        angle_weight: w_A, not negative.

    Returns:
        A scalar in at least single precision.

    Raises:
        UsageError: if these are not the same two or more samples, on a negative weight, NaN or infinity.

    Example:
        >>> import torch
        >>> corner = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> rkd_loss(corner, 4 * corner), rkd_loss(corner, torch.tensor([[0.0], [1.0], [2.0]]))
        (tensor(0.), tensor(8.2740))
    """
    require_embeddings(student_embedding, teacher_embedding, min_rows=2)
    for name, weight in (("distance_weight", distance_weight), ("angle_weight", angle_weight)):
        require_number(name, weight, low=0)
    with autocast_off(student_embedding):
        distances, angles = _relations(full_precision(student_embedding))
        teacher_distances, teacher_angles = _relations(full_precision(teacher_embedding.detach()))
        distance = F.smooth_l1_loss(distances, teacher_distances.to(distances.dtype))
        angle = F.smooth_l1_loss(angles, teacher_angles.to(angles.dtype))
        return distance_weight * distance + angle_weight * angle


def _relations(embedding: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean-normalized distances, B×B, and the cosines of the angles at each sample, B×B×B."""
    batch = len(embedding)
    differences = embedding.unsqueeze(0) - embedding.unsqueeze(1)
    distances = differences.square().sum(dim=2).clamp_min(MIN_DISTANCE**2).sqrt()
    distances = distances - distances.diag().diag_embed()
    directions = F.normalize(differences, dim=2, eps=MIN_LENGTH)
    mean = distances.sum() / (batch * (batch - 1))
    return distances / mean, directions @ directions.transpose(1, 2)
