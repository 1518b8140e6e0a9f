import pytest
import torch

from wcord.features import capture
from wcord.models.create import create_model


@pytest.mark.parametrize("name", ["vgg8", "vgg11", "vgg13", "vgg16", "vgg19"])
def test_state_dict_and_sizes_are_those_of_the_benchmark(name, check_facts):
    check_facts(name)


def test_numbers_are_those_of_the_benchmark(check_fingerprint):
    check_fingerprint("vgg8")


def test_a_tall_image_is_pooled_once_more():
    network = create_model("vgg8").eval()
    with capture(network, maps=["block3", "block4"]) as tap, torch.no_grad():
        tall, usual = tap(torch.zeros(1, 3, 64, 64)).maps, tap(torch.zeros(1, 3, 32, 32)).maps
    assert [tuple(tensor.shape[2:]) for tensor in tall.values()] == [(8, 8), (4, 4)]
    assert [tuple(tensor.shape[2:]) for tensor in usual.values()] == [(4, 4), (4, 4)]


def test_a_map_is_the_activated_one():
    network = create_model("vgg8").eval()
    with capture(network, maps=["relu2", "block2"]) as tap, torch.no_grad():
        maps = tap(torch.rand(1, 3, 32, 32)).maps
    # The stated name block2 means the activated map.
    assert torch.equal(maps["relu2"], maps["block2"])
    assert maps["block2"].min() == 0


def test_starts_with_small_weights_and_no_bias():
    network = create_model("vgg8")
    assert network.classifier.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert network.classifier.bias.abs().max() == 0
    assert network.block1[0].bias.abs().max() == 0


def test_gray_images_and_few_classes():
    network = create_model("vgg8", num_classes=3, in_channels=1).eval()
    assert network(torch.zeros(2, 1, 16, 16)).shape == (2, 3)
