"""Noise-contrastive estimation in one direction: what draws the negatives and keeps the normalising constant."""

import math
from typing import Literal

import torch
from torch import Tensor

from wcord.checks import (
    UsageError,
    require_choice,
    require_counts,
    require_kind,
    require_matrix,
    require_positive,
    require_same_shape,
)
from wcord.contrast.draws import draw_other_class, draw_rows
from wcord.contrast.estimate import Negatives, Objective, log_mean_exp_score, nce_loss, require_draw
from wcord.contrast.memory import Bank, Queue
from wcord.numerics import Settles

Estimator = Literal["sampled", "expected", "shared"]
Constant = Literal["first", "refresh", "analytic"]
NegativeChoice = Literal["uniform", "other_class"]

NUM_NEGATIVES = 16384
"""Negatives per anchor, from CRD's public code."""
TEMPERATURE = 0.07
"""Temperature of the scores, from CRD's public code."""
REFRESH = 0.99
"""Weight of the old constant in the moving average of `constant="refresh"`."""


class NCE(Settles):
    r"""Contrast anchors with a memory of opposite embeddings, with a normalising constant that is kept.

    The loss is `nce_loss`; here stand the choices around it. `constant` says where log(Z/N) comes from:

    - `first`: log mean exp of the scores of the first training step, positives included, and fixed from then on (CRD);
    - `refresh`: the same, followed by a moving average with weight 0.99 that each training step moves before it is
      used, at the price of one more pass over the scores;
    - `analytic`: 1/(2·D·τ²), its value for unit vectors in random directions.

    The constant stands in persistent buffers, to be set by `load_state_dict` alone: that there is one is remembered
    besides. In eval mode it never moves; asked before it was ever set, it is computed from the batch and forgotten. An
    empty memory (a queue's first step) offers nothing to contrast with: the loss is then a zero that is attached to the
    graph, and the constant stays unset.

    Args:
        embedding_dim: D, needed by `analytic`.
        num_negatives: M, negatives per anchor.
        temperature: τ.
        objective: `nce`, or `dual` (no temperature and no constant).
        estimator: `sampled` (each anchor its own draw), `expected` (every row, weighted), `shared` (one draw a batch).
        constant: see above.
        negatives: `uniform` over the valid rows, or `other_class`, over those of other classes than the anchor's.

    Raises:
        UsageError: on an unknown choice, or on `other_class` without labels.

    Example:
        >>> bank = Bank(20, 4)
        >>> nce = NCE(4, num_negatives=8, constant="analytic", temperature=1.0)
        >>> loss = nce(bank.rows[:2], bank.rows[:2], bank)
        >>> round(float(nce.log_mean_exp), 3), bool(loss > 0)
        (0.125, True)
    """

    log_mean_exp: Tensor
    is_set: Tensor

    def __init__(
        self,
        embedding_dim: int,
        *,
        num_negatives: int = NUM_NEGATIVES,
        temperature: float = TEMPERATURE,
        objective: Objective = "nce",
        estimator: Estimator = "sampled",
        constant: Constant = "first",
        negatives: NegativeChoice = "uniform",
    ) -> None:
        super().__init__()
        require_counts(embedding_dim=embedding_dim, num_negatives=num_negatives)
        require_positive("temperature", temperature)
        require_choice("objective", objective, ("nce", "dual"))
        require_choice("estimator", estimator, ("sampled", "expected", "shared"))
        require_choice("constant", constant, ("first", "refresh", "analytic"))
        require_choice("negatives", negatives, ("uniform", "other_class"))
        self.num_negatives = num_negatives
        self.temperature = temperature
        self.objective: Objective = objective
        self.estimator = estimator
        self.constant = constant
        self.negatives = negatives
        analytic = 1 / (2 * embedding_dim * temperature**2) if constant == "analytic" else 0.0
        self.register_buffer("log_mean_exp", torch.tensor(analytic))
        self.register_buffer("is_set", torch.tensor(constant == "analytic"))
        self._was_set = False  # whether `is_set` is known to be True: to look at it again would wait for a GPU
        self.register_load_state_dict_post_hook(_forget)

    @property
    def settled(self) -> bool:
        """Whether the constant stands, where there is one; the first training-mode step that needs it sets it."""
        return self.objective != "nce" or self._has_constant()

    def forward(
        self,
        anchor: Tensor,
        positive: Tensor,
        memory: Bank | Queue,
        *,
        index: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of `anchor` (B×D) against `positive` (B×D) and the memory's rows.

        Args:
            anchor: embeddings that are taught.
            positive: the opposite embedding of each sample.
            memory: holds opposite embeddings.
            index: the draw, as `draw` returns it; drawn here when None. Two directions may share one.
            labels: classes of the anchors, for `other_class`.
        """
        require_kind("memory", memory, (Bank, Queue), "a Bank or a Queue")
        require_matrix("anchor", anchor)
        require_matrix("positive", positive)
        require_same_shape("anchor", anchor, "positive", positive)
        if memory.storage.shape[1] != anchor.shape[1]:
            raise UsageError(
                f"anchor must be as wide as the memory, {memory.storage.shape[1]}, received {anchor.shape[1]}"
            )
        if memory.num_valid == 0:
            return (anchor.sum() + positive.sum()) * 0.0
        labels = self._needed(labels)
        if index is None:
            index = self.draw(memory, anchor.shape[0], labels=labels)
        else:
            require_draw(index, anchor.shape[0], memory.num_valid)
        row_labels = None if labels is None else memory.labels
        drawn = Negatives(memory.rows, index, self._total(index), labels, row_labels)
        return nce_loss(
            anchor,
            positive,
            drawn.rows,
            index,
            temperature=self.temperature,
            log_mean_exp=self._constant_of(anchor, positive, drawn) if self.objective == "nce" else 0.0,
            num_negatives=drawn.total,
            objective=self.objective,
            labels=labels,
            row_labels=row_labels,
        )

    @torch.no_grad()
    def draw(
        self,
        memory: Bank | Queue,
        batch: int,
        *,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor | None:
        """Return the row numbers of a batch's negatives as the estimator wants them: B×K, K, or None for all rows.

        Rows are drawn without replacement while there are enough of them, with replacement beyond; see `draw_rows` for
        how.
        """
        labels = self._needed(labels)
        if self.estimator == "expected" or memory.num_valid == 0:
            return None
        if self.estimator == "sampled" and labels is not None:
            return draw_other_class(memory.labels, labels, self.num_negatives, generator=generator)
        anchors = batch if self.estimator == "sampled" else 1
        device = memory.storage.device
        drawn = draw_rows(memory.num_valid, self.num_negatives, batch=anchors, device=device, generator=generator)
        return drawn if self.estimator == "sampled" else drawn[0]

    def _total(self, index: Tensor | None) -> int:
        # A matrix that was given holds all negatives there are; a shared or full sweep stands for M of them.
        return index.shape[1] if index is not None and index.dim() == 2 else self.num_negatives

    def _needed(self, labels: Tensor | None) -> Tensor | None:
        if self.negatives == "uniform":
            return None
        if labels is None:
            raise UsageError("negatives='other_class' needs the class of every sample: pass labels, or use 'uniform'")
        return labels

    @torch.no_grad()
    def _constant_of(self, anchor: Tensor, positive: Tensor, negatives: Negatives) -> Tensor:
        """Return log(Z/N), moved first where a training step moves it."""
        is_set = self._has_constant()
        if is_set and (self.constant != "refresh" or not self.training):
            return self.log_mean_exp
        current = log_mean_exp_score(anchor, positive, negatives, temperature=self.temperature)
        if not self.training:
            return current
        if is_set:
            current = torch.logaddexp(self.log_mean_exp + math.log(REFRESH), current + math.log(1 - REFRESH))
        self.log_mean_exp.copy_(current)
        self.is_set.fill_(True)
        self._was_set = True
        return self.log_mean_exp

    def _has_constant(self) -> bool:
        self._was_set = self._was_set or bool(self.is_set)
        return self._was_set


def _forget(nce: NCE, _: object) -> None:
    """A state that was loaded may be one without a constant."""
    nce._was_set = False
