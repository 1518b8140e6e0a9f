"""`wcord list`: the methods, networks, data sources and views by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.table import Table

from wcord.cli.console import OUT
from wcord.cli.parsing import parse
from wcord.data.config import VIEWS
from wcord.data.sources.registry import names_of_data
from wcord.methods.catalogue import METHODS
from wcord.models.catalogue import CIFAR_MODELS, PREFIXES, SMALL_TRANSFORMERS, TABLE_MODELS
from wcord.terminal import plain

WIDE = 110
"""Columns that the methods need in one line each."""

RECONSTRUCTIONS = "Reconstructions: no code of the authors, parts of the method are our reading"


@dataclass(frozen=True)
class Listing:
    """List the methods, networks, data sources and views; by default all of them."""

    methods: bool = False
    """The methods."""
    models: bool = False
    """The networks."""
    data: bool = False
    """The data sources."""
    views: bool = False
    """The views: what a network sees of a sample."""


def listing(arguments: list[str]) -> int:
    """Print the requested tables, or all."""
    args = parse(Listing, "list", arguments)
    everything = not any(vars(args).values())
    if everything or args.methods:
        for table in _methods(OUT.width):
            OUT.print(table)
    if everything or args.models:
        OUT.print(_models())
    if everything or args.data:
        OUT.print(_table("data", "Data sources", names_of_data()))
    if everything or args.views:
        OUT.print(_table("view", "Views; commas join them: gray,resize=16", VIEWS))
    return 0


def _methods(width: int) -> list[Table]:
    """Return the table of methods and that of reconstructions."""
    titles = {False: "Methods; + adds them: wcord+kd", True: RECONSTRUCTIONS}
    tables: list[Table] = []
    for reconstruction, title in titles.items():
        names = [name for name, info in METHODS.items() if info.reconstruction == reconstruction]
        tables.append(_methods_table(title, names, width))
    return tables


def _methods_table(title: str, methods: Sequence[str], width: int) -> Table:
    """Return a line for each method, or two where the terminal is narrow."""
    rows = [(name, METHODS[name]) for name in methods]
    if width >= WIDE:
        table = Table(title=title)
        for heading in ("method", "what it is", "weight", "needs", "from", "checked against"):
            table.add_column(heading, overflow="fold")
        for name, info in rows:
            table.add_row(name, info.title, f"{info.weight:g}", info.needs, f"{info.paper} {info.year}", info.checked)
        return table
    table = Table("method", "what it is, weight / needs · from · checked against", title=title, box=SIMPLE_HEAD)
    for name, info in rows:
        details = f"{info.needs} · {info.paper} {info.year} · {info.checked}"
        table.add_row(name, plain(f"{info.title}, {info.weight:g}\n").append_text(plain(details, style="dim")))
    return table


def _models() -> Table:
    networks = {
        " ".join(CIFAR_MODELS): "the CRD benchmark's networks for small images",
        " ".join(SMALL_TRANSFORMERS): "a Swin transformer for pictures of 16×16 or 32×32 pixels",
        " ".join(TABLE_MODELS): "perceptrons for tables, mlp{width}x{hidden layers}",
    }
    return _table("network", "Networks", networks | PREFIXES)


def _table(heading: str, title: str, rows: Mapping[str, str]) -> Table:
    table = Table(heading, "what it is", title=title)
    for name, text in rows.items():
        table.add_row(name, text)
    return table
