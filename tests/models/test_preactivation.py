"""Where maps are before their ReLU, and which normalization that ReLU takes, stated or found."""

import pytest
from torch import nn

from wcord.checks import DoesNotFitError
from wcord.models.create import create_model
from wcord.models.preactivation import address_before_relu, norm_before_relu


def test_what_a_network_states_counts() -> None:
    network = create_model("resnet14")
    assert address_before_relu(network, "stage2", "layer2") == "layer2.1.relu2:in"
    assert norm_before_relu(network, "stage2", "layer2") is network.get_submodule("layer2.1.bn2")
    with pytest.raises(DoesNotFitError, match="only stage1, stage2, stage3"):
        address_before_relu(network, "stem", "conv1")


def test_in_a_sequence_the_normalization_before_the_relu_counts_and_none_after_it() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
    )
    assert address_before_relu(network, "2", "2") == "2:in"
    assert norm_before_relu(network, "2", "2") is network[1]
    assert norm_before_relu(network, "5", "5") is network[4]
    assert norm_before_relu(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)), "1", "1") is None


def test_a_module_without_relu_is_refused() -> None:
    with pytest.raises(DoesNotFitError, match="and no ReLU ends it"):
        address_before_relu(nn.Sequential(nn.Linear(2, 2)), "0", "0")
