"""The critic: two spectrally normalized maps whose inner product scores a pair of feature vectors."""

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from wcord.checks import require_bool, require_counts, require_matrix, require_same_rows, require_widths
from wcord.numerics import FullPrecisionModule, autocast_off, in_precision_of, unit_rows

EMBEDDING_DIM = 128
"""Width of the embeddings, from CRD's public code."""


class Critic(FullPrecisionModule):
    r"""Map both feature vectors of a pair to embeddings whose inner product is a Lipschitz score.

    ĝ(h_s, h_t) = ⟨B n(h_s), A n(h_t)⟩,  n(h) = h / sqrt(|h|² + 1e-6)

    h_s is `student` (B×student_dim), h_t is `teacher` (B×teacher_dim), both standardized per dimension over the batch
    by a BatchNorm without affine parameters first. B and A are linear maps **without bias** into `embedding_dim`
    dimensions, each divided by its largest singular value, which is tracked by one power iteration per training step.
    So ‖A‖, ‖B‖ ≤ 1 and |ĝ| ≤ 1 up to the error of the power iteration (σmax about 1.03 at the start), and ĝ is
    1-Lipschitz in the standardized unit vectors for |u−u'| + |v−v'|. The normalization before it is not Lipschitz near
    zero.

    A bias would escape the constraint: with one, training diverges. Without standardization the common mean of ReLU
    features leaves all cosines near 0.8 and nothing is learned.

    Both maps are trained with the student, so gradients flow to the parameters of the teacher's side; the caller
    detaches the teacher's *features*.

    Args:
        student_dim: width of the student's features.
        teacher_dim: width of the teacher's features.
        embedding_dim: width of the embeddings; CRD's 128.
        standardize: standardize each dimension over the batch first (running statistics in eval mode).

    Raises:
        UsageError: on a batch of one in training mode with `standardize`, or on sides that differ in rows.

    Example:
        >>> import torch
        >>> student, teacher = Critic(6, 10, embedding_dim=4)(torch.randn(8, 6), torch.randn(8, 10))
        >>> student.shape, teacher.shape, bool(((student * teacher).sum(1).abs() <= 1.1).all())
        (torch.Size([8, 4]), torch.Size([8, 4]), True)
    """

    def __init__(
        self,
        student_dim: int,
        teacher_dim: int,
        *,
        embedding_dim: int = EMBEDDING_DIM,
        standardize: bool = True,
    ) -> None:
        super().__init__()
        require_bool("standardize", standardize)
        require_counts(student_dim=student_dim, teacher_dim=teacher_dim, embedding_dim=embedding_dim)
        self.dims = (student_dim, teacher_dim)
        self.standardize = standardize
        self.student_moments = moments(student_dim, standardize)
        self.teacher_moments = moments(teacher_dim, standardize)
        self.student_map = spectral_norm(nn.Linear(student_dim, embedding_dim, bias=False))
        self.teacher_map = spectral_norm(nn.Linear(teacher_dim, embedding_dim, bias=False))

    def forward(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings of both sides, B×embedding_dim each."""
        least = 2 if self.training and self.standardize else 1
        require_matrix("the student's embedding", student, min_rows=least)
        require_matrix("the teacher's embedding", teacher, min_rows=least)
        require_same_rows("the student's embedding", student, "the teacher's embedding", teacher)
        require_widths("the critic", self.dims, (student.shape[1], teacher.shape[1]))
        # A bf16 power iteration would follow the wrong singular vector, so autocast stops here.
        with autocast_off(student):
            student = self.student_moments(in_precision_of(self, student))
            teacher = self.teacher_moments(in_precision_of(self, teacher))
            return self.student_map(unit_rows(student)), self.teacher_map(unit_rows(teacher))


def moments(dim: int, standardize: bool) -> nn.Module:
    """Return a module that standardizes each of `dim` dimensions over the batch, or returns the features unchanged.

    >>> import torch
    >>> moments(1, True)(torch.tensor([[1.0], [3.0]])).flatten(), moments(1, False)
    (tensor([-1.0000,  1.0000]), Identity())
    """
    return nn.BatchNorm1d(dim, affine=False) if standardize else nn.Identity()
