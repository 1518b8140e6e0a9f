"""Cross-entropy with the labels, the first summand of every method."""

from dataclasses import replace

from torch import Tensor

from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import cross_entropy_loss
from wcord.losses.cross_entropy import require_class_weights
from wcord.methods.term import Needs, Setting, Term


class CETerm(Term):
    """Cross-entropy of the student's logits with the labels, smoothed and weighted as the configuration says."""

    needs = Needs(teacher=False)
    class_weights: Tensor | None

    def __init__(self, name: str, setting: Setting) -> None:
        super().__init__()
        self.parts = {name: 1.0}
        self.label_smoothing = setting.label_smoothing
        weights = setting.class_weights
        if weights is not None:
            require_class_weights(weights, setting.student_classes)
            # The weighted mean divides by the weights of the whole batch, also where several processes share it.
            self.needs = replace(self.needs, whole_batch=True)
        self.register_buffer("class_weights", weights)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the mean over the batch, weighted where the classes have weights."""
        return cross_entropy_loss(
            student.logits, batch.target, label_smoothing=self.label_smoothing, class_weights=self.class_weights
        )
