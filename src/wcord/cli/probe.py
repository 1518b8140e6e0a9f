"""`wcord probe`: what the representations of students are worth on another data set."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from wcord.bounds import Bounds, Device, File, Name
from wcord.checks import UsageError
from wcord.cli.console import OUT, print_json, say
from wcord.cli.parsing import parse
from wcord.data.config import DataConfig

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Probe:
    """Measure the embeddings of frozen networks on a data set: linear probe, nearest neighbors, few labels a class."""

    weights: tuple[File, ...]
    """The student.safetensors of runs, or any weights files that name their network."""
    model: Name | None = None
    """The networks' architecture, where it is your own code."""
    data: DataConfig = field(default_factory=DataConfig)
    neighbours: Annotated[int, Bounds(0, 10**9)] = 20
    """Nearest neighbors that vote; 0: no vote of neighbors."""
    shots: tuple[Annotated[int, Bounds(1, 10**9)], ...] = ()
    """Also fit a linear probe on this many samples per class, ten times."""
    verify: tuple[Annotated[float, Bounds(0, 1)], ...] = ()
    """Also verify pairs of test samples by cosine: the share of pairs of one class that are accepted (TAR) where this
    share of the other pairs is accepted too (FAR)."""
    device: Device = "auto"
    """auto | cpu | cuda | cuda:1 | mps"""
    out: File | None = None
    """Also write the result as JSON into this file; an existing file is replaced only if it is such a result."""
    json: bool = False
    """Print JSON instead of a table."""


def probe(arguments: list[str]) -> int:
    """Probe networks, one after the other, and print the results."""
    args = dict(vars(parse(Probe, "probe", arguments)))
    paths, out, as_json = args.pop("weights"), args.pop("out"), args.pop("json")
    if not paths:
        raise UsageError("nothing to probe: name --weights, one file or more")
    from wcord.marks import is_probe
    from wcord.overwriting import Output, require_writable, write_output
    from wcord.terminal import json_text

    output = Output("a result of wcord probe", (".json",), is_probe)
    if out is not None:
        require_writable(out, output)
    results = _probe_all(paths, args)
    if out is not None:
        write_output(out, (json_text(results, indent=1) + "\n").encode(), output)
    if as_json:
        print_json(results)
    else:
        OUT.print(_table(results))
    return 0


def _probe_all(paths: Sequence[Path], settings: dict[str, Any]) -> list[dict[str, Any]]:
    from wcord import api

    results = []
    for number, path in enumerate(paths, start=1):
        if len(paths) > 1:
            say(f"probing {number}/{len(paths)}: {path}")
        results.append(api.probe(path, **settings))
        for line in results[-1]["doubts"]:
            say(f"note: {path}: {line}")
    return results


def _table(results: Sequence[dict[str, Any]]) -> "Table":
    """Return a row for each network and a column for each probe."""
    from rich.table import Table

    notes = dict.fromkeys(values["note"] for values in results)
    rates = [f"TAR at FAR {far}" for far in results[0].get("verification", {})]
    table = Table("network", "dimensions", *results[0]["top1"], *rates, caption="; ".join(notes))
    for values in results:
        source = f"{values['method']}, seed {values['seed']}" if "seed" in values else Path(values["weights"]).stem
        cells = (
            f"{value['mean']:.2f} ± {value['std']:.2f} %" if isinstance(value, dict) else f"{value:.2f} %"
            for value in values["top1"].values()
        )
        verified = (f"{result['tar']:.2f} %" for result in values.get("verification", {}).values())
        table.add_row(f"{values['architecture']} ({source})", str(values["dimensions"]), *cells, *verified)
    return table
