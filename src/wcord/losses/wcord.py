"""Wasserstein contrastive representation distillation (Chen et al., CVPR 2021, arXiv 2012.08674): GCKT plus LCKT."""

import inspect
from collections.abc import Iterable
from typing import Any, TypedDict, Unpack

from torch import Tensor, nn

from wcord.checks import UsageError, require_choice, require_number
from wcord.contrast.crossed import Estimator, NegativeChoice
from wcord.losses.anchor import AnchorTo
from wcord.losses.gckt import GCKTLoss
from wcord.losses.lckt import LCKTLoss
from wcord.losses.loss_report import LossReport
from wcord.numerics import FullPrecisionModule

GCKT_WEIGHT = 0.8
"""λ1, CRD's weight."""
LCKT_WEIGHT = 0.05
"""λ2, the paper's weight."""
REMOVED = {
    "constant": ("first", "the normalizing constant is that of the first training batch"),
    "features": ("raw", "LCKT compares the networks' features"),
    "gradient": ("entropic", "LCKT holds its plan constant; transport_loss still has gradient='sharp'"),
    "normalize": ("before", "features have unit length before the critic's maps"),
    "objective": ("nce", "GCKT is noise-contrastive estimation"),
}
"""Option of earlier versions → the value that it now always has, and what that means."""


class WCoRDOptions(TypedDict, total=False):
    """The options of `GCKTLoss` and `LCKTLoss`, which hold their defaults."""

    num_samples: int | None
    embedding_dim: int
    num_negatives: int
    temperature: float
    momentum: float
    estimator: Estimator
    standardize: bool
    negatives: NegativeChoice
    queue_size: int
    epsilon: float
    iterations: int
    anchor: float
    anchor_end: float | None
    anneal_steps: int | None
    anchor_to: AnchorTo
    lckt_standardize: bool


class WCoRDLoss(FullPrecisionModule):
    r"""Transfer a teacher's embedding by both forms of the Wasserstein distance.

    total = λ1·L_GCKT + λ2·L_LCKT,  λ1 = `gckt_weight`, λ2 = `lckt_weight`

    The report's diagnostics contain the mass on the diagonal of LCKT's plan and the error of the plan's marginals. A
    part of weight 0 is neither built nor computed. States that earlier versions saved still load.

    Args:
        student_dim: width of the student's embedding.
        teacher_dim: width of the teacher's embedding.
        gckt_weight: λ1; CRD's 0.8.
        lckt_weight: λ2; the paper's 0.05.
        options: keyword arguments of `GCKTLoss` and `LCKTLoss`; each loss takes its own.

    Raises:
        UsageError: on options that neither loss has, and as the two losses do.

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
        gckt_weight: float = GCKT_WEIGHT,
        lckt_weight: float = LCKT_WEIGHT,
        **options: Unpack[WCoRDOptions],
    ) -> None:
        super().__init__()
        require_number("gckt_weight", gckt_weight, low=0)
        require_number("lckt_weight", lckt_weight, low=0)
        if gckt_weight == lckt_weight == 0:
            raise UsageError("gckt_weight and lckt_weight must not both be 0: give one of them a weight")
        of_gckt, of_lckt = _options_of(GCKTLoss), _options_of(LCKTLoss)
        for name, value in options.items():
            require_option("WCoRDLoss", name, value, (*of_gckt, *of_lckt))
        self.gckt_weight = gckt_weight
        self.lckt_weight = lckt_weight
        self.gckt = GCKTLoss(student_dim, teacher_dim, **_taken(options, of_gckt)) if gckt_weight else None
        self.lckt = LCKTLoss(student_dim, teacher_dim, **_taken(options, of_lckt)) if lckt_weight else None
        self.register_load_state_dict_pre_hook(_rename_keys)

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
            index: row numbers in the training set, B; needed with `num_samples`.
            labels: classes, B, for `negatives="other_class"` and `anchor_to="class"`.
        """
        parts: dict[str, Tensor] = {}
        diagnostics: dict[str, Tensor] = {}
        weighted: list[Tensor] = []
        if self.gckt is not None:
            parts["gckt"] = self.gckt(student_embedding, teacher_embedding, index, labels=labels)
            weighted.append(self.gckt_weight * parts["gckt"])
        if self.lckt is not None:
            plan = self.lckt.plan(student_embedding, teacher_embedding, labels=labels)
            parts["lckt"] = plan.cost
            weighted.append(self.lckt_weight * plan.cost)
            diagnostics = {"diagonal_mass": plan.diagonal_mass, "marginal_error": plan.marginal_error}
        return LossReport(sum(weighted[1:], weighted[0]), parts, diagnostics)


def require_option(what: str, name: str, value: object, known: Iterable[str]) -> None:
    """Raise unless `name` is a known option of `what`, or one of an earlier version with the value that still holds.

    >>> require_option("wcord", "features", "raw", ["epsilon"])
    >>> require_option("wcord", "features", "critic", ["epsilon"])
    Traceback (most recent call last):
        ...
    wcord.checks.UsageError: option 'features' of wcord was removed: LCKT compares ...
    """
    known = tuple(known)
    if name in REMOVED and name not in known:
        remaining, meaning = REMOVED[name]
        if value == remaining:
            return
        raise UsageError(f"option {name!r} of {what} was removed: {meaning} ({remaining!r}); leave it out")
    require_choice(f"option of {what}", name, known)


def _options_of(loss: type[nn.Module]) -> tuple[str, ...]:
    parameters = inspect.signature(loss).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)


def _taken(options: WCoRDOptions, names: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in names}


def _rename_keys(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Rename the keys of states from before GCKT and LCKT were losses of their own."""
    for old, new in (("critic.", "gckt.critic."), ("contrast.", "gckt.contrast."), ("local.", "lckt.")):
        for key in [key for key in state if key.startswith(prefix + old)]:
            state[prefix + new + key.removeprefix(prefix + old)] = state.pop(key)
