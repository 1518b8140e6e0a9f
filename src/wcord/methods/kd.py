"""Distillation of softened logits, plain (kd) and standardised (lskd)."""

from functools import partial

from torch import Tensor

from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import kd_loss
from wcord.methods.term import Needs, Setting, Term


class KDTerm(Term):
    """KL divergence between softened logits; options are those of `losses.kd_loss`."""

    needs = Needs(same_classes=True)

    def __init__(self, name: str, setting: Setting, **options: object) -> None:
        super().__init__()
        self.parts = {name: 1.0}
        self.loss = partial(kd_loss, **options)  # pyright: ignore[reportArgumentType]  # names checked in build

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return T² KL, batch mean."""
        return self.loss(student.logits, teacher.logits)
