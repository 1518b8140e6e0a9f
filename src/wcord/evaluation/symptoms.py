"""Warnings about doubtful results, each one sentence with the usual causes."""

import math
from collections.abc import Sequence

from wcord.evaluation.chance import Standing

RETAINED = 2 / 3
"""Share of the training accuracy beyond chance that the test accuracy should retain."""
FAR = 5.0
"""Points by which accuracy must fall short of that in training for a warning."""
ERRORS = 3
"""Standard errors by which a difference must exceed its limit."""

STUDENT_CAUSES = (
    "an unsuitable learning rate, too few epochs, unbalanced classes (--class-weights), or labels that cannot be "
    "predicted from the input"
)
TEACHER_CAUSES = (
    "a different normalization of its input (--teacher-mean, --teacher-std), order of the classes or input "
    "size (--teacher-size), or no --teacher-weights"
)
NETWORK_CAUSES = (
    "a different normalization of its input (--mean, --std) or order of the classes, or data other than it was "
    "trained on"
)


def doubts(result: Standing, network: str, classes: Sequence[str], causes: str) -> list[str]:
    """Return warnings about predictions at or near chance, nearly constant ones, or samples of one class.

    >>> import torch
    >>> from wcord.evaluation.accuracy import Predictions
    >>> from wcord.evaluation.chance import standing
    >>> logits = torch.tensor([[1.0, 0.0]]).expand(100, 2)
    >>> result = standing(Predictions(logits, torch.arange(100) // 95, logits))
    >>> doubts(result, "the student", ["well", "ill"], "too few epochs")[0].split("; ")[-1]
    "one class, 'well', is predicted for 100.00 % of the samples. Usual causes: too few epochs"
    """
    if result.kinds == 1:
        return [
            f"all {result.samples} samples on which {network} is measured are of one class: its accuracy says nothing "
            "about the others"
        ]
    if not result.informed or (result.weak and not result.one_class):
        near = "at" if not result.informed else "near"
        return [f"{network} is {near} chance: {against_chance(result, classes)}. Usual causes: {causes}"]
    if not result.one_class:
        return []
    return [
        f"{network} predicts one class, {_name(result, classes)}, for {100 * result.named_share:.2f} % of the samples; "
        f"{100 * result.true_share:.2f} % belong to it. Usual causes: {causes}"
    ]


def against_chance(result: Standing, classes: Sequence[str]) -> str:
    """Return how predictions compare with chance, as a clause."""
    constant = (
        f"; one class, {_name(result, classes)}, is predicted for {100 * result.named_share:.2f} % of the samples"
    )
    return (
        f"{100 * result.top1:.2f} % are right (balanced accuracy {100 * result.balanced:.2f} %); the commonest class "
        f"alone reaches {100 * result.commonest:.2f} %{constant if result.one_class else ''}"
    )


def _name(result: Standing, classes: Sequence[str]) -> str:
    return repr(classes[result.named] if result.named < len(classes) else str(result.named))


def training_gap(result: Standing, train_top1: float) -> list[str]:
    """Return a warning if the test split loses more than a third of the training accuracy beyond chance.

    Args:
        result: the student on the test split.
        train_top1: its accuracy in the last epoch of training, in percent.
    """
    trained = train_top1 / 100
    noise = ERRORS * math.sqrt(result.top1 * (1 - result.top1) / result.samples)
    if result.top1 + noise >= result.commonest + RETAINED * (trained - result.commonest) or trained <= result.commonest:
        return []
    return [
        f"training accuracy is {train_top1:.2f} % (last epoch, augmented), but test accuracy "
        f"{100 * result.top1:.2f} %. Usual causes: too few training samples or too little augmentation, test samples "
        "unlike the training samples, or unsettled running statistics of a custom normalization layer"
    ]


def below_training(result: Standing, network: str, reached: float) -> list[str]:
    """Return a warning if a network is far below the accuracy in its file.

    Args:
        result: the network on these data.
        network: name of the network in the warning.
        reached: top-1 at the end of its training, in percent.
    """
    trained = min(max(reached / 100, 0.0), 1.0)
    noise = 100 * ERRORS * math.sqrt(max(trained * (1 - trained), result.top1 * (1 - result.top1)) / result.samples)
    if reached - 100 * result.top1 <= max(FAR, noise):
        return []
    return [
        f"{network} reached {reached:.2f} % on the test split of its training, but {100 * result.top1:.2f} % here: "
        "check that its input is normalized and cropped, and its classes are numbered, as in training"
    ]
