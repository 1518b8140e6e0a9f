"""Cross-entropy with the labels, the first term of every method."""

from dataclasses import replace

from torch import Tensor

from wcord.checks import UsageError
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import bce_loss, cross_entropy_loss
from wcord.losses.cross_entropy import require_class_weights
from wcord.methods.setting import Setting
from wcord.methods.term import Needs, Term


class CETerm(Term):
    """Cross-entropy of the student's logits with the labels, smoothed and weighted as configured.

    Binary cross-entropy, label by label, if samples may have several labels.
    """

    needs = Needs(teacher=False)
    class_weights: Tensor | None

    def __init__(self, name: str, setting: Setting) -> None:
        super().__init__()
        self.label_smoothing = setting.label_smoothing
        self.several_labels = setting.several_labels
        weights = setting.class_weights
        if weights is not None and self.several_labels:
            raise UsageError("class weights are for classes that exclude each other, but samples have several labels")
        if weights is not None:
            require_class_weights(weights, setting.student_classes)
            # The weighted mean divides by the weights of the whole batch, also if several processes share it.
            self.needs = replace(self.needs, whole_batch=True)
        self.register_buffer("class_weights", weights)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the mean over the batch, weighted if the classes have weights."""
        if self.several_labels:
            return bce_loss(student.logits, batch.target, label_smoothing=self.label_smoothing)
        return cross_entropy_loss(
            student.logits, batch.target, label_smoothing=self.label_smoothing, class_weights=self.class_weights
        )
