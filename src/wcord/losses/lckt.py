"""Local contrastive knowledge transfer, a part of WCoRD (Chen et al., CVPR 2021, arXiv 2012.08674)."""

from torch import Tensor, nn

from wcord.checks import require_bool, require_counts, require_widths
from wcord.contrast.critic import moments
from wcord.losses.anchor import Anchor, AnchorTo
from wcord.losses.embeddings import require_embeddings
from wcord.numerics import FullPrecisionModule, autocast_off, in_precision_of
from wcord.transport import EPSILON, ITERATIONS, TransportParts, require_transport_settings, transport_parts


class LCKTLoss(FullPrecisionModule):
    r"""Transfer a teacher's embedding by the primal form of the Wasserstein distance, inside the batch.

    L = Σ_ij P_ij (1 − cos(t_i, s_j))

    where s is one learned linear map, without bias, of `student_embedding` (B×student_dim), t is `teacher_embedding`
    (B×teacher_dim), and P is the entropic transport plan between them, by Sinkhorn (`transport.transport_loss`), held
    constant in the gradient.

    The paper's public record leaves the cost, ε, the iterations and the map open, and no public implementation is
    known: they are our reading, or were chosen by measurement. The anchored form (`anchor` above 0) is this project's:
    the plan has the known pairs of the batch as a prior, see `losses.anchor`.

    Autocast is switched off inside. The teacher is detached.

    Args:
        student_dim: width of the student's embedding.
        teacher_dim: width of the teacher's embedding.
        epsilon: ε of the transport, in units of the cost.
        iterations: Sinkhorn iterations.
        anchor: α in [0, 1] of the plan's prior Q = (1−α)·uniform + α·identity: 0 is the paper's LCKT; near 1, row i
            must go to row i.
        anchor_end: α after `anneal_steps` steps, approached linearly; None keeps α.
        anneal_steps: training-mode forwards after which α has become `anchor_end`.
        anchor_to: `sample`, or `class`: the prior's identity is spread over equal labels, which are then needed.
        lckt_standardize: standardize both sides over the batch first, as the anchored form does.

    Raises:
        UsageError: on a batch of one, NaN or infinity, or options that contradict each other.

    Example:
        >>> import torch
        >>> criterion = LCKTLoss(6, 10, epsilon=0.5)
        >>> 0 < criterion(torch.randn(4, 6), torch.randn(4, 10)).item() < 2
        True
    """

    def __init__(
        self,
        student_dim: int,
        teacher_dim: int,
        *,
        epsilon: float = EPSILON,
        iterations: int = ITERATIONS,
        anchor: float = 0.0,
        anchor_end: float | None = None,
        anneal_steps: int | None = None,
        anchor_to: AnchorTo = "sample",
        lckt_standardize: bool = False,
    ) -> None:
        super().__init__()
        require_counts(student_dim=student_dim, teacher_dim=teacher_dim)
        require_bool("lckt_standardize", lckt_standardize)
        require_transport_settings(epsilon=epsilon, iterations=iterations)
        self.dims = (student_dim, teacher_dim)
        self.epsilon = epsilon
        self.iterations = iterations
        self.anchor = Anchor(anchor, anchor_end, anneal_steps, anchor_to)
        self.student_moments = moments(student_dim, lckt_standardize)
        self.teacher_moments = moments(teacher_dim, lckt_standardize)
        self.student_map = nn.Linear(student_dim, teacher_dim, bias=False)

    def forward(self, student_embedding: Tensor, teacher_embedding: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """Return the loss of a batch, the cost of its `plan`."""
        return self.plan(student_embedding, teacher_embedding, labels=labels).cost

    def plan(
        self, student_embedding: Tensor, teacher_embedding: Tensor, *, labels: Tensor | None = None
    ) -> TransportParts:
        """Return the loss of a batch with the plan's mass on the diagonal and the error of its marginals.

        The mass on the diagonal says whether transport does more than match each sample with itself. A training-mode
        call moves α and the moments.

        Args:
            student_embedding: features of the student, B×student_dim.
            teacher_embedding: features of the teacher, B×teacher_dim.
            labels: classes, B, for `anchor_to="class"`.
        """
        require_embeddings(student_embedding, teacher_embedding, min_rows=2)
        require_widths("LCKTLoss", self.dims, (student_embedding.shape[1], teacher_embedding.shape[1]))
        with autocast_off(student_embedding):
            student = self.student_map(self.student_moments(in_precision_of(self, student_embedding)))
            teacher = self.teacher_moments(in_precision_of(self, teacher_embedding.detach()))
            prior = self.anchor(student, labels)
            return transport_parts(student, teacher, epsilon=self.epsilon, iterations=self.iterations, prior=prior)
