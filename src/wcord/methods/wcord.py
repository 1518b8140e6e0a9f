"""The two parts of WCoRD as terms: GCKT, and LCKT with its anchored form."""

from dataclasses import replace

from torch import Tensor

from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import GCKTLoss, LCKTLoss
from wcord.methods.setting import Setting
from wcord.methods.term import Needs, Term, class_numbers


class GCKTTerm(Term):
    """GCKT between the embeddings; options are those of `losses.GCKTLoss`."""

    needs = Needs(min_batch=2, whole_batch=True)
    loss_signature = GCKTLoss

    def __init__(self, name: str, setting: Setting, **options: object) -> None:
        super().__init__()
        if options.get("negatives") == "other_class":
            self.needs = replace(self.needs, class_number=True)
        self.loss = GCKTLoss(
            setting.student_dim,
            setting.teacher_dim,
            num_samples=setting.num_samples,
            **options,  # pyright: ignore[reportArgumentType]  # names are checked against the signature in build
        )

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch, and in training mode move the memory."""
        return self.loss(student.embedding, teacher.embedding, batch.index, labels=class_numbers(batch))

    def embed(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """Return the critic's embeddings of both sides, whose inner product scores a pair."""
        embedded: tuple[Tensor, Tensor] = self.loss.critic(student, teacher)
        return embedded


class LCKTTerm(Term):
    """LCKT between the embeddings; options are those of `losses.LCKTLoss`."""

    needs = Needs(min_batch=2, whole_batch=True)
    loss_signature = LCKTLoss
    diagnostics = ("diagonal_mass", "marginal_error")

    def __init__(self, name: str, setting: Setting, **options: object) -> None:
        super().__init__()
        if options.get("anchor_to") == "class":
            self.needs = replace(self.needs, class_number=True)
        if options.get("anchor_end") is not None:
            options.setdefault("anneal_steps", setting.total_steps)
        self.loss = LCKTLoss(
            setting.student_dim,
            setting.teacher_dim,
            **options,  # pyright: ignore[reportArgumentType]  # names are checked against the signature in build
        )

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch, and store what its plan does for the log."""
        plan = self.loss.plan(student.embedding, teacher.embedding, labels=class_numbers(batch))
        self.measured = {"diagonal_mass": plan.diagonal_mass, "marginal_error": plan.marginal_error}
        return plan.cost
