import pytest
import timm
import torch

from wcord.checks import UsageError
from wcord.features import capture
from wcord.models.classifier import classifier_paths, split_head, stated_widths, without_classifier
from wcord.models.create import create_model

# One or two small members of each family, at the smallest size that they take.
FAMILIES = {
    "test_vit": 160, "test_resnet": 64, "test_convnext": 64, "test_efficientnet": 64, "test_nfnet": 64,
    "test_byobnet": 64, "test_mambaout": 64, "swin_s3_tiny_224": 224, "convnext_atto": 64, "poolformer_s12": 64,
    "maxvit_rmlp_pico_rw_256": 256, "coat_lite_tiny": 224, "efficientformerv2_s0": 224, "crossvit_tiny_240": 240,
    "levit_128s": 224, "deit_tiny_distilled_patch16_224": 224, "mobilevit_xxs": 64, "ghostnet_050": 64,
    "densenet121": 64, "regnetx_002": 64, "edgenext_xx_small": 64, "mambaout_femto": 64, "mobilenetv3_small_050": 64,
    "sequencer2d_s": 224, "caformer_s18": 64, "dla46_c": 64, "repvit_m0_9": 64, "pit_ti_distilled_224": 224,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "side"), FAMILIES.items())
def test_the_embedding_is_as_wide_as_the_network_states(name, side):
    network = timm.create_model(name, num_classes=7).eval()
    with torch.no_grad(), capture(network) as tap:
        features = tap(torch.randn(2, 3, side, side))
    assert features.embedding.shape[1] in (network.num_features, network.head_hidden_size)
    assert features.embedding.shape[1] in stated_widths(network)
    assert features.logits.shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("torchvision:squeezenet1_1", 512),
        ("torchvision:googlenet", 1024),
        ("torchvision:shufflenet_v2_x0_5", 1024),
        ("timm:test_vit", 64),
        ("resnet8", 64),
    ],
)
def test_networks_of_all_kinds(name, width):
    side = 160 if name == "timm:test_vit" else 64
    with torch.no_grad(), capture(create_model(name, num_classes=7).eval()) as tap:
        assert tap(torch.randn(2, 3, side, side)).embedding.shape == (2, width)


@pytest.mark.parametrize("name", ["resnet8", "vgg8", "timm:test_vit", "timm:test_convnext", "timm:levit_128s"])
def test_without_a_classifier(name):
    network = create_model(name, num_classes=7).eval()
    side = 224 if "levit" in name else 160 if "vit" in name else 32
    images = torch.randn(2, 3, side, side)
    with torch.no_grad():
        with capture(network) as tap:
            before = tap(images)
        paths = classifier_paths(network)
        without_classifier(network)
        assert classifier_paths(network) == paths
        with capture(network) as tap:
            after = tap(images)
    assert torch.equal(after.embedding, before.embedding)
    assert after.logits.shape == (2, 0)


def test_a_convolution_cannot_be_taken_away():
    with pytest.raises(UsageError, match="head of SqueezeNet was not found"):
        create_model("torchvision:squeezenet1_1", num_classes=0)


@pytest.mark.parametrize("name", ["resnet8", "timm:test_convnext", "torchvision:squeezenet1_1"])
def test_body_and_head(name):
    network = create_model(name, num_classes=7)
    body, head = split_head(network)
    assert {len(parameter) for parameter in head} == {7}
    assert len(body) + len(head) == len(list(network.parameters()))
