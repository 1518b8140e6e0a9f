"""The small Swin transformer: its size, its maps, its file, and the sizes of pictures that it takes."""

import pytest
import torch

from wcord.checks import UsageError
from wcord.features import capture, map_names
from wcord.models.card import ModelCard
from wcord.models.create import create_model
from wcord.models.network import Network
from wcord.models.preprocess import Preprocess
from wcord.models.weights import open_network, save_weights


@pytest.mark.parametrize(("side", "channels"), [(32, 3), (16, 1)])
def test_maps_halve_and_widen_from_stage_to_stage(side: int, channels: int) -> None:
    network = create_model("swin_mini", num_classes=5, in_channels=channels, image_size=(side, side)).eval()
    assert map_names(network) == ("layers.0", "layers.1", "layers.2")
    with capture(network, map_names(network)) as tap:
        features = tap(torch.rand(2, channels, side, side))
    shapes = [tuple(value.shape[1:]) for value in features.maps.values()]
    assert shapes == [(48 * 2**stage, side // 2 // 2**stage, side // 2 // 2**stage) for stage in range(3)]
    assert features.logits.shape == (2, 5)
    assert features.embedding.shape == (2, 192)


def test_its_embedding_is_the_mean_of_the_tokens_after_the_last_norm() -> None:
    network = create_model("swin_mini", num_classes=5, image_size=(16, 16)).eval()
    with torch.no_grad(), capture(network, ["norm"]) as tap:
        features = tap(torch.rand(2, 3, 16, 16))
    torch.testing.assert_close(features.embedding, features.maps["norm"].flatten(1, 2).mean(1))


def test_it_has_two_blocks_a_stage_of_heads_of_16_channels() -> None:
    network = create_model("swin_mini")
    assert [(len(stage.blocks), stage.blocks[0].attn.num_heads) for stage in network.layers] == [
        (2, 3),
        (2, 6),
        (2, 12),
    ]
    assert [block.shift_size for stage in network.layers[:2] for block in stage.blocks] == [(0, 0), (2, 2)] * 2
    assert sum(p.numel() for p in network.parameters()) == 1_285_726


@pytest.mark.parametrize("size", [(28, 28), (16, 20), (4, 8)])
def test_sides_that_do_not_divide_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(
        UsageError, match=rf"multiples of 8, received {size[0]}×{size[1]}: resize them, e.g. --image-size"
    ):
        create_model("swin_mini", image_size=size)


def test_a_file_of_it_opens_as_it_was_saved(tmp_path) -> None:
    torch.manual_seed(0)
    network = create_model("swin_mini", num_classes=4, in_channels=1, image_size=(16, 16)).eval()
    card = ModelCard("swin_mini", 4, in_channels=1, image_size=(16, 16), mean=(0.5,), std=(0.25,))
    save_weights(network, tmp_path / "w.safetensors", card=card)
    images = torch.rand(2, 1, 16, 16)
    with torch.no_grad():
        expected = Network(network, Preprocess((0.5,), (0.25,)))(images)
        assert torch.equal(open_network(tmp_path / "w.safetensors")(images), expected)


def test_without_a_classifier_it_gives_an_embedding() -> None:
    network = create_model("swin_mini", num_classes=0, image_size=(16, 16)).eval()
    with capture(network) as tap:
        features = tap(torch.rand(2, 3, 16, 16))
    assert (features.logits.shape, features.embedding.shape) == ((2, 0), (2, 192))
