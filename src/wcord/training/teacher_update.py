"""The step of what trains inside a teacher: its own optimizer and schedule, and its part of a checkpoint."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from wcord import collectives
from wcord.checks import UsageError
from wcord.methods.term import TeacherTraining
from wcord.models.network import Network
from wcord.training.schedule import teacher_rate_at

MOMENTUM = 0.9


class TeacherUpdate:
    """Adds up the gradients of the additions to a teacher and moves the additions by them.

    Args:
        network: the adapted teacher, on its device; its additions are the parameters that require gradients.
        training: how they train.
        steps: optimizer steps of the main stage.
        clip_norm: norm to which their gradients together are clipped; None: no clipping.

    Raises:
        UsageError: the teacher has no additions.
    """

    def __init__(
        self, network: Network, training: TeacherTraining, *, steps: int, clip_norm: float | None = None
    ) -> None:
        self.network, self.training, self.steps, self.clip_norm = network, training, steps, clip_norm
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        if not self.parameters:
            raise UsageError(
                "the method trains additions to the teacher, which has none: make it with adapt_teacher(method, …)"
            )
        # The first process's, should the networks differ.
        collectives.copy_from_first([*(parameter.data for parameter in self.parameters), *network.buffers()])
        self.optimizer = _make_optimizer(self.parameters, training)

    def enter_training(self) -> None:
        """Put the additions into train mode, and the frozen part into its own."""
        self.network.train(self.training.mode == "train")
        for module in self.network.modules():
            parameters = list(module.parameters())
            if parameters and all(parameter.requires_grad for parameter in parameters):
                module.train()

    def set_rate(self, step: int) -> None:
        """Set the learning rate of a step of the main stage, counted from 0."""
        for group in self.optimizer.param_groups:
            group["lr"] = teacher_rate_at(step, steps=self.steps, training=self.training)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss to those of the step."""
        loss.backward()

    def step(self) -> None:
        """Move the additions by the gradients, averaged over the processes, and drop these."""
        collectives.average_([parameter.grad for parameter in self.parameters if parameter.grad is not None])
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs: the additions, all buffers, which may move, and the optimizer."""
        frozen = {name for name, parameter in self._backbone.named_parameters() if not parameter.requires_grad}
        state = {name: value for name, value in self._backbone.state_dict().items() if name not in frozen}
        return {"teacher": state, "teacher_optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a checkpoint.

        Raises:
            RuntimeError: it lacks an addition, or has one that this teacher does not have.
        """
        frozen = {name for name, parameter in self._backbone.named_parameters() if not parameter.requires_grad}
        missing, unexpected = self._backbone.load_state_dict(state["teacher"], strict=False)
        if wrong := [*(set(missing) - frozen), *unexpected]:
            raise RuntimeError(f"the teacher's additions differ: {', '.join(sorted(wrong)[:3])}")
        self.optimizer.load_state_dict(state["teacher_optimizer"])

    @property
    def _backbone(self) -> nn.Module:
        return self.network.backbone


def _make_optimizer(parameters: list[nn.Parameter], training: TeacherTraining) -> torch.optim.Optimizer:
    lr, decay = training.lr, training.weight_decay
    if training.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=MOMENTUM, weight_decay=decay)
    return torch.optim.AdamW(parameters, lr=lr, eps=training.eps, weight_decay=decay)
