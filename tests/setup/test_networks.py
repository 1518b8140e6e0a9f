"""Networks from names and files: preprocessing, channels, classes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from wcord.checks import UsageError
from wcord.data.dataset import DataSet
from wcord.data.opening import from_arrays
from wcord.models.card import ModelCard
from wcord.models.create import create_model
from wcord.models.weights import save_weights
from wcord.setup.networks import NetworkSpec, build_network, describe


def data(channels: int = 3, classes: int = 4) -> DataSet:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (40, channels, 8, 8), dtype=np.uint8)
    labels = np.arange(40) % classes
    return from_arrays(images, labels, images, labels)


def test_normalisation_defaults_to_the_training_data() -> None:
    source = data()
    network = build_network(NetworkSpec("student", "resnet8"), source)
    images = source.train.read(torch.arange(40)).float() / 255
    normal = network.preprocess(images)
    torch.testing.assert_close(normal.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(normal.std(dim=(0, 2, 3), correction=0), torch.ones(3), atol=1e-3, rtol=0)
    assert network.classes == source.classes


def test_a_card_decides_unless_asked_otherwise(tmp_path: Path) -> None:
    card = ModelCard("resnet8", 4, 3, (16, 16), ("a", "b", "c", "d"), (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    save_weights(create_model("resnet8", num_classes=4), tmp_path / "w.safetensors", card=card)
    spec = NetworkSpec("teacher", "resnet8", tmp_path / "w.safetensors")
    network = build_network(spec, data())
    assert network.preprocess.size == (16, 16)
    torch.testing.assert_close(network.preprocess.mean, torch.tensor([0.1, 0.2, 0.3]))
    asked = NetworkSpec("teacher", "resnet8", tmp_path / "w.safetensors", mean=(0.0,) * 3, std=(1.0,) * 3, size=8)
    network = build_network(asked, data())
    assert network.preprocess.size == (8, 8)
    assert network.preprocess.mean.tolist() == [0.0] * 3
    described = describe(network, "resnet8", data(), {})
    assert (described.num_classes, described.in_channels, described.image_size) == (4, 3, (8, 8))


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_grey_images_into_a_colour_network_are_told(tmp_path: Path, suffix: str) -> None:
    model, path = create_model("resnet8", num_classes=4), tmp_path / f"w.{suffix}"
    if suffix == "pth":
        torch.save(model.state_dict(), path)
    else:
        save_weights(model, path, card=ModelCard("resnet8", 4, 3))
    with pytest.raises(UsageError, match=r"teacher's weights .* are for 3-channel \(color\) images, but .* 1-channel"):
        build_network(NetworkSpec("teacher", "resnet8", path), data(channels=1))


def test_another_class_count_is_told(tmp_path: Path) -> None:
    torch.save(create_model("resnet8", num_classes=7).state_dict(), tmp_path / "w.pth")
    with pytest.raises(UsageError, match=r"fc\.(weight|bias)"):
        build_network(NetworkSpec("teacher", "resnet8", tmp_path / "w.pth"), data())
    network = build_network(NetworkSpec("teacher", "resnet8", tmp_path / "w.pth", num_classes=7), data())
    assert network(torch.zeros(1, 3, 8, 8)).shape == (1, 7)


def test_an_own_module_is_adopted_once() -> None:
    module = create_model("resnet8", num_classes=4)
    spec = NetworkSpec("student", "own")
    network = build_network(spec, data(), module=module)
    assert network.backbone is module
    assert build_network(spec, data(), module=network) is network
