"""Tables from training to prediction: columns that need many digits, files with and without an index, an export."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import wcord
from wcord import api
from wcord.data.config import DataConfig
from wcord.data.opening import open_data
from wcord.data.split import MemorySplit, channel_statistics
from wcord.export import export
from wcord.models.network import Network
from wcord.models.preprocess import Preprocess
from wcord.models.weights import read_card
from wcord.training.config import TrainConfig, configure

DRAW = np.random.default_rng(0).normal(size=200)
LABELS = np.where(DRAW > 0, "hi", "lo")


def trained(folder: Path, column: np.ndarray, *, index: bool = True) -> tuple[float, float, float]:
    """Return the accuracy in percent of a run, by evaluate, and by predict on all rows."""
    folder.mkdir()
    table = folder / "t.csv"
    pd.DataFrame({"x": column, "label": LABELS}).to_csv(table, index=index)
    settings = {"model": "mlp32x1", "data": f"table:{table}", "epochs": 30, "batch_size": 32, "lr": 0.02}
    api.start(configure(TrainConfig, settings | {"out": folder / "run", "device": "cpu"}), say=lambda line: None)
    weights = folder / "run" / "student.safetensors"
    card = read_card(weights)
    assert card is not None
    assert card.columns == ("x",)
    pd.DataFrame({"x": column}).to_csv(folder / "new.csv", index=not index)  # the other way round
    said = [guess.classes[0] for guess in api.predict_files(weights, [folder / "new.csv"], top=1, device="cpu")]
    measured = wcord.evaluate(weights=weights, data=f"table:{table}", device="cpu")["top1"]
    return card.extra["top1_last"], measured, 100 * float(np.mean(np.array(said) == LABELS))


@pytest.mark.parametrize(
    ("offset", "scale"),
    [(101325.0, 0.05), (1.7e9, 60.0), (-1.7e12, 1000.0), (5e-3, 1e-9)],
    ids=["pascal", "seconds", "milliseconds", "meters"],
)
def test_a_small_deviation_from_a_large_mean_is_seen(tmp_path: Path, offset: float, scale: float) -> None:
    plain = trained(tmp_path / "plain", DRAW, index=False)
    moved = trained(tmp_path / "moved", offset + scale * DRAW)
    assert plain[0] > 95
    assert moved == pytest.approx(plain, abs=1.0)


def test_an_exported_student_sees_as_many_digits(tmp_path: Path) -> None:
    trained(tmp_path / "t", 101325 + 0.02 * DRAW)
    exported = export(tmp_path / "t" / "run", "torch")
    column = torch.from_numpy(101325 + 0.02 * DRAW).view(-1, 1, 1, 1)
    with torch.no_grad():
        logits = torch.export.load(exported.path).module()(column)
    assert float(np.mean(np.array(["hi", "lo"])[logits.argmax(1).numpy()] == LABELS)) > 0.95


def test_only_columns_that_need_it_are_kept_in_float64(tmp_path: Path) -> None:
    for column, kept in ((DRAW, torch.float32), (20 + DRAW, torch.float32), (1e6 + DRAW, torch.float64)):
        pd.DataFrame({"x": column, "label": LABELS}).to_csv(tmp_path / "t.csv", index=False)
        data = open_data(DataConfig(data=f"table:{tmp_path / 't.csv'}"))
        assert data.train.read(torch.arange(2)).dtype == kept


def test_statistics_and_normalization_keep_the_digits() -> None:
    values = torch.tensor([1.7e9, 1.7e9 + 1, 1.7e9 + 2], dtype=torch.float64).view(3, 1, 1, 1)
    split = MemorySplit(torch.cat([values, torch.full_like(values, 0.3)], dim=1), torch.zeros(3, dtype=torch.long))
    mean, std = channel_statistics(split)
    assert mean == pytest.approx((1.7e9 + 1, 0.3), rel=1e-15)
    assert std == pytest.approx(((2 / 3) ** 0.5, 1.0))
    preprocess = Preprocess(mean, std)
    assert preprocess.statistics == (mean, std)
    torch.testing.assert_close(
        preprocess(values.repeat(1, 2, 1, 1))[:, 0].flatten() * std[0], torch.tensor([-1.0, 0, 1]).double()
    )
    network = Network(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2)), preprocess)
    assert network(split.images).dtype == torch.float32
    assert network.double()(split.images).dtype == torch.float64
