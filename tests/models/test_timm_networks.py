import pytest
import timm
import torch

from wcord.checks import UsageError
from wcord.models import timm_networks
from wcord.models.create import create_model, name_with_weights, stated_by_name

SMALL = ("test_resnet.r160_in1k", "test_vit.r160_in1k", "test_convnext.r160_in1k", "test_efficientnet.r160_in1k")


def filled(name, **settings):
    torch.manual_seed(1)
    return timm.create_model(name, **settings)


def is_of(network, source, head):
    own, theirs = network.state_dict(), source.state_dict()
    return [key for key in own if not key.startswith(head) and not torch.equal(own[key], theirs[key])] == []


@pytest.mark.parametrize("name", SMALL)
def test_weights_by_name(put_in_hub, name):
    source = filled(name)
    put_in_hub(f"timm/{name}", {"model.safetensors": source})
    network = create_model(f"timm:{name}")
    assert is_of(network, source, "nothing")
    assert network.num_classes == 1000
    smaller = create_model(f"timm:{name}", num_classes=5)
    assert is_of(smaller, source, ("fc.", "head.", "classifier."))
    assert smaller(torch.zeros(2, 3, 160, 160)).shape == (2, 5)
    bare = create_model(f"timm:{name}", num_classes=0)
    assert is_of(bare, source, "nothing")
    assert bare(torch.zeros(2, 3, 160, 160)).shape == (2, 0)


def test_random_unless_asked_for(put_in_hub):
    create_model("timm:test_resnet", num_classes=5)
    create_model("timm:test_resnet.r160_in1k", num_classes=5, pretrained=False)
    source = filled("test_resnet")
    put_in_hub("timm/test_resnet.r160_in1k", {"model.safetensors": source})
    assert is_of(create_model("timm:test_resnet", pretrained=True), source, "nothing")
    assert name_with_weights("timm:test_resnet") == "timm:test_resnet.r160_in1k"


def test_gray_pictures(put_in_hub):
    put_in_hub("timm/test_resnet.r160_in1k", {"model.safetensors": filled("test_resnet")})
    gray = create_model("timm:test_resnet.r160_in1k", num_classes=5, in_channels=1)
    assert gray(torch.zeros(2, 1, 64, 64)).shape == (2, 5)


def test_a_repository_of_ones_own(put_in_hub):
    source = filled("test_resnet", num_classes=3)
    config = {
        "architecture": "test_resnet",
        "num_classes": 3,
        "label_names": ["ant", "bee", "cat"],
        "pretrained_cfg": {"input_size": [3, 96, 96], "mean": [0.1, 0.2, 0.3], "std": [0.5] * 3, "crop_pct": 0.75},
    }
    folder = put_in_hub("someone/insects", {"model.safetensors": source, "config.json": config})
    for name in ("timm:hf-hub:someone/insects", f"timm:local-dir:{folder}"):
        network = create_model(name)
        assert is_of(network, source, "nothing")
        stated = stated_by_name(name)
        assert stated.frame == (96, 96, 0.75)
        assert (stated.num_classes, stated.mean, stated.names) == (3, (0.1, 0.2, 0.3), ("ant", "bee", "cat"))
        assert create_model(name, num_classes=3, pretrained=False).state_dict().keys() == source.state_dict().keys()


def test_what_is_stated():
    stated = timm_networks.stated("resnet18.a1_in1k")
    assert stated.frame == (288, 288, 1.0)  # the size that its accuracy is published for
    assert (stated.num_classes, stated.mean[0], stated.fixed) == (1000, 0.485, False)
    assert timm_networks.stated("test_vit.r160_in1k").frame == (160, 160, 0.95)
    assert timm_networks.stated("test_vit.r160_in1k").fixed
    assert timm_networks.stated("vit_small_patch14_dinov2.lvd142m").num_classes == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "timm:test_resnet.r160_in1k",
            r"model.safetensors of timm/test_resnet.r160_in1k .*models--timm--test",
        ),
        ("timm:hf-hub:someone/insects", r"config.json of someone/insects .*models--someone--insects"),
        ("timm:test_resnet.nothing", r"no weights 'nothing' of test_resnet: it has timm:test_resnet.r160_in1k"),
        ("timm:no_such_net.a1", r"timm has no network 'no_such_net.a1'"),
        ("timm:local-dir:nowhere", r"folder 'nowhere' holds no weights"),
        ("timm:hf-hub:not a name", r"cannot be fetched"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(hub, name, message):
    with pytest.raises(UsageError, match=message) as caught:
        create_model(name, num_classes=2)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_is_named(put_in_hub):
    snapshot = put_in_hub("timm/test_resnet.r160_in1k", {"model.safetensors": filled("test_resnet")})
    (snapshot / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(UsageError, match=r"in '.*model.safetensors' are damaged or of another network .*delete"):
        create_model("timm:test_resnet.r160_in1k")
