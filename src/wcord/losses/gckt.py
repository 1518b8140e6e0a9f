"""Global contrastive knowledge transfer, a part of WCoRD (Chen et al., CVPR 2021, arXiv 2012.08674)."""

from torch import Tensor

from wcord.checks import require_widths
from wcord.contrast.critic import EMBEDDING_DIM, Critic
from wcord.contrast.crossed import NUM_NEGATIVES, TEMPERATURE, CrossedNCE, Estimator, NegativeChoice
from wcord.contrast.memory import MOMENTUM, QUEUE_SIZE
from wcord.losses.embeddings import require_embeddings
from wcord.numerics import FullPrecisionModule, autocast_off, in_precision_of


class GCKTLoss(FullPrecisionModule):
    r"""Transfer a teacher's embedding by the dual form of the Wasserstein distance, over the whole training set.

    L = NCE(z_s, memory_t) + NCE(z_t, memory_s),  (z_s, z_t) = critic(h_s, h_t)

    where h_s is `student_embedding` (B×student_dim) and h_t is `teacher_embedding` (B×teacher_dim). The critic
    ĝ = ⟨z_s, z_t⟩, 1-Lipschitz by spectral normalization (`contrast.Critic`), separates pairs of one sample from pairs
    of different samples, whose embeddings come from a memory over the training set. NCE is `contrast.nce_loss` with
    score ĝ/τ.

    The paper's public record leaves the critic's form open, and no public implementation is known: the critic is our
    reading. The constants of the contrast are those of CRD's public code. No logits are compared, so the classes of the
    two networks may differ.

    With `num_samples` each side has a bank and every batch needs its row numbers; the positive is the stored opposite
    row, and the memory moves by 0.5·old + 0.5·new. Without it each side has a queue and the positive is the current
    opposite embedding; the first step has no negatives, so the loss is zero. Like BatchNorm, memories, normalizing
    constants and moments move at the end of a training-mode forward and stay fixed in eval mode. All of them are in the
    state dict.

    Autocast is switched off inside: the heads are small. The teacher's *features* are detached; the critic's teacher
    side trains, since the critic is fitted to separate the pairs.

    Args:
        student_dim: width of the student's embedding.
        teacher_dim: width of the teacher's embedding.
        num_samples: N, number of training samples; None for queues, which need no index.
        embedding_dim: width of the critic's embeddings.
        num_negatives: M, negatives per anchor.
        temperature: τ.
        momentum: weight of the old row when a bank is written.
        estimator: `sampled` (each anchor its own draw, as CRD), `shared` (one draw for the batch, the cheapest) or
            `expected` (every row, weighted); docs/method.md compares them.
        standardize: standardize the critic's features over the batch; without it, nothing is learned.
        negatives: `uniform`, or `other_class`, which needs labels.
        queue_size: rows of a queue.

    Raises:
        UsageError: on a missing or invalid index, a batch of one with `standardize` in training mode, NaN or infinity.

    Example:
        >>> import torch
        >>> criterion = GCKTLoss(6, 10, num_samples=50, num_negatives=20)
        >>> bool(criterion(torch.randn(4, 6), torch.randn(4, 10), torch.tensor([0, 7, 9, 49])) > 0)
        True
    """

    def __init__(
        self,
        student_dim: int,
        teacher_dim: int,
        *,
        num_samples: int | None = None,
        embedding_dim: int = EMBEDDING_DIM,
        num_negatives: int = NUM_NEGATIVES,
        temperature: float = TEMPERATURE,
        momentum: float = MOMENTUM,
        estimator: Estimator = "sampled",
        standardize: bool = True,
        negatives: NegativeChoice = "uniform",
        queue_size: int = QUEUE_SIZE,
    ) -> None:
        super().__init__()
        self.critic = Critic(student_dim, teacher_dim, embedding_dim=embedding_dim, standardize=standardize)
        self.contrast = CrossedNCE(
            embedding_dim,
            num_samples=num_samples,
            queue_size=queue_size,
            momentum=momentum,
            renormalize=False,
            num_negatives=num_negatives,
            temperature=temperature,
            estimator=estimator,
            negatives=negatives,
        )

    def forward(
        self,
        student_embedding: Tensor,
        teacher_embedding: Tensor,
        index: Tensor | None = None,
        *,
        labels: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of a batch, and in training mode move the memory.

        Args:
            student_embedding: features of the student, B×student_dim.
            teacher_embedding: features of the teacher, B×teacher_dim.
            index: row numbers in the training set, B; needed with `num_samples`.
            labels: classes, B, for `negatives="other_class"`.
        """
        min_rows = 2 if self.training and self.critic.standardize else 1
        require_embeddings(student_embedding, teacher_embedding, min_rows=min_rows)
        require_widths("GCKTLoss", self.critic.dims, (student_embedding.shape[1], teacher_embedding.shape[1]))
        with autocast_off(student_embedding):
            student, teacher = self.critic(
                in_precision_of(self, student_embedding), in_precision_of(self, teacher_embedding.detach())
            )
            loss = self.contrast(student, teacher, index, labels=labels)
            if self.training:
                self.contrast.write(student, teacher, index, labels, checked=True)
        return loss
