"""Contrastive representation distillation as a term: heads and banks of the whole training set."""

from dataclasses import replace

from torch import Tensor

from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import CRDLoss
from wcord.methods.setting import Setting
from wcord.methods.term import Needs, Term, class_numbers


class CRDTerm(Term):
    """CRD between the embeddings; options are those of `losses.CRDLoss`."""

    needs = Needs(index=True, whole_batch=True)
    loss_signature = CRDLoss

    def __init__(self, name: str, setting: Setting, **options: object) -> None:
        super().__init__()
        if options.get("negatives") == "other_class":
            self.needs = replace(self.needs, class_number=True)
        num_samples = setting.num_samples
        self.check(name, setting)
        assert num_samples is not None
        self.loss = CRDLoss(
            setting.student_dim,
            setting.teacher_dim,
            num_samples=num_samples,
            **options,  # pyright: ignore[reportArgumentType]  # names are checked against the signature in build
        )

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return both directions summed."""
        return self.loss(student.embedding, teacher.embedding, batch.index, labels=class_numbers(batch))

    def embed(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """Return the unit vectors of both sides, whose inner product scores a pair."""
        return self.loss.embed(student, teacher)
