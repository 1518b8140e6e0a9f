"""What makes a result doubtful, each in one plain sentence with its usual causes."""

import math
from collections.abc import Sequence

from wcord.evaluation.chance import Standing

KEPT = 2 / 3
"""Share of what training reached beyond chance that should be left on the test split."""
FAR = 5.0
"""Points by which a network has to miss what it reached in its own training for that to be said."""
ERRORS = 3
"""Standard errors by which a difference has to exceed its limit."""

STUDENT_CAUSES = (
    "a learning rate that does not suit, too few epochs, unbalanced classes (--class-weights), or labels that cannot "
    "be told from the input"
)
TEACHER_CAUSES = (
    "another normalization of its input (--teacher-mean, --teacher-std), another order of the classes, another input "
    "size (--teacher-size), or no --teacher-weights"
)
NETWORK_CAUSES = (
    "another normalization of its input (--mean, --std), another order of the classes, or other data than it was "
    "trained on"
)


def doubts(found: Standing, who: str, classes: Sequence[str], causes: str) -> list[str]:
    """Return what has to be said of predictions that are at or near chance, nearly constant, or of one class's samples.

    >>> import torch
    >>> from wcord.evaluation.accuracy import Predictions
    >>> from wcord.evaluation.chance import standing
    >>> logits = torch.tensor([[1.0, 0.0]]).expand(100, 2)
    >>> found = standing(Predictions(logits, torch.arange(100) // 95, logits))
    >>> doubts(found, "the student", ["well", "ill"], "too few epochs")[0].split("; ")[-1]
    "one class, 'well', is named for 100.00 % of the samples. Usual causes: too few epochs"
    """
    if found.kinds == 1:
        return [
            f"all {found.samples} samples on which {who} is measured are of one class: whether it tells classes apart "
            "is not measured, and its accuracy says nothing of the others"
        ]
    if not found.informed or (found.weak and not found.one_class):
        near = "at" if not found.informed else "near"
        return [f"{who} is {near} chance: {against_chance(found, classes)}. Usual causes: {causes}"]
    if not found.one_class:
        return []
    return [
        f"{who} names one class, {_name(found, classes)}, for {100 * found.named_share:.2f} % of the samples, of which "
        f"{100 * found.true_share:.2f} % are of it. Usual causes: {causes}"
    ]


def against_chance(found: Standing, classes: Sequence[str]) -> str:
    """Return how predictions compare with chance, as a clause."""
    constant = f"; one class, {_name(found, classes)}, is named for {100 * found.named_share:.2f} % of the samples"
    return (
        f"{100 * found.top1:.2f} % are right (balanced accuracy {100 * found.balanced:.2f} %); the commonest class "
        f"alone reaches {100 * found.commonest:.2f} %{constant if found.one_class else ''}"
    )


def _name(found: Standing, classes: Sequence[str]) -> str:
    return repr(classes[found.named] if found.named < len(classes) else str(found.named))


def training_gap(found: Standing, train_top1: float) -> list[str]:
    """Return a sentence where more than a third of what training reached beyond chance is lost on the test split.

    Args:
        found: the student on the test split.
        train_top1: its accuracy in the last epoch of training, in percent.
    """
    trained = train_top1 / 100
    noise = ERRORS * math.sqrt(found.top1 * (1 - found.top1) / found.samples)
    if found.top1 + noise >= found.commonest + KEPT * (trained - found.commonest) or trained <= found.commonest:
        return []
    return [
        f"training accuracy is {train_top1:.2f} % (last epoch, as trained with augmentation), but test accuracy "
        f"{100 * found.top1:.2f} %. Usual causes: too few training samples or too little augmentation, test samples of "
        "another kind than the training samples, or running statistics of a normalization layer of your own that have "
        "not settled"
    ]


def below_training(found: Standing, who: str, reached: float) -> list[str]:
    """Return a sentence where a network is far below what its file says that it reached.

    Args:
        found: the network on these data.
        who: what to call it.
        reached: top-1 at the end of its own training, in percent.
    """
    told = min(max(reached / 100, 0.0), 1.0)
    noise = 100 * ERRORS * math.sqrt(max(told * (1 - told), found.top1 * (1 - found.top1)) / found.samples)
    if reached - 100 * found.top1 <= max(FAR, noise):
        return []
    return [
        f"{who} reached {reached:.2f} % on the test split of its own training, but {100 * found.top1:.2f} % here: "
        "check that its input is normalized and framed, and its classes are numbered, as they were there"
    ]
