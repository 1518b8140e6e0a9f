"""Wasserstein contrastive representation distillation (Chen et al., CVPR 2021, arXiv 2012.08674)."""

from typing import Literal, cast

from torch import Tensor, nn

from wcord.checks import (
    UsageError,
    require_bool,
    require_choice,
    require_counts,
    require_finite,
    require_matrix,
    require_number,
    require_same_rows,
    require_widths,
)
from wcord.contrast.critic import EMBEDDING_DIM, Critic, Normalize, moments
from wcord.contrast.crossed import CrossedNCE
from wcord.contrast.estimate import Objective
from wcord.contrast.memory import MOMENTUM, QUEUE_SIZE
from wcord.contrast.nce import NUM_NEGATIVES, TEMPERATURE, Constant, Estimator, NegativeChoice
from wcord.losses.anchor import Anchor, AnchorTo
from wcord.losses.loss_report import LossReport
from wcord.numerics import FullPrecisionModule, autocast_off, in_precision_of
from wcord.transport import require_transport_settings, transport_parts

TransportGradient = Literal["entropic", "sharp"]
TransportFeatures = Literal["raw", "critic"]


class WCoRDLoss(FullPrecisionModule):
    r"""Transfer a teacher's embedding by both forms of the Wasserstein distance.

    total = λ1·L_GCKT + λ2·L_LCKT

    - **GCKT**, global, the dual form: a critic ĝ that is Lipschitz by spectral normalisation (`contrast.Critic`) tells
      pairs of one sample from pairs of different samples, whose embeddings come from a memory over the training set:
      `contrast.nce_loss` with score ĝ/τ (`objective="nce"`), or the difference of means itself (`"dual"`), in both
      directions.
    - **LCKT**, local, the primal form: entropic transport between the batch's student and teacher features,
      Σ P_ij (1 − cos(t_i, s_j)), by Sinkhorn (`transport.transport_loss`).

    The paper's public record leaves much open and no public implementation of it is known. What is our reading, or was
    chosen by trial, is an option: the critic's form, the cosine cost, ε, the iterations, the features of LCKT, and the
    weights. The constants of the contrast are those of CRD's public code. The classes of the two networks may differ:
    no logits are compared.

    With `num_samples` each side has a bank and every batch needs its row numbers; the positive is the stored opposite
    row, and the memory moves by 0.5·old + 0.5·new. Without it each side has a queue and the positive is the current
    opposite embedding; its first step has nothing to contrast with, so GCKT is zero there. Like BatchNorm, memories,
    constants and moments move at the end of a training-mode forward and stand still in eval mode. All of it is in the
    state dict.

    The report's diagnostics hold the mass on the diagonal of LCKT's plan, which says whether transport does more than
    match each sample with itself, and the error of the plan's marginals.

    A part of weight 0 is neither built nor computed. Autocast is switched off inside: the heads are small.
    The teacher's *features* are detached; the critic's teacher side trains, as the critic is fitted to tell pairs.

    Args:
        student_dim: width of the student's embedding.
        teacher_dim: width of the teacher's embedding.
        num_samples: N, number of training samples; None for queues, which need no index.
        embedding_dim: width of the critic's embeddings.
        num_negatives: M, negatives per anchor.
        temperature: τ.
        momentum: weight of the old row when a bank is written.
        gckt_weight: λ1; CRD's 0.8.
        lckt_weight: λ2.
        objective: `nce` or `dual`.
        estimator: `sampled` (each anchor its own draw, as CRD), `shared` (one draw for the batch, the cheapest) or
            `expected` (every row, weighted); docs/method.md compares them.
        epsilon: ε of the transport, in units of the cost.
        iterations: Sinkhorn iterations.
        normalize: unit length `before` the critic's maps, or `after` them (for comparison; banks then keep unit rows).
        standardize: standardise the critic's features over the batch; without, nothing is learned.
        constant: normalising constant: `first` (CRD), `refresh` or `analytic`.
        negatives: `uniform`, or `other_class`, which needs labels.
        queue_size: rows of a queue.
        gradient: of the transport: `entropic` (plan held constant) or `sharp`.
        features: of LCKT: `raw` (the teacher's as they are, the student's through one learned map without bias), or
            `critic` (GCKT's embeddings, whose learned sides only GCKT keeps from collapsing).
        anchor: α in [0, 1] of the plan's prior Q = (1−α)·uniform + α·identity: 0 is the paper's LCKT, towards 1 row i
            must go to row i.
        anchor_end: α after `anneal_steps` steps, approached linearly; None keeps α.
        anneal_steps: training-mode forwards after which α has become `anchor_end`.
        anchor_to: `sample`, or `class`: the prior's identity is spread over equal labels, which are then needed.
        lckt_standardize: standardise both sides of LCKT over the batch first, as the anchored form does.

    Raises:
        UsageError: on a missing or unfit index, a batch of one with LCKT or standardisation, NaN or infinity, options
            that contradict each other.

    Example:
        >>> import torch
        >>> criterion = WCoRDLoss(6, 10, num_samples=50, num_negatives=20, epsilon=0.5)
        >>> report = criterion(torch.randn(4, 6), torch.randn(4, 10), torch.tensor([0, 7, 9, 49]))
        >>> sorted(report.parts)
        ['gckt', 'lckt']
        >>> torch.equal(report.total, 0.8 * report.parts["gckt"] + 0.05 * report.parts["lckt"])
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
        gckt_weight: float = 0.8,
        lckt_weight: float = 0.05,
        objective: Objective = "nce",
        estimator: Estimator = "sampled",
        epsilon: float = 0.05,
        iterations: int = 10,
        normalize: Normalize = "before",
        standardize: bool = True,
        constant: Constant = "first",
        negatives: NegativeChoice = "uniform",
        queue_size: int = QUEUE_SIZE,
        gradient: TransportGradient = "entropic",
        features: TransportFeatures = "raw",
        anchor: float = 0.0,
        anchor_end: float | None = None,
        anneal_steps: int | None = None,
        anchor_to: AnchorTo = "sample",
        lckt_standardize: bool = False,
    ) -> None:
        super().__init__()
        require_counts(student_dim=student_dim, teacher_dim=teacher_dim)
        _check_weights(gckt_weight, lckt_weight, features)
        self.dims = (student_dim, teacher_dim)
        self.gckt_weight = gckt_weight
        self.lckt_weight = lckt_weight
        self.share_critic = features == "critic"
        self.critic: Critic | None = None
        self.contrast: CrossedNCE | None = None
        self.local: _Local | None = None
        if gckt_weight:
            self.critic = Critic(
                student_dim, teacher_dim, embedding_dim=embedding_dim, normalize=normalize, standardize=standardize
            )
            self.contrast = CrossedNCE(
                embedding_dim,
                num_samples=num_samples,
                queue_size=queue_size,
                momentum=momentum,
                renormalize=normalize == "after",
                num_negatives=num_negatives,
                temperature=temperature,
                objective=objective,
                estimator=estimator,
                constant=constant,
                negatives=negatives,
            )
        if lckt_weight:
            self.local = _Local(
                embedding_dim if self.share_critic else student_dim,
                embedding_dim if self.share_critic else teacher_dim,
                mapped=not self.share_critic,
                standardize=lckt_standardize,
                epsilon=epsilon,
                iterations=iterations,
                gradient=gradient,
                anchor=Anchor(anchor, anchor_end, anneal_steps, anchor_to),
            )

    def forward(
        self,
        student_embedding: Tensor,
        teacher_embedding: Tensor,
        index: Tensor | None = None,
        *,
        labels: Tensor | None = None,
    ) -> LossReport:
        """Return the weighted total and the unweighted parts of a batch, and in training mode move the memory.

        Args:
            student_embedding: features of the student, B×student_dim.
            teacher_embedding: features of the teacher, B×teacher_dim.
            index: row numbers in the training set, B; needed where `num_samples` was given.
            labels: classes, B, for `negatives="other_class"`.
        """
        self._check(student_embedding, teacher_embedding)
        with autocast_off(student_embedding):
            student = in_precision_of(self, student_embedding)
            teacher = in_precision_of(self, teacher_embedding.detach())
            parts: dict[str, Tensor] = {}
            diagnostics: dict[str, Tensor] = {}
            total = student.new_zeros(())
            sides = embedded = (student, teacher)
            if self.critic is not None and self.contrast is not None:
                embedded = cast("tuple[Tensor, Tensor]", self.critic(student, teacher))
                parts["gckt"] = self.contrast(embedded[0], embedded[1], index, labels=labels)
                total = total + self.gckt_weight * parts["gckt"]
            if self.local is not None:
                parts["lckt"], diagnostics = self.local(*(embedded if self.share_critic else sides), labels=labels)
                total = total + self.lckt_weight * parts["lckt"]
            if self.contrast is not None and self.training:
                self.contrast.write(embedded[0], embedded[1], index, labels, checked=True)
        return LossReport(total, parts, diagnostics)

    def _check(self, student: Tensor, teacher: Tensor) -> None:
        for name, side in (("student_embedding", student), ("teacher_embedding", teacher)):
            require_matrix(name, side, min_rows=1 if self.local is None else 2)
            require_finite(name, side)
        require_same_rows("student_embedding", student, "teacher_embedding", teacher)
        require_widths("WCoRDLoss", self.dims, (student.shape[1], teacher.shape[1]))


class _Local(nn.Module):
    """LCKT: transport between the features of a batch."""

    def __init__(
        self,
        student_dim: int,
        teacher_dim: int,
        *,
        mapped: bool,
        standardize: bool,
        epsilon: float,
        iterations: int,
        gradient: TransportGradient,
        anchor: Anchor,
    ) -> None:
        super().__init__()
        require_bool("lckt_standardize", standardize)
        require_transport_settings(epsilon=epsilon, iterations=iterations, gradient=gradient)
        self.epsilon = epsilon
        self.iterations = iterations
        self.gradient: TransportGradient = gradient
        self.anchor = anchor
        self.student_moments = moments(student_dim, standardize)
        self.teacher_moments = moments(teacher_dim, standardize)
        self.student_map = nn.Linear(student_dim, teacher_dim, bias=False) if mapped else nn.Identity()

    def forward(self, student: Tensor, teacher: Tensor, *, labels: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        student = self.student_map(self.student_moments(student))
        teacher = self.teacher_moments(teacher)
        prior = self.anchor(student, labels)
        solved = transport_parts(
            student, teacher, epsilon=self.epsilon, iterations=self.iterations, prior=prior, gradient=self.gradient
        )
        return solved.cost, {"diagonal_mass": solved.diagonal_mass, "marginal_error": solved.marginal_error}


def _check_weights(gckt_weight: float, lckt_weight: float, features: str) -> None:
    require_choice("features", features, ("raw", "critic"))
    require_number("gckt_weight", gckt_weight, low=0)
    require_number("lckt_weight", lckt_weight, low=0)
    if gckt_weight == lckt_weight == 0:
        raise UsageError("gckt_weight and lckt_weight must not both be 0: give one of them a weight")
    if features == "critic" and gckt_weight == 0:
        raise UsageError(
            "features='critic' needs GCKT beside LCKT, received gckt_weight=0: alone, both learned sides collapse; "
            "give gckt_weight above 0, or use features='raw'"
        )
