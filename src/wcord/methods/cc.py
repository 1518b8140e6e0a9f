"""Correlation congruence as a term: both embeddings mapped to one width."""

from torch import Tensor, nn

from wcord.checks import require_counts
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import cc_loss
from wcord.methods.setting import Setting
from wcord.methods.term import Needs, Term
from wcord.numerics import autocast_off, in_precision_of


class CCTerm(Term):
    """Congruence of neighbors in the batch; option `embedding_dim` is the common width, 128 in the CRD benchmark.

    The linear map on the teacher's side trains too, as there.
    """

    needs = Needs(min_batch=2, whole_batch=True)
    loss_signature = cc_loss

    def __init__(self, name: str, setting: Setting, *, embedding_dim: int = 128) -> None:
        super().__init__()
        require_counts(embedding_dim=embedding_dim)
        self.student_map = nn.Linear(setting.student_dim, embedding_dim)
        self.teacher_map = nn.Linear(setting.teacher_dim, embedding_dim)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch."""
        with autocast_off(student.embedding):
            return cc_loss(
                self.student_map(in_precision_of(self, student.embedding)),
                self.teacher_map(in_precision_of(self, teacher.embedding.detach())),
            )
