"""Mutual information between the embeddings of student and teacher, on samples that neither was trained on."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.evaluation.accuracy import Predictions
from wcord.methods.objective import Objective
from wcord.models.network import evaluating

FEWEST = 32
"""Fewest samples of a half to fit a mapping or measure a bound."""
BATCH = 2048
"""Samples that are contrasted at a time; the bound is at most log B, 7.6 nats."""
TEMPERATURES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)


def map_to_teacher(student: Tensor, teacher: Tensor, *, fitted: Tensor, measured: Tensor) -> tuple[Tensor, Tensor]:
    """Return embeddings of both networks in the teacher's space: the student's mapped there by ridge regression.

    W = argmin ‖X W − Y‖² + λ ‖W‖², λ a hundredth of the mean sum of squares of the student's columns, on centered
    embeddings X (N×D) and Y (N×D'). The two spaces have different axes, and not every method learns a map between them.

    Args:
        student: embeddings X of all samples.
        teacher: embeddings Y of the same samples.
        fitted: rows that W is fitted on.
        measured: rows that are returned, not among `fitted`.

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
    chosen on the first half of the samples and the bound measured on the second. For the projections of a
    critic it is the bound of that critic.

    Args:
        x: N×D.
        y: N×D, of the same samples in the same space, not sorted by class.
    """
    half = len(x) // 2
    best = min(TEMPERATURES, key=lambda temperature: _contrast(x[:half], y[:half], temperature))
    batch = min(BATCH, len(x) - half)
    return max(0.0, math.log(batch) - _contrast(x[half:], y[half:], best))


def critic_information(objective: Objective, student: Predictions, teacher: Predictions) -> float | None:
    """Return the `information_bound` of a method's critic, on samples that it was not trained on.

    Comparable between methods only with care: a different critic may extract more from the same embeddings.

    Args:
        objective: the method after training; not modified.
        student: predictions of the student.
        teacher: predictions of the teacher for the same samples.

    Returns:
        The bound in nats; None if the method has no critic, or for fewer than 64 samples.
    """
    device = next((p.device for p in objective.parameters()), torch.device("cpu"))
    order = torch.cat(halves(len(student)))
    with evaluating(objective):
        projections = objective.embed(student.embeddings[order].to(device), teacher.embeddings[order].to(device))
    if projections is None or len(student) < 2 * FEWEST:
        return None
    return information_bound(projections[0].double().cpu(), projections[1].double().cpu())


def halves(count: int) -> tuple[Tensor, Tensor]:
    """Return a fixed random half of the rows, and the other half, because test sets are often sorted by class."""
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
