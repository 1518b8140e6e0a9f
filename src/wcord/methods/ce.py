"""Cross-entropy with the labels, the first summand of every method."""

from torch import Tensor

from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import cross_entropy_loss
from wcord.methods.term import Needs, Setting, Term


class CETerm(Term):
    """Cross-entropy of the student's logits with the labels, smoothed as the training configuration says."""

    needs = Needs(teacher=False)

    def __init__(self, name: str, setting: Setting) -> None:
        super().__init__()
        self.parts = {name: 1.0}
        self.label_smoothing = setting.label_smoothing

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the batch mean."""
        return cross_entropy_loss(student.logits, batch.target, label_smoothing=self.label_smoothing)
