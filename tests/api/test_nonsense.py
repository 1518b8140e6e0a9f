"""What cannot be meant is told in one line: random weights, damaged numbers, names that are no lists, other kinds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from wcord import api, build_method
from wcord.checks import UsageError
from wcord.cli import main
from wcord.data.opening import from_arrays, open_data
from wcord.models.card import ModelCard
from wcord.models.create import create_model
from wcord.models.weights import load_weights, save_weights

CARD = ModelCard("mlp8x1", 2, 1, image_size=(4, 4), classes=("a", "b"), mean=(0.5,), std=(0.25,))
DATA = from_arrays(np.linspace(0, 1, 160).reshape(10, 4, 4), ["x", "y"] * 5)


def small(classes: int = 2) -> nn.Module:
    return create_model("mlp8x1", num_classes=classes, in_channels=1, image_size=(4, 4))


@pytest.mark.parametrize("name", ["resnet8", "mlp8x1", "timm:resnet18"])
def test_random_weights_are_not_measured(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match=f"{name} has random weights"):
        api.evaluate(name, device="cpu")
    assert main(["evaluate", "--model", name, "--device", "cpu"]) == 2
    assert "random weights: give --weights" in capsys.readouterr().err


def test_modules_and_factories_of_ones_own_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "top1" in api.evaluate(small(), data=DATA, device="cpu")
    (tmp_path / "my_trained.py").write_text(
        "from wcord.models.create import create_model\n"
        "def net(num_classes):\n    return create_model('mlp8x1', num_classes=10, in_channels=1, image_size=(8, 8))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert "top1" in api.evaluate("my_trained:net", device="cpu")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("0", "1"), "compared by number: 'x' as '0', 'y' as '1'"),
        (("0", "1", "2"), "the data's 2 classes and the network's 3 are compared by number"),
        (("7", "9"), "'x' as '7'"),
        (("y", "x"), None),
        ((), None),
    ],
)
def test_classes_that_are_compared_by_number_are_told(names: tuple[str, ...], said: str | None, tmp_path: Path) -> None:
    classes = len(names) or 2
    card = ModelCard("mlp8x1", classes, 1, image_size=(4, 4), classes=names, mean=(0.5,), std=(0.25,))
    save_weights(small(classes), tmp_path / "w.safetensors", card=card)
    told: list[str] = []
    api.evaluate(weights=tmp_path / "w.safetensors", data=DATA, device="cpu", say=told.append)
    assert [line for line in told if "by number" in line] == [line for line in told if said and said in line]
    assert bool(said) == any("by number" in line for line in told)
    told.clear()
    given: dict[str, Any] = {"data": DATA, "device": "cpu", "classes_by_number": True}
    api.evaluate(weights=tmp_path / "w.safetensors", say=told.append, **given)
    assert not any("by number" in line for line in told)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("key", ["fc.weight", "fc.bias"])
def test_weights_of_nan_are_refused_and_nothing_is_loaded(suffix: str, key: str, tmp_path: Path) -> None:
    network, path = small(), tmp_path / f"w{suffix}"
    state = {name: value.clone() for name, value in network.state_dict().items()}
    state[key].view(-1)[0] = torch.nan
    damaged = small()
    damaged.load_state_dict(state)
    torch.save(state, path) if suffix == ".pth" else save_weights(damaged, path, card=CARD)
    fresh = small()
    before = {name: value.clone() for name, value in fresh.state_dict().items()}
    with pytest.raises(UsageError, match=f"NaN or infinity in {key}"):
        load_weights(fresh, path)
    assert all(torch.equal(value, before[name]) for name, value in fresh.state_dict().items())


def test_predictions_of_nan_are_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.full((4, 4), 255, np.uint8)).save(tmp_path / "p.png")
    network = small()
    for card, weight, message in (
        (CARD, torch.nan, "hold NaN"),
        (CARD, 3e38, "gives NaN for"),
        (ModelCard("mlp8x1", 2, 1, image_size=(4, 4), mean=(0.5,), std=(1e-45,)), 1.0, "std must be a finite number"),
        (ModelCard("mlp8x1", 2, 1, image_size=(4, 4), mean=(float("nan"),), std=(1.0,)), 1.0, "mean must be a finite"),
    ):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.fill_(weight)
        save_weights(network, tmp_path / "w.safetensors", card=card)
        assert main(["predict", str(tmp_path / "p.png"), "--weights", str(tmp_path / "w.safetensors")]) == 2
        assert message in capsys.readouterr().err


def test_one_name_is_no_list_of_names(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"classes must be a list, received 'ab': write \['ab'\]"):
        from_arrays(np.zeros((4, 3, 3), np.uint8), [0, 1] * 2, classes="ab")
    with pytest.raises(UsageError, match="student_maps must be a list, received 'stage1'"):
        build_method("at", create_model("resnet8"), create_model("resnet8"), student_maps="stage1")
    with pytest.raises(UsageError, match=r"set must be a list, received 'kd.temperature=2'"):
        api.distill("resnet8", "resnet8", out=tmp_path / "r", set="kd.temperature=2")
    save_weights(small(), tmp_path / "w.safetensors", card=CARD)
    with pytest.raises(UsageError, match="shots must be a list, received 5"):
        api.probe(tmp_path / "w.safetensors", shots=5)
    Image.fromarray(np.full((4, 4), 255, np.uint8)).save(tmp_path / "p.png")
    assert len(api.predict_files(tmp_path / "w.safetensors", str(tmp_path / "p.png"), device="cpu")) == 1


@pytest.mark.parametrize("wrong", [None, 3, np.zeros((4, 4)), ([0], [1]), {"data": "digits"}])
def test_data_and_networks_of_another_kind_are_told(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="data must be the name of a data source"):
        api.distill("resnet8", "resnet8", out=tmp_path / "r", data=wrong)
    with pytest.raises(UsageError, match="data must be the name of a data source"):
        api.evaluate(small(), data=wrong)
    with pytest.raises(UsageError, match="config must be a DataConfig"):
        open_data(wrong)
    if wrong is not None:
        with pytest.raises(UsageError, match=r"model must be the name of a network or a torch.nn.Module"):
            api.evaluate(wrong)
    with pytest.raises(UsageError, match=r"teacher must be the name of a network or a torch.nn.Module"):
        api.distill(wrong, "resnet8", out=tmp_path / "r")
    with pytest.raises(UsageError, match=r"student must be a torch.nn.Module"):
        build_method("kd", wrong, small())
