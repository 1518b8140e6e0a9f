"""A network that needs no training to be asked."""

from pathlib import Path

import pytest

from wcord.models.card import ModelCard
from wcord.models.create import create_model
from wcord.models.weights import save_weights


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A network for iris that was never trained."""
    network = create_model("mlp8x1", num_classes=3, in_channels=2, image_size=(1, 1))
    flowers, columns = ("setosa", "versicolor", "virginica"), ("petal length (cm)", "petal width (cm)")
    card = ModelCard("mlp8x1", 3, 2, (1, 1), flowers, (3.0, 1.0), (1.0, 1.0), columns=columns)
    save_weights(network, tmp_path / "w.safetensors", card=card)
    return tmp_path / "w.safetensors"
