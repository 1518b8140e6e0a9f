"""Calls in Python that are wrong: each raises a mistake of the user's with one plain sentence, and leaves nothing."""

import math
import re
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import wcord
from wcord import api, contrast, features, losses, transport
from wcord.checks import UsageError
from wcord.data.config import DataConfig
from wcord.data.opening import from_arrays, open_data
from wcord.models import weights
from wcord.models.network import Network
from wcord.models.preprocess import Preprocess

CORPUS: dict[str, list[list[str]]] = tomllib.loads(Path(__file__).with_name("calls.toml").read_text(encoding="utf-8"))
SECONDS = 20
LONGEST = 1500


class Pairs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = network()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.body(images), images


class Raising(Pairs):
    def forward(self, images: Tensor) -> Any:
        raise KeyError("of my own")


def network(channels: int = 1) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 2, 1), nn.Flatten(), nn.Linear(128, 2))


def tapped(*given: Any, **named: Any) -> features.Tap:
    return features.capture(*given, **named).__enter__()


def names() -> dict[str, Any]:
    """What the calls are made of, new for each."""
    torch.manual_seed(0)
    modules = {"wcord": wcord, "losses": losses, "transport": transport, "contrast": contrast, "api": api}
    pictures, labels = np.zeros((8, 8, 8), np.uint8), np.arange(8) % 2
    return modules | {
        "weights": weights, "torch": torch, "nn": nn, "nan": math.nan, "inf": math.inf,
        "Network": Network, "Preprocess": Preprocess, "DataConfig": DataConfig,
        "from_arrays": from_arrays, "open_data": open_data, "tapped": tapped,
        "logits": torch.randn(4, 3), "wide": torch.randn(4, 5), "simplex": torch.full((4, 3), 1 / 3),
        "embedding": torch.randn(4, 6), "embedding10": torch.randn(4, 10), "maps": torch.randn(4, 3, 4, 4),
        "target": torch.tensor([0, 1, 2, 0]), "rows": torch.arange(4), "cost": torch.rand(3, 3),
        "images": torch.rand(2, 1, 8, 8), "pictures": pictures, "labels": labels, "data": from_arrays(pictures, labels),
        "net": network(), "other": network(), "of_colour": network(3), "of_pairs": Pairs(), "raising": Raising(),
    }  # fmt: skip


@pytest.mark.parametrize("group", list(CORPUS))
def test_wrong_calls_are_refused(group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.pth").write_text("hello\n")
    faults = []
    for call, pattern in CORPUS[group]:
        fault = tried(call, pattern, tmp_path)
        tally("wrong calls", held=fault is None)
        faults += [] if fault is None else [f"{call}: {fault}"]
    assert faults == []


def tried(call: str, pattern: str, folder: Path) -> str | None:
    """Make a call and return what is wrong with what became of it."""
    began = time.monotonic()
    try:
        eval(call, names())
        return "it was taken"
    except UsageError as error:
        said = str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if "\n" in said or len(said) > LONGEST or not re.search(pattern, said):
        return f"said {said!r}"
    left = sorted(path.name for path in folder.iterdir() if path.name != "text.pth" and path.suffix != ".lock")
    return f"left {left}" if left else "it took too long" if time.monotonic() - began > SECONDS else None
