import json
import resource

import pytest
import torch
from safetensors.torch import save_file

from wcord.checks import UsageError
from wcord.models.card import ModelCard
from wcord.models.create import create_model
from wcord.models.weights import open_network, read_card, save_weights

CARD = {"architecture": "resnet8", "num_classes": 3, "mean": [0.5] * 3, "std": [0.5] * 3, "image_size": [8, 8]}

DEMANDS = {
    "classes": {"num_classes": 10**9},
    "channels": {"in_channels": 10**9, "mean": [], "std": []},
    "image size": {"image_size": [10**6, 10**6]},
    "a perceptron's image size": {"architecture": "mlp32x1", "image_size": [8192, 8192]},
    "a wide perceptron": {"architecture": "mlp99999x99"},
    "a perceptron of no such name": {"architecture": "mlp999999999x99"},
    "a deep network": {"architecture": "resnet2000x4"},
    "a large network of a library": {"architecture": "torchvision:regnet_y_128gf"},
    "a large teacher": {"architecture": "simkd:resnet8:torchvision:regnet_y_128gf"},
}


def tiny(path, change):
    """Write a file of a few hundred bytes with a card."""
    card = CARD | change
    save_file({"fc.bias": torch.zeros(3), "fc.weight": torch.zeros(3, 4)}, path, {"wcord": json.dumps(card)})
    return path


@pytest.mark.parametrize("demand", DEMANDS)
def test_a_small_file_cannot_ask_for_memory(tmp_path, demand):
    path = tiny(tmp_path / "a.safetensors", DEMANDS[demand])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UsageError, match=r"weights file .*a\.safetensors'"):
        open_network(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kilobytes


def test_empty_tensors_count_for_nothing(tmp_path):
    save_file(
        {"fc.bias": torch.zeros(10**9, 0)},
        tmp_path / "a.safetensors",
        {"wcord": json.dumps(CARD | {"num_classes": 10**9})},
    )
    with pytest.raises(UsageError, match="num_classes is 1000000000"):
        read_card(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "name", ["resnet8", "mlp32x1", "simkd:resnet8:resnet8x4", "torchvision:mobilenet_v2", "timm:resnet10t"]
)
def test_what_a_run_saves_is_believed(tmp_path, name):
    network = create_model(name, num_classes=3, in_channels=3, image_size=(8, 8))
    card = ModelCard(name, 3, 3, (8, 8), ("a", "b", "c"), (0.5,) * 3, (0.5,) * 3)
    save_weights(network, tmp_path / "a.safetensors", card=card)
    opened = open_network(tmp_path / "a.safetensors")
    assert all(torch.equal(value, opened.backbone.state_dict()[key]) for key, value in network.state_dict().items())
