import pytest
import torch

from wcord.models.create import create_model
from wcord.models.shufflenetv2 import SplitBlock


@pytest.mark.parametrize("name", ["ShuffleV2"])
def test_state_dict_and_sizes_are_those_of_the_benchmark(name, check_facts):
    check_facts(name)


def test_numbers_are_those_of_the_benchmark(filled):
    network, images = filled("ShuffleV2")
    with torch.no_grad():
        logits = network(images)
    # Known to ten digits only.
    assert logits.sum().item() == pytest.approx(0.2895977943, rel=1e-9)
    assert logits.norm().item() == pytest.approx(1.582035297, rel=1e-9)


def test_one_half_passes_and_is_interleaved():
    x = torch.rand(1, 8, 4, 4)  # what comes out of a block has been through a ReLU
    y = SplitBlock(8).eval()(x)
    assert torch.equal(y[:, ::2], x[:, :4])


def test_gray_images_and_few_classes():
    network = create_model("ShuffleV2", num_classes=3, in_channels=1).eval()
    assert network(torch.zeros(2, 1, 16, 16)).shape == (2, 3)
