import json

import pytest
import torch

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
    stated = transformers_networks.stated(write(tmp_path / "net", {"id2label": LABELS}, seen))
    assert stated.frame == pytest.approx(frame)
    assert (stated.mean, stated.std) == (pytest.approx((mean,) * 3), pytest.approx((std,) * 3))
    assert (stated.num_classes, stated.names) == (3, ("ant", "bee", "cat"))


def test_names_that_say_nothing_and_networks_without_a_head(tmp_path):
    stated = transformers_networks.stated(write(tmp_path / "a", {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}))
    assert (stated.num_classes, stated.names, stated.mean, stated.frame) == (2, (), (), None)
    bare = transformers_networks.stated(write(tmp_path / "b", {"architectures": ["ResNetModel"], "id2label": LABELS}))
    assert (bare.num_classes, bare.names) == (0, ())


def test_what_cannot_be_had_is_told_in_one_line(hub, tmp_path):
    with pytest.raises(UsageError, match=r"config.json of microsoft/resnet-18 on .*models--microsoft--resnet-18"):
        transformers_networks.stated("microsoft/resnet-18")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"holds no config.json"):
        transformers_networks.stated(str(tmp_path / "empty"))
    (tmp_path / "empty" / "config.json").write_text("{")
    with pytest.raises(UsageError, match=r"cannot be read"):
        transformers_networks.stated(str(tmp_path / "empty"))


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
