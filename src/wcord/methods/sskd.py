"""SSKD as terms: logits of turned views, and their similarities to the originals under a head of each network."""

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn

from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses.sskd import sskd_head_loss, sskd_similarity_loss, sskd_turned_loss
from wcord.methods.setting import Setting
from wcord.methods.term import Needs, Preparation, Stage, Term
from wcord.methods.terms import LossTerm
from wcord.methods.turned import similarity_of


class SSKDTurnedTerm(LossTerm):
    """Softened logits of the turned views, of those that the teacher classifies best."""

    needs = Needs(
        same_classes=True, class_number=True, exclusive=True, whole_batch=True, rotations=True, labels=True
    )  # fmt: skip
    loss = staticmethod(sskd_turned_loss)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch."""
        rows = batch.upright_rows
        return self.compute(student.logits[rows:], teacher.logits[rows:], batch.target[:rows])


class SSKDSimilarityTerm(Term):
    """Similarities of turned views to the originals, of those whose own original the teacher ranks best.

    Each network has a head, two linear layers of its own width with a ReLU between them. In a stage before the main one
    the teacher's head learns to find the original of each turned view, and nothing else trains. Then it is frozen, and
    the student's head trains with the student. Options are those of `losses.sskd.sskd_similarity_loss`.

    Args:
        name: of the term.
        setting: with the widths of both embeddings.
    """

    needs = Needs(min_batch=2, whole_batch=True, rotations=True)
    loss_signature = sskd_similarity_loss
    preparation = Preparation(epochs=60, lr=0.05, milestones=(0.5, 0.75))

    def __init__(self, name: str, setting: Setting, **options: object) -> None:
        super().__init__()
        self.student_head = _head(setting.student_dim)
        self.teacher_head = _head(setting.teacher_dim)
        self.compute: Callable[..., Tensor] = partial(sskd_similarity_loss, **options)  # pyright: ignore[reportArgumentType]  # names checked in build

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch; the teacher's head is frozen."""
        with torch.no_grad():
            target = similarity_of(teacher, batch, self.teacher_head)
        return self.compute(similarity_of(student, batch, self.student_head), target)

    def prepare(self, student: Features | None, teacher: Features, batch: Batch) -> Tensor:
        """Return how well the teacher's head finds the original of each turned view."""
        return sskd_head_loss(similarity_of(teacher, batch, self.teacher_head, detached=True))

    def stage_parameters(self, stage: Stage) -> Iterable[nn.Parameter]:
        """Return the parameters of the teacher's head in the preparation, those of the student's after it."""
        return (self.teacher_head if stage == "preparation" else self.student_head).parameters()


def _head(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
