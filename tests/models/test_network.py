from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from wcord.models.create import create_model
from wcord.models.network import Network, is_compiled, logits_of, shown_type, unwrap
from wcord.models.preprocess import Preprocess

PREPROCESS = Preprocess((0.5,) * 3, (0.25,) * 3)


class Output(NamedTuple):
    logits: Tensor
    auxiliary: Tensor


class Elaborate(nn.Module):
    def forward(self, x):
        return Output(x.mean((2, 3)), x)


def test_normalizes_then_runs():
    backbone = create_model("resnet8").eval()
    images = torch.rand(2, 3, 32, 32)
    network = Network(backbone, PREPROCESS, classes=["a", "b"])
    assert torch.equal(network(images), backbone((images - 0.5) / 0.25))
    assert network.classes == ("a", "b")


def test_state_dict_holds_the_backbone_alone():
    network = Network(nn.Linear(2, 2), PREPROCESS)
    assert list(network.state_dict()) == ["backbone.weight", "backbone.bias"]


def test_gives_logits_whatever_the_backbone_returns():
    images = torch.rand(2, 3, 4, 4)
    assert Network(Elaborate(), PREPROCESS)(images).shape == (2, 3)


@pytest.mark.parametrize("output", [(torch.zeros(1), torch.zeros(1)), None, {"logits": torch.zeros(1)}])
def test_other_outputs_are_refused(output):
    with pytest.raises(TypeError, match=r"must return logits as a tensor.*wrap it in a module"):
        logits_of(output)


def test_unwrap_peels_every_wrapper():
    backbone = nn.Linear(2, 2)
    compiled = torch.compile(backbone, backend="eager")
    assert is_compiled(compiled)
    assert not is_compiled(backbone)
    assert unwrap(torch.compile(Network(compiled, PREPROCESS), backend="eager")) is backbone
    assert unwrap(backbone) is backbone


def test_a_network_may_state_what_messages_call_it():
    network = nn.Linear(2, 2)
    assert shown_type(network) == "Linear"
    network.shown_type = "adapted Linear"
    assert shown_type(network) == "adapted Linear"
