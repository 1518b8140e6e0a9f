"""`wcord evaluate`: how good a network is on a data set."""

from dataclasses import dataclass, field
from typing import Annotated

from wcord.bounds import Deviation, Device, File, Mean, Name, SameLength
from wcord.cli.console import OUT, print_json, say
from wcord.cli.parsing import parse
from wcord.data.config import DataConfig


@dataclass(frozen=True)
class Evaluate:
    """Measure a network on the evaluation split of a data set."""

    data: DataConfig = field(default_factory=DataConfig)
    weights: File | None = None
    """The network's weights: a run's student.safetensors, or any file that fits --model."""
    model: Name | None = None
    """The network, where the weights file does not name it."""
    mean: Mean | None = None
    """Mean that normalizes the input, per channel in [0, 1]."""
    std: Annotated[Deviation, SameLength("mean")] | None = None
    """Standard deviation that normalizes the input."""
    device: Device = "auto"
    """auto | cpu | cuda | cuda:1 | mps"""
    classes_by_number: bool = False
    """Match the classes of the data and the network by number, where their names differ."""
    pretrained: bool = False
    """Use the library's default pretrained weights of --model (timm:NAME, torchvision:NAME)."""
    ema_weights: bool = False
    """Use the moving average that the --weights file holds beside the weights."""
    embedding: Name | None = None
    """Path of the module whose input is the embedding; default: the network's classifier."""
    json: bool = False
    """Print JSON instead of a table."""


def evaluate(arguments: list[str]) -> int:
    """Measure a network and print the results."""
    args = dict(vars(parse(Evaluate, "evaluate", arguments)))
    as_json = args.pop("json")
    from wcord import api

    values = api.evaluate(args.pop("model"), ema=args.pop("ema_weights"), say=say, **args)
    if as_json:
        print_json(values)
        return 0
    from rich.table import Table

    table = Table("measure", "value")
    for name, value in values.items():
        table.add_row(name, f"{value:.4f}" if name in ("ece", "nll") else f"{value:.2f} %")
    OUT.print(table)
    return 0
