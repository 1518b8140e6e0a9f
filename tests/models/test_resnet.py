import pytest
import torch

from wcord.models.create import create_model
from wcord.models.resnet import BasicBlock, ResNet

NAMES = ["resnet8", "resnet14", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "resnet8x4", "resnet32x4"]


@pytest.mark.parametrize("name", NAMES)
def test_state_dict_and_sizes_are_those_of_the_benchmark(name, check_facts):
    check_facts(name)


@pytest.mark.parametrize("name", ["resnet8", "resnet20", "resnet56", "resnet8x4"])
def test_numbers_are_those_of_the_benchmark(name, check_fingerprint):
    check_fingerprint(name)


def test_widened_by_two_begins_with_sixteen_channels():
    network = create_model("resnet14x2", num_classes=7)
    widths = [network.conv1.out_channels, *(stage[-1].conv2.out_channels for stage in stages(network))]
    assert widths == [16, 32, 64, 128]
    assert [len(stage) for stage in stages(network)] == [2, 2, 2]
    assert network(torch.zeros(2, 3, 16, 16)).shape == (2, 7)


def stages(network):
    return [network.layer1, network.layer2, network.layer3]


@pytest.mark.parametrize("size", [8, 16, 32, 48])
def test_other_image_sizes_and_channels(size):
    network = ResNet(8, (16, 16, 32, 64), num_classes=5, in_channels=1)
    assert network(torch.zeros(2, 1, size, size)).shape == (2, 5)


def test_block_adds_the_input_before_the_last_relu():
    block = BasicBlock(4, 4, 1).eval()
    torch.nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 4, 6, 6)
    # With a branch of zeros the block is the ReLU of its input.
    assert torch.allclose(block(x), x.relu())
