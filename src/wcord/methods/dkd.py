"""Decoupled distillation as a term whose weight rises at the start."""

from torch import Tensor

from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses.dkd import dkd_loss
from wcord.methods.course import WarmUp
from wcord.methods.setting import Setting
from wcord.methods.term import Needs
from wcord.methods.terms import LossTerm


class DKDTerm(LossTerm):
    """DKD between the logits, with a weight that rises over the first steps.

    The authors' code (mdistiller) lets it rise over 20 epochs of 240; see `course.WarmUp`.

    Options are those of `losses.dkd_loss`, and:

    Args:
        name: of the term.
        setting: with the steps of the training.
        warmup: share of the training over which the weight rises; 0 for no warm-up.
    """

    needs = Needs(same_classes=True, class_number=True, exclusive=True)
    loss = staticmethod(dkd_loss)

    def __init__(self, name: str, setting: Setting, *, warmup: float = 20 / 240, **options: object) -> None:
        super().__init__(name, setting, **options)
        self.rise = WarmUp(warmup, setting)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch times its warm-up weight."""
        return self.rise() * self.compute(student.logits, teacher.logits, batch.target)
