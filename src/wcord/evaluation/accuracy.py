"""What a network predicts on a test set, and how often and how surely it is right."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from wcord.checks import UsageError, require_finite, require_same_rows
from wcord.data.batch import Batch
from wcord.evaluation.several import several_accuracy
from wcord.features import capture
from wcord.models.network import evaluating
from wcord.numerics import row_blocks

CALIBRATION_BINS = 15
"""Bins of the expected calibration error (Guo et al., ICML 2017, section 4)."""


@dataclass(frozen=True)
class Predictions:
    """What one network says about every sample of a test set, in the order of the samples.

    Attributes:
        logits: N×C, float32 on the CPU.
        targets: true class numbers, N, int64 on the CPU; where samples have several labels, N×C of 0 and 1, float32.
        embeddings: input of the classifier head, N×D, float32 on the CPU.
    """

    logits: Tensor
    targets: Tensor
    embeddings: Tensor

    def __len__(self) -> int:
        return self.targets.shape[0]

    @property
    def num_classes(self) -> int:
        """Number of classes that the network tells apart."""
        return self.logits.shape[1]

    @property
    def several_labels(self) -> bool:
        """Whether samples may have several labels."""
        return self.targets.is_floating_point()

    @property
    def top1(self) -> Tensor:
        """Predicted class numbers, N."""
        return self.logits.argmax(dim=1)


def predict(
    network: nn.Module,
    batches: Iterable[Batch],
    *,
    device: torch.device | str = "cpu",
    side: Literal["student", "teacher"] = "student",
) -> Predictions:
    """Run a network over batches in eval mode and keep logits, targets and embeddings.

    Args:
        network: the network, already on `device`; its training mode is restored afterwards.
        batches: batches of a test split, not shuffled.
        device: where the network is.
        side: whether the network sees the student's or the teacher's input.

    Raises:
        UsageError: if there is no batch.
    """
    logits, targets, embeddings = [], [], []
    with evaluating(network), capture(network) as tap:
        for batch in batches:
            moved = batch.to(device)
            features = tap(moved.student_input if side == "student" else moved.teacher_input)
            logits.append(features.logits.detach().float().cpu())
            embeddings.append(features.embedding.detach().flatten(1).float().cpu())
            targets.append(batch.target.cpu())
    if not logits:
        raise UsageError("the evaluation received no batch: the test split is empty; check the data or --holdout")
    return Predictions(torch.cat(logits), torch.cat(targets), torch.cat(embeddings))


def accuracy(predictions: Predictions) -> dict[str, float]:
    """Return top-1, top-5, balanced accuracy, macro-F1, calibration error and negative log-likelihood of predictions.

    In percent: `top1`; `top5`, left out below six classes, where it says nothing; `balanced`, the balanced accuracy,
    which is the mean over the classes among the targets of the share of their samples that are right; `macro_f1`, the
    mean F1 score over the classes among targets or predictions; `commonest`, the share of the commonest class among
    the targets, which naming that class alone reaches as top-1. `ece` is the expected calibration error as a fraction
    in [0, 1] (15 equal bins, L1), `nll` the mean cross-entropy in nats. Where samples have several labels, what
    `several_accuracy` returns.

    Raises:
        UsageError: if the logits hold NaN or infinity, or a target is not a class of the network.

    >>> logits = torch.tensor([[4.0, 0.0], [0.0, 4.0], [4.0, 0.0], [4.0, 0.0]])
    >>> told = accuracy(Predictions(logits, torch.tensor([0, 1, 0, 1]), torch.zeros(4, 1)))
    >>> {name: round(value, 3) for name, value in told.items()}
    {'top1': 75.0, 'balanced': 75.0, 'macro_f1': 73.333, 'commonest': 50.0, 'ece': 0.232, 'nll': 1.018}
    """
    logits, targets = predictions.logits, predictions.targets
    if predictions.several_labels:
        return several_accuracy(logits, targets)
    require_finite("logits", logits)
    require_same_rows("logits", logits, "targets", targets)
    classes = predictions.num_classes
    if int(targets.min()) < 0 or int(targets.max()) >= classes:
        raise UsageError(
            f"targets run from {int(targets.min())} to {int(targets.max())} but the network has {classes} classes: "
            "evaluate it on the data whose classes it was trained for"
        )
    rank, confidence, likelihood = _of_truth(logits, targets)
    predicted = predictions.top1
    told = {"top1": 100.0 * _mean(predicted == targets)}
    if classes > 5:
        told["top5"] = 100.0 * _mean(rank < 5)
    told["balanced"] = 100.0 * float(class_recall(predicted, targets).nanmean())
    told["macro_f1"] = 100.0 * float(_class_f1(predicted, targets, classes).nanmean())
    told["commonest"] = 100.0 * float(targets.bincount().max()) / len(targets)
    told["ece"] = _calibration_error(confidence, predicted == targets)
    told["nll"] = -float(likelihood.double().mean())
    return told


def _of_truth(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return of each sample how many classes rank before its own, its largest probability and its log-likelihood.

    Of equal logits the first counts as the larger one, as in `argmax`.
    """
    found = []
    for block, truth in row_blocks(logits, targets):
        own = block.gather(1, truth[:, None])
        before = torch.arange(block.shape[1]) < truth[:, None]
        rank = ((block > own) | ((block == own) & before)).sum(dim=1)
        shares = block.log_softmax(dim=1)
        found.append((rank, shares.amax(dim=1).exp(), shares.gather(1, truth[:, None])[:, 0]))
    rank, confidence, likelihood = (torch.cat(parts) for parts in zip(*found, strict=True))
    return rank, confidence, likelihood


def _class_f1(predicted: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Return the F1 score of each class, 2 TP / (2 TP + FP + FN), NaN where it is neither true nor predicted."""
    both = targets.bincount(minlength=classes) + predicted.bincount(minlength=classes)
    return 2 * targets[predicted == targets].bincount(minlength=classes) / both


def _calibration_error(confidence: Tensor, right: Tensor) -> float:
    """Return Σ over bins of confidence of |share that is right − mean confidence| × share of the samples."""
    bins = (confidence.double() * CALIBRATION_BINS).long().clamp_max(CALIBRATION_BINS - 1)
    surplus = torch.zeros(CALIBRATION_BINS, dtype=torch.float64)
    return float(surplus.index_add(0, bins, right.double() - confidence.double()).abs().sum()) / len(right)


def _mean(right: Tensor) -> float:
    return float(right.double().mean())


def class_recall(predicted: Tensor, targets: Tensor) -> Tensor:
    """Return for each class up to the largest target the share of its samples that are right, NaN where it has none.

    >>> class_recall(torch.tensor([0, 2, 2]), torch.tensor([0, 0, 2]))
    tensor([0.5000,    nan, 1.0000])
    """
    return targets[predicted == targets].bincount(minlength=int(targets.max()) + 1) / targets.bincount()
