"""How much a student's embeddings tell about its teacher's, on samples that neither was trained on."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.evaluation.accuracy import Predictions
from wcord.methods.term import Objective
from wcord.models.network import evaluating

FEWEST = 32
"""Samples of a half from which a mapping is worth fitting, and a bound worth measuring."""
BATCH = 2048
"""Samples that are told apart at a time: the bound cannot say more than log B, 7.6 nats."""
TEMPERATURES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)


def map_to_teacher(student: Tensor, teacher: Tensor, *, fitted: Tensor, measured: Tensor) -> tuple[Tensor, Tensor]:
    """Return embeddings of both networks in the teacher's space: the student's mapped there by ridge regression.

    W = argmin ‖X W − Y‖² + λ ‖W‖², λ a hundredth of the mean sum of squares of the student's columns, on centered
    embeddings X (N×D) and Y (N×D'). The two spaces have different axes, and not every method learns a map between them.
    What is returned was not fitted on.

    Args:
        student: embeddings X of all samples.
        teacher: embeddings Y of the same samples.
        fitted: rows that W is fitted on.
        measured: rows that are returned, others than those.

    Returns:
        X W and Y of the rows `measured`, float64.
    """
    x, y = student.double(), teacher.double()
    x, y = x - x[fitted].mean(dim=0), y - y[fitted].mean(dim=0)
    gram = x[fitted].T @ x[fitted]
    ridge = 1e-2 * gram.diagonal().mean().clamp_min(1e-12) * torch.eye(x.shape[1], dtype=torch.float64)
    return x[measured] @ torch.linalg.solve(gram + ridge, x[fitted].T @ y[fitted]), y[measured]


def information_bound(x: Tensor, y: Tensor) -> float:
    """Return a lower bound of the mutual information between two representations of the same samples, in nats.

    InfoNCE (van den Oord et al. 2018): I ≥ log B − mean over i of −log softmax_j(⟨x_i, y_j⟩ / τ)_i over batches of
    B ≤ 2048 samples, at most log B. Any score gives a bound, here the inner product, with the best τ of a grid of eight
    chosen on the first half of the samples and the bound measured on the second. With the images of a critic it is
    that critic's bound.

    Args:
        x: N×D.
        y: N×D, of the same samples in the same space, in an order that does not sort them by class.
    """
    half = len(x) // 2
    best = min(TEMPERATURES, key=lambda temperature: _contrast(x[:half], y[:half], temperature))
    batch = min(BATCH, len(x) - half)
    return max(0.0, math.log(batch) - _contrast(x[half:], y[half:], best))


def critic_information(objective: Objective, student: Predictions, teacher: Predictions) -> float | None:
    """Return the `information_bound` of the critic that a method has trained, on samples that it was not trained on.

    Comparable between methods only with care: another critic may find more in the same embeddings.

    Args:
        objective: the method after training; its state stays as it is.
        student: what the student says of the samples.
        teacher: what the teacher says of the same samples.

    Returns:
        The bound in nats; None where the method has no critic, or with fewer than 64 samples.
    """
    device = next((p.device for p in objective.parameters()), torch.device("cpu"))
    order = torch.cat(halves(len(student)))
    with evaluating(objective):
        images = objective.embed(student.embeddings[order].to(device), teacher.embeddings[order].to(device))
    if images is None or len(student) < 2 * FEWEST:
        return None
    return information_bound(images[0].double().cpu(), images[1].double().cpu())


def halves(count: int) -> tuple[Tensor, Tensor]:
    """Return a fixed random half of the rows, and the other half: test sets come sorted by class."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    return order[: count // 2], order[count // 2 :]


def _contrast(x: Tensor, y: Tensor, temperature: float) -> float:
    """Return the mean InfoNCE loss over whole batches."""
    batch = min(BATCH, len(x))
    losses = [
        F.cross_entropy(x[i : i + batch] @ y[i : i + batch].T / temperature, torch.arange(batch))
        for i in range(0, len(x) - batch + 1, batch)
    ]
    return float(torch.stack(losses).mean())
