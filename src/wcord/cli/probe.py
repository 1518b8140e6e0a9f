"""`wcord probe`: what the representations of students are worth on another data set."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from rich.table import Table

from wcord.bounds import Bounds, Device, File, Name
from wcord.checks import UsageError
from wcord.cli.console import OUT, print_json, say
from wcord.cli.parsing import parse_checked, with_recipe
from wcord.data.config import DataConfig
from wcord.files import write_atomically
from wcord.terminal import json_text

RECIPE_HELP = """

--recipe FILE.toml holds any of these settings; flags override it."""


@dataclass(frozen=True)
class Probe:
    """Measure frozen networks' embeddings on a data set: linear probe, nearest neighbours, a few labels a class."""

    weights: tuple[File, ...]
    """Runs' student.safetensors, or any files that say what network they are."""
    model: Name | None = None
    """Their architecture, where that is code of your own."""
    data: DataConfig = field(default_factory=DataConfig)
    neighbours: Annotated[int, Bounds(0, 10**9)] = 20
    """Nearest neighbours that vote; 0: leave that out."""
    shots: tuple[Annotated[int, Bounds(1, 10**9)], ...] = ()
    """Also fit on so many samples a class, ten times over."""
    device: Device = "auto"
    """auto | cpu | cuda | cuda:1 | mps"""
    out: File | None = None
    """Also write the result as JSON into this file."""
    json: bool = False
    """Print JSON instead of a table."""


def probe(arguments: list[str]) -> int:
    """Probe networks, one after the other, and print what was found."""
    asked = parse_checked(Probe, "probe", with_recipe(Probe, arguments), more=RECIPE_HELP)
    if not asked.weights:
        raise UsageError("nothing to probe: name --weights, one file or more")
    from wcord import api

    found = []
    for number, weights in enumerate(asked.weights, start=1):
        if len(asked.weights) > 1:
            say(f"probing {number}/{len(asked.weights)}: {weights}")
        values = api.probe(
            weights,
            model=asked.model,
            data=asked.data,
            neighbours=asked.neighbours,
            shots=asked.shots,
            device=asked.device,
        )
        found.append(values)
        for line in values["doubts"]:
            say(f"note: {weights}: {line}")
    if asked.out is not None:
        write_atomically(asked.out, (json_text(found, indent=1) + "\n").encode())
    if asked.json:
        print_json(found)
    else:
        OUT.print(_table(found))
    return 0


def _table(found: Sequence[dict[str, Any]]) -> Table:
    """Return a row for each network and a column for each probe."""
    notes = dict.fromkeys(values["note"] for values in found)
    table = Table("network", "dimensions", *found[0]["top1"], caption="; ".join(notes))
    for values in found:
        made = f"{values['method']}, seed {values['seed']}" if "seed" in values else Path(values["weights"]).stem
        told = (
            f"{value['mean']:.2f} ± {value['std']:.2f} %" if isinstance(value, dict) else f"{value:.2f} %"
            for value in values["top1"].values()
        )
        table.add_row(f"{values['architecture']} ({made})", str(values["dimensions"]), *told)
    return table
