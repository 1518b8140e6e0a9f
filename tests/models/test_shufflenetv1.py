import pytest
import torch

from wcord.models.create import create_model
from wcord.models.shufflenetv1 import ShuffleBlock


@pytest.mark.parametrize("name", ["ShuffleV1"])
def test_state_dict_and_sizes_are_those_of_the_benchmark(name, check_facts):
    check_facts(name)


def test_numbers_are_those_of_the_benchmark(check_fingerprint):
    check_fingerprint("ShuffleV1")


def test_down_block_keeps_the_pooled_input_beside_the_branch():
    block = ShuffleBlock(24, 240, 2).eval()
    x = torch.rand(1, 24, 8, 8)
    y = block(x)
    assert y.shape == (1, 240, 4, 4)
    assert torch.equal(y[:, 216:], torch.nn.functional.avg_pool2d(x, 3, 2, 1))


def test_gray_images_and_few_classes():
    network = create_model("ShuffleV1", num_classes=3, in_channels=1).eval()
    assert network(torch.zeros(2, 1, 16, 16)).shape == (2, 3)
