"""`wcord evaluate`: how good a network is on a data set."""

from dataclasses import dataclass, field
from typing import Annotated

from rich.table import Table

from wcord.bounds import Deviation, Device, File, Mean, Name, SameLength
from wcord.cli.console import OUT, print_json, say
from wcord.cli.parsing import parse_checked
from wcord.data.config import DataConfig


@dataclass(frozen=True)
class Evaluate:
    """Measure a network on the evaluation split of a data set."""

    data: DataConfig = field(default_factory=DataConfig)
    weights: File | None = None
    """Its weights: a run's student.safetensors, or any file that --model fits."""
    model: Name | None = None
    """Its architecture, where the weights do not say it themselves."""
    mean: Mean | None = None
    """Mean that the input is normalised with, per channel in [0, 1]."""
    std: Annotated[Deviation, SameLength("mean")] | None = None
    """Standard deviation that the input is divided by."""
    device: Device = "auto"
    """auto | cpu | cuda | cuda:1 | mps"""
    classes_by_number: bool = False
    """Take the data's classes by their number, where they have other names than the network's."""
    pretrained: bool = False
    """Take the library's default pretrained weights of --model (timm:NAME, torchvision:NAME)."""
    ema_weights: bool = False
    """Of --weights, take the moving average that lies beside the weights."""
    embedding: Name | None = None
    """Module whose input is the embedding, by its path; default: the network's classifier."""
    json: bool = False
    """Print JSON instead of a table."""


def evaluate(arguments: list[str]) -> int:
    """Measure a network and print what was found."""
    asked = parse_checked(Evaluate, "evaluate", arguments)
    from wcord import api

    values = api.evaluate(
        asked.model,
        weights=asked.weights,
        data=asked.data,
        device=asked.device,
        mean=asked.mean,
        std=asked.std,
        classes_by_number=asked.classes_by_number,
        pretrained=asked.pretrained,
        ema=asked.ema_weights,
        embedding=asked.embedding,
        say=say,
    )
    if asked.json:
        print_json(values)
        return 0
    table = Table("measure", "value")
    for name, value in values.items():
        table.add_row(name, f"{value:.4f}" if name in ("ece", "nll") else f"{value:.2f} %")
    OUT.print(table)
    return 0
