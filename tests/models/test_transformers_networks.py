import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from wcord.checks import UsageError
from wcord.models import transformers_networks
from wcord.models.create import create_model

CONVNEXT = {"size": {"shortest_edge": 224}, "crop_pct": 0.875, "image_mean": [0.485] * 3, "image_std": [0.229] * 3}
VIT = {"size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
RESNET = {"size": 256, "crop_size": {"height": 224, "width": 224}, "do_center_crop": True, "do_normalize": False}
SIGNED = {"size": 64, "rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False}
LABELS = {"0": "ant", "1": "bee", "2": "cat"}


def write(folder, config, seen=None):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"architectures": ["ResNetForImageClassification"], **config}))
    if seen is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(seen))
    return str(folder)


@pytest.mark.parametrize(
    ("seen", "frame", "mean", "std"),
    [
        (CONVNEXT, (224, 224, 0.875), 0.485, 0.229),
        (VIT, (32, 32, 1.0), 0.5, 0.5),
        (RESNET, (224, 224, 0.875), 0.0, 1.0),
        (SIGNED, (64, 64, 1.0), 0.5, 0.5),
    ],
)
def test_what_the_files_state(tmp_path, seen, frame, mean, std):
    stated = transformers_networks.stated_in_files(write(tmp_path / "net", {"id2label": LABELS}, seen))
    assert stated.frame == pytest.approx(frame)
    assert (stated.mean, stated.std) == (pytest.approx((mean,) * 3), pytest.approx((std,) * 3))
    assert (stated.num_classes, stated.names) == (3, ("ant", "bee", "cat"))


def test_names_that_say_nothing_and_networks_without_a_head(tmp_path):
    stated = transformers_networks.stated_in_files(
        write(tmp_path / "a", {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}})
    )
    assert (stated.num_classes, stated.names, stated.mean, stated.frame) == (2, (), (), None)
    bare = transformers_networks.stated_in_files(
        write(tmp_path / "b", {"architectures": ["ResNetModel"], "id2label": LABELS})
    )
    assert (bare.num_classes, bare.names) == (0, ())


def test_what_cannot_be_had_is_told_in_one_line(hub, tmp_path):
    with pytest.raises(UsageError, match=r"config.json of microsoft/resnet-18 on .*models--microsoft--resnet-18"):
        transformers_networks.stated_in_files("microsoft/resnet-18")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"holds no config.json"):
        transformers_networks.stated_in_files(str(tmp_path / "empty"))
    (tmp_path / "empty" / "config.json").write_text("{")
    with pytest.raises(UsageError, match=r"cannot be read"):
        transformers_networks.stated_in_files(str(tmp_path / "empty"))


def resnet(transformers, labels):
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=labels
    )
    return transformers.ResNetForImageClassification(config)


def test_a_folder_with_weights(tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is an extra of wcord")
    source = resnet(transformers, 3)
    source.save_pretrained(tmp_path / "net")
    name = f"hf:{tmp_path / 'net'}"
    own = create_model(name)
    assert all(torch.equal(value, own.state_dict()[key]) for key, value in source.state_dict().items())
    other = create_model(name, num_classes=5)
    assert torch.equal(next(iter(other.state_dict().values())), next(iter(source.state_dict().values())))
    assert other(torch.zeros(2, 3, 32, 32)).logits.shape == (2, 5)
    assert create_model(name, num_classes=0)(torch.zeros(2, 3, 32, 32)).logits.shape == (2, 0)
    random = create_model(name, num_classes=3, pretrained=False).state_dict()
    assert not torch.equal(random["classifier.1.weight"], source.state_dict()["classifier.1.weight"])
    (tmp_path / "net" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(UsageError, match=r"damaged or of another network"):
        create_model(name)
    (tmp_path / "net" / "model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"holds no weights"):
        create_model(name)


def test_weights_that_lack_more_than_the_head_are_refused(tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is an extra of wcord")
    resnet(transformers, 3).save_pretrained(tmp_path / "net")
    state = load_file(tmp_path / "net" / "model.safetensors")
    body = next(key for key in state if key.endswith("convolution.weight"))
    for changed in ({body: state[body][:1].clone()}, {f"other.{body}": state[body]}):
        rest = {key: value for key, value in state.items() if key != body}
        save_file(rest | changed, tmp_path / "net" / "model.safetensors", {"format": "pt"})
        with pytest.raises(UsageError, match=r"lacks 1 tensors of the network's body, or has them in another shape"):
            create_model(f"hf:{tmp_path / 'net'}")


def test_the_head_alone_may_be_new(tmp_path):
    """What the library reports, without the library."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    head = {"missing_keys": ["2.bias"], "mismatched_keys": [("2.weight", (5, 4), (2, 4))]}
    transformers_networks._require_body("net", tmp_path, network, head)
    for body in ({"missing_keys": ["0.bias"]}, {"mismatched_keys": [("0.weight", (1,), (2,))]}):
        with pytest.raises(UsageError, match=r"lacks 1 tensors .* \(0\.\w+, …\)"):
            transformers_networks._require_body("net", tmp_path, network, head | body)
