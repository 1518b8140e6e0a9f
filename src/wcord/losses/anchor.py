"""Anchor: known pairs as a prior on the transport plan (this project, after WCoRD)."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from wcord.checks import UsageError, require_choice, require_counts, require_fraction
from wcord.losses.progress import Progress

AnchorTo = Literal["sample", "class"]


class Anchor(nn.Module):
    r"""The prior of a transport plan inside a batch, between uniform and pairwise matching.

    Q_ij = (1−α)/n² + α/n·E_ij,  E the identity, or E_ij = 1[y_i = y_j] / #{k: y_k = y_i}

    α goes linearly from `start` to `end` over `steps` training-mode calls (see `Progress`).

    Args:
        start: α in [0, 1].
        end: α after `steps` calls; None keeps `start`.
        steps: the number of calls.
        to: `sample` or `class`.

    Raises:
        UsageError: on an α outside [0, 1], an end without steps, or missing labels.

    Example:
        >>> Anchor(0.5, None, None, "class")(torch.zeros(2, 3), torch.tensor([7, 7]))
        tensor([[0.2500, 0.2500],
                [0.2500, 0.2500]])
    """

    def __init__(self, start: float, end: float | None, steps: int | None, to: AnchorTo) -> None:
        super().__init__()
        require_choice("anchor_to", to, get_args(AnchorTo))
        require_fraction("anchor", start)
        if steps is not None:
            require_counts(anneal_steps=steps)
        if end is not None:
            require_fraction("anchor_end", end)
            if steps is None:
                raise UsageError("anchor_end needs anneal_steps, the number of steps until it is reached: give both")
        self.start, self.end, self.to_class = start, end, to == "class"
        self.progress = None if end is None or steps is None else Progress(steps)

    @property
    def alpha(self) -> float:
        """The current α."""
        return self.start if self.progress is None else float(self._at(self.progress.share))

    def forward(self, like: Tensor, labels: Tensor | None) -> Tensor | None:
        """Return Q, B×B, in the dtype of `like` (B×D), or None if α stays 0; a training-mode call moves α."""
        if self.progress is None and self.start == 0:
            return None
        alpha, n = self.start if self.progress is None else self._at(self.progress()), like.shape[0]
        pairs = torch.eye(n, dtype=like.dtype, device=like.device)
        if self.to_class:
            if labels is None:
                raise UsageError("anchor_to='class' needs the labels of the batch: pass labels")
            pairs = (labels[:, None] == labels[None, :]).to(like.dtype)
            pairs = pairs / pairs.sum(dim=1, keepdim=True)
        return (1 - alpha) / n**2 + alpha / n * pairs

    def _at(self, share: Tensor) -> Tensor:
        return self.start + ((self.end or 0.0) - self.start) * share
