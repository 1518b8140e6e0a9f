"""Variational information distillation as a term: a regressor with a variance for each stage."""

import torch
from torch import Tensor, nn

from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import VIDLoss
from wcord.methods.maps import spatial_pairs
from wcord.methods.setting import Setting
from wcord.methods.term import Term


class VIDTerm(Term):
    """Σ over stages of the bound; options are those of `losses.VIDLoss`."""

    loss_signature = VIDLoss

    def __init__(self, name: str, setting: Setting, **options: object) -> None:
        super().__init__()
        self.pairs = spatial_pairs(name, setting)
        self.student_map_names = tuple(pair.student for pair in self.pairs)
        self.teacher_map_names = tuple(pair.teacher for pair in self.pairs)
        self.losses = nn.ModuleList(
            VIDLoss(pair.student_shape[0], pair.teacher_shape[0], **options)  # pyright: ignore[reportArgumentType]
            for pair in self.pairs
        )

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the sum over the stages."""
        values = [
            loss(student.maps[pair.student], teacher.maps[pair.teacher])
            for loss, pair in zip(self.losses, self.pairs, strict=True)
        ]
        return torch.stack(values).sum()
