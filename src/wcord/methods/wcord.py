"""WCoRD as a term: its global and local part, either alone, and the anchored form."""

from dataclasses import replace
from typing import cast

from torch import Tensor

from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import LossReport, WCoRDLoss
from wcord.methods.term import Needs, Setting, Term


class WCoRDTerm(Term):
    """WCoRD between the embeddings; options are those of `losses.WCoRDLoss`.

    Its parts keep their weights inside the loss, because they may share one critic.
    """

    needs = Needs(min_batch=2, whole_batch=True)
    loss_signature = WCoRDLoss

    def __init__(self, name: str, setting: Setting, **options: object) -> None:
        super().__init__()
        if options.get("negatives") == "other_class" or options.get("anchor_to") == "class":
            self.needs = replace(self.needs, class_number=True)
        if options.get("anchor_end") is not None:
            options.setdefault("anneal_steps", setting.total_steps)
        self.loss = WCoRDLoss(
            setting.student_dim,
            setting.teacher_dim,
            num_samples=setting.num_samples,
            **options,  # pyright: ignore[reportArgumentType]  # names are checked against the signature in build
        )
        self.parts = {
            part: weight
            for part, weight in (("gckt", self.loss.gckt_weight), ("lckt", self.loss.lckt_weight))
            if weight != 0
        }
        self.diagnostics = ("diagonal_mass", "marginal_error") if self.loss.lckt_weight else ()

    def forward(self, student: Features, teacher: Features, batch: Batch) -> LossReport:
        """Return the weighted total with both parts unweighted."""
        labels = None if batch.target.is_floating_point() else batch.target  # no single class
        return self.loss(student.embedding, teacher.embedding, batch.index, labels=labels)

    def embed(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the critic's images of both embeddings, whose inner product scores a pair; None without GCKT."""
        return None if self.loss.critic is None else cast("tuple[Tensor, Tensor]", self.loss.critic(student, teacher))
