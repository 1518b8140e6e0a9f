"""Names of a run's accuracies; mixed samples, and samples with several labels, have their own."""

from dataclasses import dataclass

from wcord.data.loader import Loader

DOMINANT = "train_top1_mixed"
"""Training accuracy where samples are mixed: a mixture counts for its dominant label."""
BY_LABEL = "train_label_accuracy"
"""Training accuracy where samples have several labels: the share of correctly predicted labels."""


@dataclass(frozen=True)
class Measures:
    """Names of the measures of an epoch, all in percent.

    Attributes:
        train: entry of the training data.
        test: entry of the evaluation data.
        measure: name of the evaluation's measure among the values of `accuracy`.
        several_labels: whether samples have several labels.
    """

    train: str
    test: str = "test_top1"
    measure: str = "top1"
    several_labels: bool = False

    @property
    def teacher(self) -> str:
        """Entry of a teacher that trains, on the evaluation data."""
        return f"teacher_{self.test}"


def measures_of(train: Loader) -> Measures:
    """Return the measures of a run over these batches."""
    if train.targets.is_floating_point():
        return Measures(BY_LABEL, "test_map", "map", several_labels=True)
    return Measures("train_top1" if train.mixing is None else DOMINANT)
