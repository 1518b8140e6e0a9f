"""A network's first forward pass tells in one line what its code does wrong, and leaves the network as it was."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from wcord.checks import UsageError
from wcord.models.create import create_model
from wcord.models.trial import on_trial, require_gradient, settle_widths, try_network

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


CODE = """
from torch import nn
def norm(num_classes=2):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.LazyBatchNorm2d(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(4, num_classes))
def linear(num_classes=2):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))
def instance(num_classes=2):
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyInstanceNorm2d(affine=True), nn.Flatten(),
                         nn.LazyLinear(num_classes))
"""


@pytest.mark.parametrize("name", ["norm", "linear", "instance"])
def test_lazy_modules_of_code_of_ones_own_are_settled(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lazy_nets.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lazy_nets", raising=False)
    first, second = (create_model(f"lazy_nets:{name}", num_classes=3, image_size=(8, 10)) for _ in range(2))
    assert first.training
    second.load_state_dict(first.state_dict())
    images = torch.rand(2, 3, 8, 10)
    torch.testing.assert_close(first.eval()(images), second.eval()(images))


def test_statistics_and_modes_stay_as_they_were() -> None:
    network = nn.Sequential(nn.LazyBatchNorm2d(), nn.BatchNorm2d(3).eval(), nn.Dropout())
    settle_widths(network, in_channels=3)
    assert [module.training for module in network] == [True, False, True]
    assert network[0].num_batches_tracked == 0
    assert network[0].running_mean.tolist() == [0.0] * 3


def test_what_cannot_be_settled_is_refused() -> None:
    with pytest.raises(UsageError, match="fails on a first input of 2×1×4×4"):
        settle_widths(nn.Sequential(nn.LazyConv2d(3, 9)), in_channels=1, image_size=(4, 4))
    network = nn.Linear(4, 2)
    network.spare = nn.LazyLinear(2)
    with pytest.raises(UsageError, match=r"does not use '1.spare.weight', which has no width"):
        settle_widths(nn.Sequential(nn.Flatten(), network), in_channels=1, image_size=(2, 2))
