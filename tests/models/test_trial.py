"""A network's first forward pass tells in one line what its code does wrong, and leaves the network as it was."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from wcord.checks import UsageError
from wcord.models.trial import on_trial, require_gradient, try_network

SHAPE = (1, 2, 2)


class Does(nn.Module):
    """Does something with its logits."""

    def __init__(self, then: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.body, self.then = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3)), then

    def forward(self, images: Tensor) -> object:
        return self.then(self.body(images))


def test_a_sound_network_is_left_as_it_was() -> None:
    network = Does(lambda logits: logits)
    network.body[0].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    try_network("student", network, SHAPE)
    require_gradient("student", network, torch.rand(2, *SHAPE))
    assert [module.training for module in network.body] == [False, True, True]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("then", "said"),
    [
        (lambda logits: (logits, logits), "must return logits as a tensor, or an output with .logits, received tuple"),
        (lambda logits: {"out": logits}, "received dict"),
        (lambda logits: logits[:, 0], r"must return logits, batch × classes, received shape \(2,\)"),
        (lambda logits: logits.argmax(1, keepdim=True), "as floating-point numbers, received torch.int64"),
        (lambda logits: logits.no_such_method(), r"the student fails on an input of shape \(2, 1, 2, 2\): .*Attribute"),
        (lambda logits: 1 / 0, "raised ZeroDivisionError: division by zero"),
        (lambda logits: exit(4), r"called sys.exit\(4\)"),
    ],
)
def test_what_a_network_does_wrong_is_said(then: Callable[[Tensor], object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        try_network("student", Does(then), SHAPE)


def test_weights_without_values_are_refused() -> None:
    with pytest.raises(UsageError, match=r"'body.1.weight' is on the meta device"):
        try_network("teacher", Does(lambda logits: logits).to("meta"), SHAPE)
    with pytest.raises(UsageError, match=r"'1.weight' has no shape yet"):
        try_network("teacher", nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), SHAPE)


@pytest.mark.parametrize("then", [Tensor.detach, lambda logits: torch.zeros(2, 3), lambda logits: logits.data])
def test_logits_without_a_gradient_are_refused(then: Callable[[Tensor], object]) -> None:
    with pytest.raises(UsageError, match="cannot be trained: its logits have no gradient"):
        require_gradient("student", Does(then), torch.rand(2, *SHAPE))


def test_a_lack_of_memory_is_no_mistake_of_the_network() -> None:
    with pytest.raises(MemoryError), on_trial("student", SHAPE):
        raise MemoryError
