"""`wcord probe`: what a student's representation is worth on another data set."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from wcord.cli.console import OUT
from wcord.cli.parsing import parse_checked, with_recipe
from wcord.data.config import DataConfig
from wcord.files import write_atomically

RECIPE_HELP = """

--recipe FILE.toml holds any of these settings; flags override it."""


@dataclass(frozen=True)
class Probe:
    """Measure a frozen network's embedding on a data set: linear probe, nearest neighbours, a few labels a class."""

    weights: Path
    """A run's student.safetensors, or any file that says what network it is."""
    data: DataConfig = field(default_factory=DataConfig)
    neighbours: int = 20
    """Nearest neighbours that vote; 0: leave that out."""
    shots: tuple[int, ...] = ()
    """Also fit on so many samples a class, ten times over."""
    device: str = "auto"
    """auto | cpu | cuda | cuda:1 | mps"""
    out: Path | None = None
    """Also write the result as JSON into this file."""
    json: bool = False
    """Print JSON instead of a table."""


def probe(arguments: list[str]) -> int:
    """Probe a network and print what was found."""
    asked = parse_checked(Probe, "probe", with_recipe(arguments), more=RECIPE_HELP)
    from wcord import api

    values = api.probe(
        asked.weights, data=asked.data, neighbours=asked.neighbours, shots=asked.shots, device=asked.device
    )
    if asked.out is not None:
        write_atomically(asked.out, (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode())
    if asked.json:
        sys.stdout.write(json.dumps(values) + "\n")
        return 0
    table = Table("probe", "top-1", caption=values["note"])
    for name, value in values["top1"].items():
        told = f"{value['mean']:.2f} ± {value['std']:.2f}" if isinstance(value, dict) else f"{value:.2f}"
        table.add_row(name, f"{told} %")
    OUT.print(table)
    return 0
