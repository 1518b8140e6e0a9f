"""`wcord evaluate` prints a table, or JSON with the numbers that the API gives."""

import json
from pathlib import Path

import pytest

import wcord
from wcord.cli import main
from wcord.models.card import ModelCard
from wcord.models.create import create_model
from wcord.models.weights import save_weights

NAMES = ("setosa", "versicolor", "virginica")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A network for iris that was never trained."""
    network = create_model("mlp8x1", num_classes=3, in_channels=2, image_size=(1, 1))
    columns = ("petal length (cm)", "petal width (cm)")
    card = ModelCard("mlp8x1", 3, 2, (1, 1), NAMES, (3.0, 1.0), (1.0, 1.0), columns=columns)
    save_weights(network, tmp_path / "w.safetensors", card=card)
    return tmp_path / "w.safetensors"


def test_a_table_or_json(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", "--weights", str(weights), "--data", "sklearn:iris", "--device", "cpu"]
    assert main(command) == 0
    assert "top1" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == wcord.evaluate(weights=weights, data="sklearn:iris", device="cpu")
