"""One optimizer step: gradients of one batch or several, scaled, clipped and applied."""

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from wcord.methods.term import Preparation
from wcord.training.config import TrainingConfig
from wcord.training.engine import make_optimizer

HOW = ("fused", "foreach", "capturable")
"""Settings of a parameter group that change how the optimizer computes, not what."""


class Update:
    """Adds up gradients and moves the weights by them.

    With --precision fp16 the loss is multiplied by a scale before the backward pass, so that small gradients do not
    vanish. A step whose scaled gradients overflow is skipped, and the scale is halved: this is how the scale adapts,
    not a failure.

    Args:
        groups: trainable parameters by the factor of their learning rate, or by the stage that has a rate of its own.
        config: how to train.
        base_lr: learning rate before the schedule.
        accelerator: the engine; it has a gradient scaler if the precision is fp16.

    Attributes:
        skipped: steps skipped in this epoch.
    """

    def __init__(
        self,
        groups: Mapping[float | Preparation, list[nn.Parameter]],
        config: TrainingConfig,
        base_lr: float,
        accelerator: Accelerator,
    ) -> None:
        self.parameters = [parameter for group in groups.values() for parameter in group]
        self.optimizer = accelerator.prepare(make_optimizer(groups, config, base_lr, accelerator.device))
        self._own = [key if isinstance(key, Preparation) else None for key, group in groups.items() if group]
        self._fill_momenta()
        self.scaler: torch.amp.GradScaler | None = accelerator.scaler
        self.clip_norm = config.clip_norm
        self.skipped = 0
        self._rates: list[float] = []

    def _fill_momenta(self) -> None:
        """Give every weight a momentum of zero if it has none and the optimizer is fused.

        A fused step needs momenta of all weights or of none, and weights may get their first gradients at different
        steps.
        """
        for group in self.optimizer.param_groups:
            if not (group.get("fused") and group.get("momentum")):
                continue
            for parameter in group["params"]:
                state = self.optimizer.state[parameter]
                if state.get("momentum_buffer") is None:
                    state["momentum_buffer"] = torch.zeros_like(parameter)

    def set_rate(self, lr: float, epoch: int = 0, epochs: int = 1) -> None:
        """Set the learning rate of each group: `lr` times its factor, or its own in this epoch of the stage."""
        rates = self._rates_at(lr, epoch, epochs)
        for group, rate, before in zip_longest(self.optimizer.param_groups, rates, self._rates):
            if not isinstance(group["lr"], Tensor):
                group["lr"] = rate
            elif rate != before:  # filling a tensor costs a launch
                group["lr"].fill_(rate)
        self._rates = rates

    def shown_rate(self, lr: float, epoch: int, epochs: int) -> float:
        """Return the rate to log for an epoch: the run's, or the largest if all groups have rates of their own."""
        own = all(self._own) and self._own
        return max(self._rates_at(lr, epoch, epochs)) if own else lr

    def _rates_at(self, lr: float, epoch: int, epochs: int) -> list[float]:
        pairs = zip_longest(self.optimizer.param_groups, self._own)
        return [lr * group["factor"] if own is None else own.rate_at(epoch, epochs, run=lr) for group, own in pairs]

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss to those of the step."""
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()

    def step(self) -> bool:
        """Move the weights by the gradients, drop these, and return whether the weights moved."""
        if self.clip_norm is not None:
            if self.scaler is not None:
                self.scaler.unscale_(self.optimizer.optimizer)
            nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        self.optimizer.step()
        self.forget()
        skipped = bool(self.optimizer.step_was_skipped)
        self.skipped += skipped
        return not skipped

    def forget(self) -> None:
        """Drop the gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs."""
        scaler = None if self.scaler is None else self.scaler.state_dict()
        return {"optimizer": self.optimizer.state_dict(), "scaler": scaler, "skipped": self.skipped}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a checkpoint; in earlier versions it holds only the optimizer.

        The groups keep how they compute (`HOW`), since a run may resume on another device.
        """
        rates = [group["lr"] for group in self.optimizer.param_groups]
        local = [{name: group[name] for name in HOW if name in group} for group in self.optimizer.param_groups]
        saved = state["optimizer"]
        groups = [group | how for group, how in zip(saved["param_groups"], local, strict=True)]
        self.optimizer.load_state_dict({**saved, "param_groups": groups})
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._rates = []
        self._fill_momenta()
        if self.scaler is not None and state.get("scaler"):
            self.scaler.load_state_dict(state["scaler"])
        self.skipped = state.get("skipped", 0)
