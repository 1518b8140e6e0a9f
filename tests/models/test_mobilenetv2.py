import pytest
import torch

from wcord.models.create import create_model
from wcord.models.mobilenetv2 import InvertedResidual


@pytest.mark.parametrize("name", ["MobileNetV2"])
def test_state_dict_and_sizes_are_those_of_the_benchmark(name, check_facts):
    check_facts(name)


def test_numbers_are_those_of_the_benchmark(check_fingerprint):
    check_fingerprint("MobileNetV2")


def test_input_is_added_only_where_the_shapes_agree():
    x = torch.randn(1, 8, 4, 4)
    same, narrower = InvertedResidual(8, 8, 6, 1).eval(), InvertedResidual(8, 6, 6, 1).eval()
    assert torch.equal(same(x), x + same.conv(x))
    assert torch.equal(narrower(x), narrower.conv(x))


def test_has_relu_not_relu6():
    assert not any(isinstance(module, torch.nn.ReLU6) for module in create_model("MobileNetV2").modules())


def test_gray_images_and_few_classes():
    network = create_model("MobileNetV2", num_classes=3, in_channels=1).eval()
    assert network(torch.zeros(2, 1, 16, 16)).shape == (2, 3)
