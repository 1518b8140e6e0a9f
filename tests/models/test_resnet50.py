import pytest
import torch

from wcord.models.create import create_model
from wcord.models.resnet50 import Bottleneck


@pytest.mark.parametrize("name", ["ResNet50"])
def test_state_dict_and_sizes_are_those_of_the_benchmark(name, check_facts):
    check_facts(name)


def test_numbers_are_those_of_the_benchmark(check_fingerprint):
    check_fingerprint("ResNet50")


def test_projection_only_where_the_shape_changes():
    assert Bottleneck(64, 64, 1).shortcut is not None
    assert Bottleneck(256, 128, 2).shortcut is not None
    assert Bottleneck(256, 64, 1).shortcut is None


def test_gray_images_and_few_classes():
    network = create_model("ResNet50", num_classes=3, in_channels=1).eval()
    assert network(torch.zeros(2, 1, 16, 16)).shape == (2, 3)
