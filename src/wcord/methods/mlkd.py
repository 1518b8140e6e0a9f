"""MLKD as terms: rows aligned, similarities of turned views, and classes contrasted across both networks."""

from torch import Tensor, nn

from wcord.checks import require_counts, require_positive
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses.mlkd import align_loss, correlation_loss, cross_network_supcon
from wcord.methods.setting import Setting
from wcord.methods.term import Needs, Term
from wcord.methods.turned import similarity_of
from wcord.numerics import autocast_off, in_precision_of

HIDDEN_FACTOR = 16
"""Width of the hidden layer of the aligning head, in widths of the teacher's embedding."""


class MLKDAlignTerm(Term):
    """Distance of the student's embedding, under a head of two layers, to the teacher's, in all views."""

    needs = Needs(whole_batch=True, rotations=True)

    def __init__(self, name: str, setting: Setting) -> None:
        super().__init__()
        self.head = _head(setting.student_dim, HIDDEN_FACTOR * setting.teacher_dim, setting.teacher_dim)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch."""
        with autocast_off(student.embedding):
            return align_loss(self.head(in_precision_of(self, student.embedding)), teacher.embedding)


class MLKDCorrTerm(Term):
    """Similarities of turned views to the originals: the student's under a head, the teacher's as they are.

    Args:
        name: of the term.
        setting: with the width of the student's embedding.
        correlation_temperature: of the softened similarities.
    """

    needs = Needs(min_batch=2, whole_batch=True, rotations=True)

    def __init__(self, name: str, setting: Setting, *, correlation_temperature: float = 0.5) -> None:
        super().__init__()
        require_positive("correlation_temperature", correlation_temperature)
        self.temperature = correlation_temperature
        width = setting.student_dim
        self.head = _head(width, width, width)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch."""
        target = similarity_of(teacher, batch, detached=True)
        return correlation_loss(similarity_of(student, batch, self.head), target, temperature=self.temperature)


class MLKDSupTerm(Term):
    """Supervised contrast of both networks' embeddings, each under a linear layer to one width.

    The linear layer on the teacher's side trains too.

    Args:
        name: of the term.
        setting: with the widths of both embeddings.
        embedding_dim: the common width.
        sup_temperature: of the contrast.
    """

    needs = Needs(class_number=True, whole_batch=True, rotations=True, labels=True)

    def __init__(self, name: str, setting: Setting, *, embedding_dim: int = 128, sup_temperature: float = 0.07) -> None:
        super().__init__()
        require_counts(embedding_dim=embedding_dim)
        require_positive("sup_temperature", sup_temperature)
        self.temperature = sup_temperature
        self.student_map = nn.Linear(setting.student_dim, embedding_dim)
        self.teacher_map = nn.Linear(setting.teacher_dim, embedding_dim)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch."""
        with autocast_off(student.embedding):
            return cross_network_supcon(
                self.student_map(in_precision_of(self, student.embedding)),
                self.teacher_map(in_precision_of(self, teacher.embedding.detach())),
                batch.target,
                temperature=self.temperature,
            )


def _head(width: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, out))
