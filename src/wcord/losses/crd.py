"""Contrastive representation distillation (Tian, Krishnan and Isola, ICLR 2020, arXiv 1910.10699)."""

from torch import Tensor, nn

from wcord.checks import require_bool, require_counts, require_widths
from wcord.contrast.critic import EMBEDDING_DIM, moments
from wcord.contrast.crossed import NUM_NEGATIVES, TEMPERATURE, CrossedNCE, Estimator, NegativeChoice
from wcord.contrast.memory import MOMENTUM
from wcord.losses.embeddings import require_embeddings
from wcord.numerics import FullPrecisionModule, autocast_off, in_precision_of, unit_rows


class CRDLoss(FullPrecisionModule):
    r"""Train the student's embedding to identify the teacher's embedding of the same sample among others.

    L = NCE(v_s, bank_t) + NCE(v_t, bank_s),  v = n(W h + b)

    where h is `student_embedding` (B×student_dim) or `teacher_embedding` (B×teacher_dim), n brings a row to unit
    length, and NCE is `contrast.nce_loss` with τ 0.07 and M = 16384 negatives per anchor. The positive is the *stored*
    opposite row. The banks move by v ← n(0.5·old + 0.5·v) at the end of a training-mode forward, never in eval mode.
    The constant Z of each direction is set once, at the first training step. All defaults are those of the authors'
    public code.

    Where it differs from that code: the binary cross-entropy form lacks its 1e-7 in the logarithms, which shifts the
    loss by 2e-7·N and no gradient, and is finite at every temperature; n adds 1e-6 to the squared length; negatives are
    drawn by `contrast` (its loader excludes the sample's own class: `negatives="other_class"`).

    The teacher's *features* are detached. The teacher's head trains, which is part of the method.

    Args:
        student_dim: width of the student's embedding.
        teacher_dim: width of the teacher's embedding.
        num_samples: N, number of training samples.
        embedding_dim: width of v.
        num_negatives: M, negatives per anchor.
        temperature: τ.
        momentum: weight of the old row when a bank is written.
        standardize: standardize the features over the batch before the heads (`crd-std`; not in the paper).
        estimator: `sampled` (the paper's), `expected` or `shared`.
        negatives: `uniform` over all samples, or `other_class`.

    Raises:
        UsageError: on shapes that do not fit, an index beyond `num_samples`, NaN or infinity, or a batch of one in
            training mode with `standardize`.

    Example:
        >>> import torch
        >>> criterion = CRDLoss(6, 10, num_samples=50, num_negatives=20)
        >>> bool(criterion(torch.randn(4, 6), torch.randn(4, 10), torch.tensor([0, 7, 9, 49])) > 0)
        True
    """

    def __init__(
        self,
        student_dim: int,
        teacher_dim: int,
        *,
        num_samples: int,
        embedding_dim: int = EMBEDDING_DIM,
        num_negatives: int = NUM_NEGATIVES,
        temperature: float = TEMPERATURE,
        momentum: float = MOMENTUM,
        standardize: bool = False,
        estimator: Estimator = "sampled",
        negatives: NegativeChoice = "uniform",
    ) -> None:
        super().__init__()
        require_counts(
            student_dim=student_dim, teacher_dim=teacher_dim, num_samples=num_samples, embedding_dim=embedding_dim
        )
        require_bool("standardize", standardize)
        self.dims = (student_dim, teacher_dim)
        self.standardize = standardize
        self.student_moments = moments(student_dim, standardize)
        self.teacher_moments = moments(teacher_dim, standardize)
        self.student_head = nn.Linear(student_dim, embedding_dim)
        self.teacher_head = nn.Linear(teacher_dim, embedding_dim)
        self.contrast = CrossedNCE(
            embedding_dim,
            num_samples=num_samples,
            queue_size=num_samples,
            momentum=momentum,
            renormalize=True,
            num_negatives=num_negatives,
            temperature=temperature,
            estimator=estimator,
            negatives=negatives,
        )

    def forward(
        self,
        student_embedding: Tensor,
        teacher_embedding: Tensor,
        index: Tensor,
        *,
        labels: Tensor | None = None,
        negative_index: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of a batch, and in training mode move the banks.

        Args:
            student_embedding: features of the student, B×student_dim.
            teacher_embedding: features of the teacher, B×teacher_dim.
            index: row numbers in the training set, B.
            labels: classes, B, for `negatives="other_class"`.
            negative_index: row numbers of the negatives, B×K; drawn here when None.
        """
        min_rows = 2 if self.training and self.standardize else 1
        require_embeddings(student_embedding, teacher_embedding, min_rows=min_rows)
        require_widths("CRDLoss", self.dims, (student_embedding.shape[1], teacher_embedding.shape[1]))
        with autocast_off(student_embedding):
            student, teacher = self.embed(student_embedding, teacher_embedding.detach())
            loss = self.contrast(student, teacher, index, labels=labels, negative_index=negative_index)
            if self.training:
                self.contrast.write(student, teacher, index, labels, checked=True)
        return loss

    def embed(self, student_embedding: Tensor, teacher_embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Return the unit vectors of both sides (B×embedding_dim each), whose inner product scores a pair."""
        student = self.student_head(self.student_moments(in_precision_of(self, student_embedding)))
        teacher = self.teacher_head(self.teacher_moments(in_precision_of(self, teacher_embedding)))
        return unit_rows(student), unit_rows(teacher)
