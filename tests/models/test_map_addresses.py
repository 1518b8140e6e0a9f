"""From the names of maps to the modules, and the sides of them, that give the maps."""

import pytest
import timm
from torch import nn

from wcord.checks import UsageError
from wcord.models.create import create_model
from wcord.models.map_addresses import (
    ends_of,
    map_names,
    map_path,
    near_paths,
    no_such_path,
    preactivation,
    resolve,
    stated_channels,
)


def test_a_network_of_timm_names_its_maps_and_their_channels_by_module() -> None:
    network = timm.create_model("resnet18", num_classes=3)
    assert map_names(network) == ("act1", "layer1", "layer2", "layer3", "layer4")
    assert stated_channels(network)["layer4"] == 512
    assert map_path(network, "layer4") == "layer4"


def test_a_network_that_states_nothing_has_no_maps_but_addresses() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    assert (map_names(network), stated_channels(network)) == ((), {})
    assert (resolve(network, "1"), resolve(network, "1:in")) == ("1", "1:in")


def test_stated_names_lead_to_modules_and_to_the_side_before_a_relu() -> None:
    network = create_model("resnet8")
    assert map_path(network, "stage2") == "layer2"
    assert resolve(network, "stage2") == "layer2"
    before = resolve(network, preactivation("stage2"))
    assert before.startswith("layer2")
    assert before != "layer2"


@pytest.mark.parametrize("name", ["stage9", "", "fc2:in"])
def test_an_unknown_name_is_refused_with_near_ones(name: str) -> None:
    with pytest.raises(UsageError, match=rf"ResNet has no module '{name}'.*its maps: stem, stage1, stage2, stage3"):
        resolve(create_model("resnet8"), name)
    assert near_paths("stage9", ["stage1", "fc"]) == ": did you mean 'stage1'?"
    assert near_paths("zzzz", ["stage1"]) == ""
    assert "its maps" not in str(no_such_path(nn.Linear(2, 2), "x"))


def test_only_maps_that_end_in_an_unstated_relu_have_an_end_to_check() -> None:
    stated = create_model("resnet8")
    name = preactivation("stage1")
    assert ends_of(stated, {name: resolve(stated, name), "stage2": "layer2"}) == {}
    plain = nn.ModuleDict({"stage": nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())})
    name = preactivation("stage")
    assert ends_of(plain, {name: resolve(plain, name)}) == {name: ("stage.1", "stage")}
