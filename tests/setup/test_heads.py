"""A student that starts from weights for the same classes in another order, or for others."""

from pathlib import Path

import pytest
import torch
from torch import nn

from wcord.api import Provided, evaluate, start
from wcord.checks import UsageError
from wcord.data.dataset import DataSet
from wcord.data.opening import from_arrays
from wcord.models.card import ModelCard
from wcord.models.create import create_model
from wcord.models.network import Network
from wcord.models.preprocess import Preprocess
from wcord.models.weights import save_weights
from wcord.setup.heads import fit_head, head_keys
from wcord.setup.networks import NetworkSpec, build_network
from wcord.training.config import TrainConfig, configure

THEIRS = ("ant", "bee", "cat")


def data(classes: tuple[str, ...]) -> DataSet:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (12, 8, 8), dtype=torch.uint8, generator=generator).numpy()
    targets = (torch.arange(12) % len(classes)).numpy()
    return from_arrays(images, targets, images, targets, classes=classes)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(5)
    card = ModelCard("resnet8", 3, in_channels=1, classes=THEIRS, mean=(0.5,), std=(0.25,))
    save_weights(create_model("resnet8", num_classes=3, in_channels=1), tmp_path / "w.safetensors", card=card)
    return tmp_path / "w.safetensors"


def started(weights: Path, classes: tuple[str, ...]) -> tuple[Network, list[str]]:
    torch.manual_seed(0)
    lines: list[str] = []
    spec = NetworkSpec("student", "resnet8", weights, new_head=True)
    return build_network(spec, data(classes), say=lines.append), lines


def logits(network: nn.Module, channels: int = 1) -> torch.Tensor:
    with torch.no_grad():
        return network.eval()(torch.rand(4, channels, 8, 8, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("order", [(2, 0, 1), (1, 0, 2)])
def test_rows_of_the_head_follow_the_names(weights: Path, order: tuple[int, ...]) -> None:
    same, silent = started(weights, THEIRS)
    network, lines = started(weights, tuple(THEIRS[i] for i in order))
    assert not silent
    assert lines == [
        "the weights have the classes of the data in another order: their head is put into that of the data"
    ]
    assert network.classes == tuple(THEIRS[i] for i in order)
    torch.testing.assert_close(logits(network), logits(same)[:, list(order)])


def test_other_names_get_a_new_head_on_the_same_body(weights: Path) -> None:
    same, _ = started(weights, THEIRS)
    network, lines = started(weights, ("dog", "elk", "fox"))
    torch.manual_seed(0)
    fresh = create_model("resnet8", num_classes=3, in_channels=1).state_dict()
    assert lines == ["the weights are for other classes (ant, bee, cat): the body is loaded, and the head is new"]
    assert network.classes == ("dog", "elk", "fox")
    for key, value in network.backbone.state_dict().items():
        torch.testing.assert_close(value, (fresh if key.startswith("fc.") else same.backbone.state_dict())[key])


def test_numbers_are_no_names(weights: Path) -> None:
    same, _ = started(weights, THEIRS)
    network, lines = started(weights, ("0", "1", "2"))
    assert lines == ["the weights' head, for the classes ant, bee, cat, is kept in the order of their numbers"]
    torch.testing.assert_close(logits(network), logits(same))


def test_pretrained_weights_by_name_follow_the_names_too() -> None:
    torch.manual_seed(0)
    backbone = create_model("torchvision:squeezenet1_1", num_classes=3, in_channels=3)
    network = Network(backbone, Preprocess((0.5,) * 3, (0.25,) * 3, (48, 48)), ("cat", "ant", "bee"))
    before = logits(network, 3)
    fit_head(network, THEIRS, shape=(3, 8, 8), fresh=backbone.state_dict, say=lambda line: None)
    torch.testing.assert_close(logits(network, 3), before[:, [2, 0, 1]])


def test_a_head_whose_rows_are_not_the_logits_is_made_anew() -> None:
    class Twisted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(64, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x.flatten(1)).flip(1).cumsum(1)

    backbone, other = Twisted(), Twisted()
    network, lines = Network(backbone, halves(), ("cat", "ant", "bee")), []
    fit_head(network, THEIRS, shape=(1, 8, 8), fresh=other.state_dict, say=lines.append)
    assert lines == ["the weights are for other classes (ant, bee, cat): the body is loaded, and the head is new"]
    assert all(backbone.state_dict()[key].equal(other.state_dict()[key]) for key in head_keys(backbone))


def halves() -> Preprocess:
    return Preprocess((0.5,), (0.25,))


def test_a_head_for_several_labels_is_not_one_for_a_class(weights: Path, tmp_path: Path) -> None:
    card = ModelCard(
        "resnet8", 3, in_channels=1, classes=THEIRS, mean=(0.5,), std=(0.25,), extra={"several_labels": True}
    )
    path = tmp_path / "several.safetensors"
    save_weights(create_model("resnet8", num_classes=3, in_channels=1), path, card=card)
    _, (line,) = started(path, THEIRS)
    assert line.startswith("the weights and the data differ in whether a sample has several labels: ")
    with pytest.raises(UsageError, match="trained for several labels a sample, and the data have one class a sample"):
        evaluate(weights=path, data=data(THEIRS), device="cpu")


def test_a_run_that_starts_from_permuted_weights_is_as_good_as_they_are(tmp_path: Path) -> None:
    """End to end: what a run saves names its classes in the order of its logits."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(60) % 3
    images = (torch.rand(60, 8, 8, generator=generator) * 60 + 60 * targets[:, None, None]).to(torch.uint8).numpy()

    def named(order: tuple[int, ...]) -> DataSet:
        numbers = torch.tensor(order).argsort()[targets].numpy()
        return from_arrays(images, numbers, images, numbers, classes=tuple(THEIRS[i] for i in order))

    def reached(name: str, order: tuple[int, ...], **settings: object) -> float:
        config = configure(TrainConfig, {"model": "mlp16x1", "out": tmp_path / name, "batch_size": 12} | settings)
        record = start(config, Provided(data=named(order))).record
        assert record is not None
        return record.metrics["top1_last"]

    first = reached("first", (0, 1, 2), epochs=20, lr=0.1)
    assert first > 90
    weights = tmp_path / "first" / "student.safetensors"
    assert reached("again", (2, 0, 1), weights=weights, epochs=1, lr=1e-9) == pytest.approx(first)
    saved = tmp_path / "again" / "student.safetensors"
    assert evaluate(weights=saved, data=named((1, 2, 0)), device="cpu")["top1"] == pytest.approx(first)
