import pytest
import torch

from wcord.models.create import create_model
from wcord.models.wrn import PreActivationBlock


@pytest.mark.parametrize("name", ["wrn_16_1", "wrn_16_2", "wrn_40_1", "wrn_40_2"])
def test_state_dict_and_sizes_are_those_of_the_benchmark(name, check_facts):
    check_facts(name)


def test_numbers_are_those_of_the_benchmark(check_fingerprint):
    check_fingerprint("wrn_16_2")


def test_shortcut_acts_on_the_activated_input():
    block = PreActivationBlock(4, 8, 1).eval()
    torch.nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 4, 6, 6)
    assert torch.allclose(block(x), block.convShortcut(block.relu1(block.bn1(x))))


def test_equal_widths_need_no_shortcut_key():
    assert not any("convShortcut" in key for key in create_model("wrn_16_1").block1.state_dict())


def test_classifier_starts_without_bias():
    assert create_model("wrn_16_1").fc.bias.abs().max() == 0


def test_gray_images_and_few_classes():
    network = create_model("wrn_16_1", num_classes=3, in_channels=1).eval()
    assert network(torch.zeros(2, 1, 16, 16)).shape == (2, 3)
