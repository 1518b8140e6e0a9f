"""Decoupled distillation as a term: its weight rises at the start."""

from typing import cast

import torch
from torch import Tensor

from wcord.checks import require_fraction
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses.dkd import dkd_loss
from wcord.methods.term import Needs, Setting
from wcord.methods.terms import LossTerm


class DKDTerm(LossTerm):
    """DKD between the logits, with a weight that rises over the first steps.

    w = min(1, step / (warmup · all steps)). The authors' code (mdistiller) counts epochs: 20 of 240, in whole epochs;
    we take the same share of any training, step by step. Training-mode forwards are counted, at their end, and the
    count is in the state dict. Where the setting does not say how long the training is, the weight is whole from the
    start.

    Options are those of `losses.dkd_loss`, and:

    Args:
        name: of the term.
        setting: holds the steps of the training.
        warmup: share of the training over which the weight rises; 0 for none.
    """

    needs = Needs(same_classes=True)
    loss = staticmethod(dkd_loss)

    def __init__(self, name: str, setting: Setting, *, warmup: float = 20 / 240, **options: object) -> None:
        super().__init__(name, setting, **options)
        require_fraction("warmup", warmup)
        self.warmup_steps = warmup * (setting.total_steps or 0)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch times the risen share of its weight."""
        loss = self.compute(student.logits, teacher.logits, batch.target)
        if self.warmup_steps == 0:
            return loss
        steps = cast(Tensor, self.steps)
        share = (steps / self.warmup_steps).clamp(max=1.0)
        if self.training:
            steps.add_(1)
        return share * loss
