"""Accuracy for samples with several labels."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.checks import UsageError, require_finite, require_same_shape


def several_accuracy(logits: Tensor, targets: Tensor) -> dict[str, float]:
    """Return mean average precision and F1 scores in percent, and the binary cross-entropy in nats per label.

    `map` is the mean over the labels that occur of the average precision; `macro_f1` the mean over these of the F1
    score of "probability of 0.5 or more", `micro_f1` that of all labels of all samples together; `nll` the mean binary
    cross-entropy. Labels that no sample has are excluded from the means.

    Raises:
        UsageError: NaN or infinity, targets of a different shape, or without any label.

    >>> scores = several_accuracy(torch.tensor([[2.0, -1.0], [1.0, 3.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    >>> {name: round(value, 2) for name, value in scores.items()}
    {'map': 100.0, 'macro_f1': 83.33, 'micro_f1': 80.0, 'nll': 0.45}
    """
    require_finite("logits", logits)
    require_same_shape("logits", logits, "targets", targets)
    present = torch.where(targets.sum(0) > 0)[0]
    if not len(present):
        raise UsageError("no sample has a label, so that accuracy is undefined")
    from sklearn.metrics import average_precision_score, f1_score  # slow to import

    true, shares = targets.bool().numpy(), logits.sigmoid().numpy()
    predicted = shares >= 0.5
    precision = [average_precision_score(true[:, label], shares[:, label]) for label in present]
    f1 = [f1_score(true[:, label], predicted[:, label]) for label in present]
    return {
        "map": 100.0 * float(np.mean(precision)),
        "macro_f1": 100.0 * float(np.mean(f1)),
        "micro_f1": 100.0 * float(f1_score(true.ravel(), predicted.ravel())),
        "nll": float(F.binary_cross_entropy_with_logits(logits, targets)),
    }
