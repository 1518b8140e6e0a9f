"""RSD as a term: the student's embedding, projected by a head, and the teacher's."""

from torch import Tensor, nn

from wcord.checks import require_counts, require_number
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import rsd_loss
from wcord.methods.setting import Setting
from wcord.methods.term import Needs, Term
from wcord.numerics import autocast_off, in_precision_of


class RSDTerm(Term):
    """Correlations between the dimensions of the projected student and those of the teacher.

    The head is linear → BN → GELU → linear, inside `expansion` times as wide as the student's embedding; it keeps the
    loss from reshaping the embedding itself, and is dropped after the training. Its layers have no bias, as in the
    authors' code: BN and the standardization of the loss would remove one.

    Args:
        name: of the term.
        setting: with the widths of both embeddings.
        kappa: weight of the correlations between different dimensions, the authors' default.
        expansion: width of the head's inside over the student's; our choice, as the authors' is not published.
    """

    needs = Needs(min_batch=2, whole_batch=True)

    def __init__(self, name: str, setting: Setting, *, kappa: float = 0.01, expansion: int = 2) -> None:
        super().__init__()
        require_counts(expansion=expansion)
        require_number("kappa", kappa, low=0)
        self.kappa = kappa
        width = expansion * setting.student_dim
        self.head = nn.Sequential(
            nn.Linear(setting.student_dim, width, bias=False),
            nn.BatchNorm1d(width),
            nn.GELU(),
            nn.Linear(width, setting.teacher_dim, bias=False),
        )

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch."""
        with autocast_off(student.embedding):
            projected = self.head(in_precision_of(self, student.embedding))
        return rsd_loss(projected, teacher.embedding, kappa=self.kappa)
