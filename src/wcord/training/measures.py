"""What the accuracies of a run are called; mixed samples, and those with several labels, have measures of their own."""

from dataclasses import dataclass

from wcord.data.loader import Loader

DOMINANT = "train_top1_mixed"
"""Training accuracy where samples are mixed: a mixture counts for its dominant label."""
BY_LABEL = "train_label_accuracy"
"""Training accuracy where samples have several labels: the share of labels that are answered rightly."""


@dataclass(frozen=True)
class Measures:
    """Names of what an epoch is measured by, all in percent.

    Attributes:
        train: entry for the training data.
        test: entry for the evaluation data.
        measure: what the latter is among the values that `accuracy` returns.
        several_labels: whether samples have several labels.
    """

    train: str
    test: str = "test_top1"
    measure: str = "top1"
    several_labels: bool = False


def measures_of(train: Loader) -> Measures:
    """Return what a run over these batches is measured by."""
    if train.targets.is_floating_point():
        return Measures(BY_LABEL, "test_map", "map", several_labels=True)
    return Measures("train_top1" if train.mixing is None else DOMINANT)
