import pytest
import torch
from torchvision import models

from wcord.checks import UsageError
from wcord.models import torchvision_networks
from wcord.models.create import create_model, name_with_weights, stated_by_name


def filled(put_in_torch_hub, name, **settings):
    torch.manual_seed(1)
    weights = models.get_model_weights(name).DEFAULT
    network = models.get_model(name, weights=None, **settings)
    path = put_in_torch_hub(weights, network)
    return network, path


@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5", "mobilenet_v3_small", "mnasnet0_5"])
def test_weights_by_name(put_in_torch_hub, name):
    source, _ = filled(put_in_torch_hub, name)
    for tag in ("IMAGENET1K_V1", "DEFAULT"):
        own = create_model(f"torchvision:{name}@{tag}").state_dict()
        assert all(torch.equal(value, own[key]) for key, value in source.state_dict().items())
    smaller = create_model(f"torchvision:{name}", num_classes=5, pretrained=True).state_dict()
    differing = [key for key, value in source.state_dict().items() if value.shape != smaller[key].shape]
    assert len(differing) == 2
    assert all(torch.equal(value, smaller[k]) for k, value in source.state_dict().items() if k not in differing)


def test_the_old_names_of_layers(put_in_torch_hub):
    source, path = filled(put_in_torch_hub, "densenet121")
    old = {key.replace("norm1", "norm.1"): value for key, value in source.state_dict().items()}
    torch.save({key: value for key, value in old.items() if "tracked" not in key}, path)
    network = create_model("torchvision:densenet121@DEFAULT", num_classes=5)
    key = "features.denseblock1.denselayer1.norm1.weight"
    assert torch.equal(network.state_dict()[key], source.state_dict()[key])


def test_inception_sees_its_own_normalization_once(put_in_torch_hub):
    settings = {"aux_logits": True, "init_weights": False}
    filled(put_in_torch_hub, "googlenet", **settings)
    network = create_model("torchvision:googlenet@DEFAULT", num_classes=5)
    assert not network.transform_input
    assert stated_by_name("torchvision:googlenet@DEFAULT").mean == (0.5, 0.5, 0.5)


def test_what_is_stated():
    stated = torchvision_networks.stated("mobilenet_v3_large@IMAGENET1K_V2")
    assert stated.frame == (224, 224, 224 / 232)
    assert (stated.num_classes, stated.names[0], stated.mean[0]) == (1000, "tench", 0.485)
    assert torchvision_networks.stated("vit_b_16@IMAGENET1K_SWAG_E2E_V1").frame == (384, 384, 1.0)
    assert torchvision_networks.stated("vit_b_16@IMAGENET1K_SWAG_E2E_V1").fixed
    assert torchvision_networks.stated("efficientnet_b0").frame == (224, 224, 0.875)


def test_the_name_says_which_weights():
    assert name_with_weights("torchvision:vgg11") == "torchvision:vgg11@IMAGENET1K_V1"
    assert name_with_weights("torchvision:mobilenet_v3_large@DEFAULT") == "torchvision:mobilenet_v3_large@IMAGENET1K_V2"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "torchvision:squeezenet1_1@DEFAULT",
            r"squeezenet1_1-b8a52dc0.pth; download it .* save it as '.*torch/",
        ),
        ("torchvision:squeezenet1_1@V7", r"unknown weights of torchvision:squeezenet1_1 'V7'.*IMAGENET1K_V1"),
        ("torchvision:squeezenet9@DEFAULT", r"torchvision has no network 'squeezenet9'"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(hub, name, message):
    with pytest.raises(UsageError, match=message) as caught:
        create_model(name, num_classes=2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"<html>", b"PK\x03\x04 half"])
def test_a_damaged_file_is_named(put_in_torch_hub, content):
    _, path = filled(put_in_torch_hub, "squeezenet1_1")
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"squeezenet1_1-b8a52dc0.pth' is truncated, damaged or no weights file"):
        create_model("torchvision:squeezenet1_1@DEFAULT")


def test_another_network_under_its_name(put_in_torch_hub):
    _, path = filled(put_in_torch_hub, "squeezenet1_1")
    torch.save(models.mnasnet0_5().state_dict(), path)
    with pytest.raises(UsageError, match="damaged or of another network"):
        create_model("torchvision:squeezenet1_1@DEFAULT")
