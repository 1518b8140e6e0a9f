"""Running means of the loss parts over an epoch, and the watch for values that are not finite."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from wcord import collectives
from wcord.checks import RunError
from wcord.losses import LossReport

REMEDY = "lower --lr, set --clip-norm, or look at the data; the last good checkpoint is kept"


def measured(report: LossReport, correct: Tensor, samples: int) -> Tensor:
    """Return what is noted of a step: total, parts, diagnostics and training accuracy, on their device.

    >>> measured(LossReport(torch.tensor(2.0), {"kd": torch.tensor(1.0)}), torch.tensor(1), 4)
    tensor([ 2.,  1., 25.])
    """
    values = [report.total, *report.parts.values(), *report.diagnostics.values(), 100 * correct / samples]
    return torch.stack([value.detach().float() for value in values])


class EpochMeter:
    """Sample-weighted means of the total, each part, what is logged beside them, and the training accuracy.

    Values stay on their device until `flush`, one transfer for many steps, so that an accelerator is not stalled.
    Each process notes its own part of the batches; `means` and `state_dict` are over all of them, and are to be asked
    for in all of them.

    Args:
        parts: names of the loss parts.
        diagnostics: names of what the report holds beside them.
        device: through which the processes talk.
    """

    def __init__(self, parts: tuple[str, ...], diagnostics: tuple[str, ...] = (), *, device: torch.device) -> None:
        self.parts = parts
        self.device = device
        self.names = ("loss", *parts, *diagnostics, "train_top1")
        self.reset()

    def reset(self) -> None:
        """Begin a new epoch."""
        self.sums = torch.zeros(len(self.names), dtype=torch.float64)
        self.samples = 0
        self.latest: dict[str, float] = {}
        self._pending: list[tuple[int, int, Tensor]] = []

    def add(self, step: int, row: Tensor, samples: int) -> None:
        """Note one step: what `measured` says of it, and how many samples it had."""
        self._pending.append((step, samples, row))

    def flush(self) -> None:
        """Fetch what was noted.

        Raises:
            RunError: at the first value that is NaN or infinite, naming the part and the step.
        """
        if not self._pending:
            return
        rows = torch.stack([row for _, _, row in self._pending]).double().cpu()
        for (step, samples, _), row in zip(self._pending, rows, strict=True):
            self._refuse_non_finite(step, row)
            self.sums += samples * row
            self.samples += samples
        self.latest = dict(zip(self.names, rows[-1].tolist(), strict=True))
        self._pending = []

    def means(self) -> dict[str, float]:
        """Return the means so far."""
        sums, samples = self._over_all()
        return dict(zip(self.names, (sums / max(samples, 1)).tolist(), strict=True))

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs; call `flush` first."""
        sums, samples = self._over_all()
        return {"sums": sums, "samples": samples}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint, which holds what all processes noted: in one of them only."""
        self.reset()
        self.sums, self.samples = state["sums"], state["samples"]

    def _over_all(self) -> tuple[Tensor, int]:
        """Return sums and samples of all processes."""
        *sums, samples = collectives.total(torch.cat([self.sums, self.sums.new_tensor([self.samples])]), self.device)
        return torch.stack(sums), int(samples)

    def _refuse_non_finite(self, step: int, row: Tensor) -> None:
        if bool(row.isfinite().all()):
            return
        # The total is listed first but is only the sum: the part that went wrong is the one to name.
        order = [*range(1, len(self.names)), 0]
        bad = next(i for i in order if not bool(row[i].isfinite()))
        raise RunError(f"{self.names[bad]} became {row[bad].item()} at step {step}: {REMEDY}")


def require_finite_weights(name: str, tensors: Sequence[Tensor], *, step: int) -> None:
    """Raise where a step has left NaN or infinity in weights, or such as no network computes with.

    Args:
        name: what they are, for the message.
        tensors: the weights.
        step: number of the step.

    Raises:
        RunError: the sum of their squares is not finite.
    """
    if not bool(torch.nn.utils.get_total_norm([tensor.detach().float() for tensor in tensors]).isfinite()):
        raise RunError(f"step {step} left {name} that are NaN, infinite or beyond 1e19: {REMEDY}")
