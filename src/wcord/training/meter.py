"""Running means of the loss parts over an epoch, and the check that values are finite."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from wcord import collectives
from wcord.checks import RunError
from wcord.losses import LossReport

TEACHER_LOSS = "teacher_loss"
"""Name of the loss of the additions to a teacher, among the diagnostics."""
REMEDY = "lower --lr, set --clip-norm, or check the data; the last good checkpoint is kept"


def measured(report: LossReport, correct: Tensor, samples: int) -> Tensor:
    """Return the values of a step: total, parts, diagnostics, the teacher's loss if it trains, and training accuracy.

    >>> measured(LossReport(torch.tensor(2.0), {"kd": torch.tensor(1.0)}), torch.tensor(1), 4)
    tensor([ 2.,  1., 25.])
    """
    values = [report.total, *report.parts.values(), *report.diagnostics.values()]
    values += [*([] if report.teacher is None else [report.teacher]), 100 * correct / samples]
    return torch.stack([value.detach().float() for value in values])


class EpochMeter:
    """Sample-weighted means of the total, the parts, the diagnostics and the training accuracy.

    Values stay on their device until `flush`, one transfer for many steps, so that an accelerator is not stalled.
    Each process meters its part of the batches; `means` and `state_dict` cover all processes, which must all call them.

    Args:
        parts: names of the loss parts.
        diagnostics: names of the report's diagnostics.
        device: device of the collective operations.
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
        """Add one step: its `measured` values and its number of samples."""
        self._pending.append((step, samples, row))

    def flush(self) -> None:
        """Read the values of the steps since the last call.

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
        """Continue from a checkpoint, which covers all processes: call it in only one of them."""
        self.reset()
        self.sums, self.samples = state["sums"], state["samples"]

    def _over_all(self) -> tuple[Tensor, int]:
        """Return sums and samples of all processes."""
        *sums, samples = collectives.total(torch.cat([self.sums, self.sums.new_tensor([self.samples])]), self.device)
        return torch.stack(sums), int(samples)

    def _refuse_non_finite(self, step: int, row: Tensor) -> None:
        if bool(row.isfinite().all()):
            return
        # The total comes first but is only the sum: name the part at fault.
        order = [*range(1, len(self.names)), 0]
        bad = next(i for i in order if not bool(row[i].isfinite()))
        raise RunError(f"{self.names[bad]} became {row[bad].item()} at step {step}: {REMEDY}")


def require_finite_weights(name: str, tensors: Sequence[Tensor], *, step: int) -> None:
    """Raise if a step has left NaN, infinity or useless magnitudes in weights.

    Args:
        name: name of the weights, for the message.
        tensors: the weights.
        step: number of the step.

    Raises:
        RunError: the sum of their squares is not finite.
    """
    if not bool(torch.nn.utils.get_total_norm([tensor.detach().float() for tensor in tensors]).isfinite()):
        raise RunError(f"step {step} left {name} that are NaN, infinite or beyond 1e19: {REMEDY}")
