"""What a weights file says of its data is how they are opened, unless the settings say otherwise."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wcord.checks import UsageError
from wcord.data.config import DataConfig
from wcord.data.images import Frame
from wcord.models.card import ModelCard
from wcord.models.create import create_model
from wcord.models.weights import save_weights
from wcord.setup.as_trained import as_trained, card_in, frame_of, known_of, open_for_network

CARD = ModelCard(
    "resnet8",
    2,
    image_size=(8, 8),
    mean=(0.5,) * 3,
    std=(0.25,) * 3,
    view="gray,resize=8",
    record_shape=(3, 20, 16),
    crop_fraction=0.75,
    extra={"categories": {"a": ["x"]}, "formats": {"a": "percent"}},
)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    save_weights(create_model("resnet8", num_classes=2), tmp_path / "w.safetensors", card=CARD)
    return tmp_path / "w.safetensors"


def test_the_frame_is_that_of_the_record_and_not_of_the_networks_input(weights: Path) -> None:
    assert frame_of(card_in(weights)) == Frame(20, 16, 0.75)
    assert frame_of(ModelCard("mlp8x1", 2, record_shape=(5, 1, 1))) is None, "a row of a table has no frame"


def test_what_the_settings_leave_open_is_taken_from_the_file(weights: Path) -> None:
    found = as_trained(DataConfig(data="imagefolder:x"), weights)
    assert (found.image_size, found.crop_fraction, found.view) == ("20x16", 0.75, "gray,resize=8")
    given = DataConfig(data="imagefolder:x", image_size=12, view="crop")
    kept = as_trained(given, weights)
    assert (kept.image_size, kept.view) == (12, "crop")
    assert as_trained(DataConfig(data="table:x.csv"), weights).image_size is None
    assert as_trained(given, None) == given


def test_a_name_states_the_frame_only_where_no_file_does(weights: Path) -> None:
    stated = Frame(32, 32, 0.875)
    config = DataConfig(data="imagefolder:x")
    assert as_trained(config, None, stated).image_size == stated.image_size
    assert as_trained(config, weights, stated).image_size == "20x16"


def test_categories_and_formats_travel_with_the_file() -> None:
    known = known_of(CARD)
    assert (known.categories, known.formats) == ({"a": ["x"]}, {"a": "percent"})


def test_data_are_opened_in_the_frame_and_the_channels_of_the_network(weights: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("ant", "bee"):
            (tmp_path / "set" / split / name).mkdir(parents=True)
            for number in range(2):
                pixels = np.full((50, 40), 60 * number, np.uint8)
                Image.fromarray(pixels).save(tmp_path / "set" / split / name / f"{number}.png")
    card = ModelCard("resnet8", 2, image_size=(8, 8), mean=(0.5,) * 3, std=(0.25,) * 3, record_shape=(3, 20, 16))
    save_weights(create_model("resnet8", num_classes=2), weights, card=card)
    data = open_for_network(DataConfig(data=f"imagefolder:{tmp_path / 'set'}"), weights)
    assert data.train.shape == (3, 20, 16), "grey pictures, shown as colour"


def test_a_view_that_does_not_exist_is_damage_of_the_card(tmp_path: Path) -> None:
    card = ModelCard("resnet8", 2, image_size=(8, 8), mean=(0.5,) * 3, std=(0.25,) * 3, view="sideways")
    save_weights(create_model("resnet8", num_classes=2), tmp_path / "w.safetensors", card=card)
    with pytest.raises(UsageError, match=r"w.safetensors': the model card is damaged"):
        card_in(tmp_path / "w.safetensors")
