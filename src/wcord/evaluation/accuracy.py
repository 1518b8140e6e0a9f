"""Predictions of a network on a test set, and their accuracy and calibration."""

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
    """Predictions of one network for all samples of a test set, in their order.

    Attributes:
        logits: N×C, float32 on the CPU.
        targets: true class numbers, N, int64 on the CPU; for several labels per sample, N×C of 0 and 1, float32.
        embeddings: input of the classifier head, N×D, float32 on the CPU.
    """

    logits: Tensor
    targets: Tensor
    embeddings: Tensor

    def __len__(self) -> int:
        return self.targets.shape[0]

    @property
    def num_classes(self) -> int:
        """Number of classes of the network."""
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
    """Return logits, targets and embeddings of a network in eval mode.

    Args:
        network: the network, already on `device`; its training mode is restored afterwards.
        batches: batches of a test split, not shuffled.
        device: its device.
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

    In percent: `top1`; `top5`, omitted for fewer than six classes; `balanced`, the balanced accuracy,
    the mean recall over the classes among the targets; `macro_f1`, the
    mean F1 score over the classes among targets or predictions; `commonest`, the share of the commonest class among
    the targets, the top-1 of a constant prediction. `ece` is the expected calibration error as a fraction
    in [0, 1] (15 equal bins, L1), `nll` the mean cross-entropy in nats. For several labels per sample, the
    result of `several_accuracy`.

    Raises:
        UsageError: if the logits contain NaN or infinity, or a target is not a class of the network.

    >>> logits = torch.tensor([[4.0, 0.0], [0.0, 4.0], [4.0, 0.0], [4.0, 0.0]])
    >>> measures = accuracy(Predictions(logits, torch.tensor([0, 1, 0, 1]), torch.zeros(4, 1)))
    >>> {name: round(value, 3) for name, value in measures.items()}
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
            "evaluate it on data with the classes that it was trained on"
        )
    rank, confidence, likelihood = _rank_and_confidence(logits, targets)
    predicted = predictions.top1
    measures = {"top1": 100.0 * _mean(predicted == targets)}
    if classes > 5:
        measures["top5"] = 100.0 * _mean(rank < 5)
    measures["balanced"] = 100.0 * float(class_recall(predicted, targets).nanmean())
    measures["macro_f1"] = 100.0 * float(_class_f1(predicted, targets, classes).nanmean())
    measures["commonest"] = 100.0 * float(targets.bincount().max()) / len(targets)
    measures["ece"] = _calibration_error(confidence, predicted == targets)
    measures["nll"] = -float(likelihood.double().mean())
    return measures


def _rank_and_confidence(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each sample the rank of its true class (0 is first), its largest probability and its log-likelihood.

    Of equal logits the first ranks higher, as in `argmax`.
    """
    blocks = []
    for block, truth in row_blocks(logits, targets):
        true = block.gather(1, truth[:, None])
        before = torch.arange(block.shape[1]) < truth[:, None]
        rank = ((block > true) | ((block == true) & before)).sum(dim=1)
        shares = block.log_softmax(dim=1)
        blocks.append((rank, shares.amax(dim=1).exp(), shares.gather(1, truth[:, None])[:, 0]))
    rank, confidence, likelihood = (torch.cat(parts) for parts in zip(*blocks, strict=True))
    return rank, confidence, likelihood


def _class_f1(predicted: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Return the F1 score of each class, 2 TP / (2 TP + FP + FN), NaN where it is neither true nor predicted."""
    both = targets.bincount(minlength=classes) + predicted.bincount(minlength=classes)
    return 2 * targets[predicted == targets].bincount(minlength=classes) / both


def _calibration_error(confidence: Tensor, right: Tensor) -> float:
    """Return Σ over bins of confidence of |accuracy − mean confidence| × share of the samples."""
    bins = (confidence.double() * CALIBRATION_BINS).long().clamp_max(CALIBRATION_BINS - 1)
    surplus = torch.zeros(CALIBRATION_BINS, dtype=torch.float64)
    return float(surplus.index_add(0, bins, right.double() - confidence.double()).abs().sum()) / len(right)


def _mean(right: Tensor) -> float:
    return float(right.double().mean())


def class_recall(predicted: Tensor, targets: Tensor) -> Tensor:
    """Return the recall of each class up to the largest target, NaN for a class without samples.

    >>> class_recall(torch.tensor([0, 2, 2]), torch.tensor([0, 0, 2]))
    tensor([0.5000,    nan, 1.0000])
    """
    return targets[predicted == targets].bincount(minlength=int(targets.max()) + 1) / targets.bincount()
