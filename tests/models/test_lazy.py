"""Widths that a network takes from its first input are settled before anything is loaded into it."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from wcord.checks import UsageError
from wcord.models.create import create_model
from wcord.models.lazy import settle_widths

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
