"""InfoNCE inside the batch as a term: linear projections of both embeddings."""

from torch import Tensor, nn

from wcord.checks import require_counts, require_positive
from wcord.contrast.critic import EMBEDDING_DIM
from wcord.contrast.crossed import TEMPERATURE
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import infonce_loss
from wcord.methods.setting import Setting
from wcord.methods.term import Needs, Term
from wcord.numerics import autocast_off, in_precision_of, unit_rows


class InfoNCETerm(Term):
    """In-batch contrast of both embeddings, each through a linear layer, as wide and at the temperature as in CRD.

    The layer on the teacher's side trains too, as there.

    Args:
        name: of the term.
        setting: with the widths of both embeddings.
        temperature: of the softmax over the batch.
        embedding_dim: the common width.
    """

    needs = Needs(min_batch=2, whole_batch=True)

    def __init__(
        self, name: str, setting: Setting, *, temperature: float = TEMPERATURE, embedding_dim: int = EMBEDDING_DIM
    ) -> None:
        super().__init__()
        require_counts(embedding_dim=embedding_dim)
        require_positive("temperature", temperature)
        self.temperature = temperature
        self.student_head = nn.Linear(setting.student_dim, embedding_dim)
        self.teacher_head = nn.Linear(setting.teacher_dim, embedding_dim)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch."""
        with autocast_off(student.embedding):
            projected = self._project(student.embedding, teacher.embedding.detach())
        return infonce_loss(*projected, temperature=self.temperature)

    def embed(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """Return the unit vectors of both sides, whose inner product scores a pair."""
        projected = self._project(student, teacher)
        return unit_rows(projected[0]), unit_rows(projected[1])

    def _project(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        return (
            self.student_head(in_precision_of(self, student)),
            self.teacher_head(in_precision_of(self, teacher)),
        )
