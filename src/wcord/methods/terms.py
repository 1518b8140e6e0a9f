"""The common kinds of terms: a loss between logits, between embeddings, or between pairs of maps."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from torch import Tensor

from wcord.data.batch import Batch
from wcord.features import Features
from wcord.methods.maps import Which, map_pairs, spatial_pairs
from wcord.methods.setting import Setting
from wcord.methods.term import Needs, Term


class LossTerm(Term):
    """A term that is one loss without parameters, `loss`, called with its options."""

    loss: ClassVar[Callable[..., Tensor]]

    def __init__(self, name: str, setting: Setting, **options: object) -> None:
        super().__init__()
        self.compute: Callable[..., Tensor] = partial(type(self).loss, **options)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "loss" in vars(cls):
            cls.loss_signature = cls.loss


class LogitsTerm(LossTerm):
    """loss(student logits, teacher logits)."""

    needs = Needs(same_classes=True, exclusive=True)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch."""
        return self.compute(student.logits, teacher.logits)


class EmbeddingTerm(LossTerm):
    """loss(student embedding, teacher embedding)."""

    needs = Needs(min_batch=2, whole_batch=True)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch."""
        return self.compute(student.embedding, teacher.embedding)


class MapsTerm(LossTerm):
    """Σ over pairs of maps of loss(student map, teacher map)."""

    which: ClassVar[Which] = "stages"
    spatial: ClassVar[bool] = True
    """Whether the maps must have height and width."""

    def __init__(self, name: str, setting: Setting, **options: object) -> None:
        super().__init__(name, setting, **options)
        pairs_of = spatial_pairs if self.spatial else map_pairs
        self.pairs = pairs_of(name, setting, self.which)
        self.student_map_names = tuple(pair.student for pair in self.pairs)
        self.teacher_map_names = tuple(pair.teacher for pair in self.pairs)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the sum over the pairs."""
        values = [self.compute(student.maps[pair.student], teacher.maps[pair.teacher]) for pair in self.pairs]
        return sum(values[1:], values[0])
