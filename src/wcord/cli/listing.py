"""`wcord list`: the methods, networks and data sources by name."""

from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from wcord.cli.console import OUT
from wcord.cli.parsing import parse_checked
from wcord.data.config import SOURCES
from wcord.methods.catalogue import METHODS
from wcord.models.catalogue import CIFAR_MODELS, PREFIXES

WIDE = 110
"""Columns that the methods need in one line each."""


@dataclass(frozen=True)
class Listing:
    """List the methods, the networks and the data sources."""

    methods: bool = False
    """The methods only."""
    models: bool = False
    """The networks only."""
    data: bool = False
    """The data sources only."""


def listing(arguments: list[str]) -> int:
    """Print the tables that were asked for, or all."""
    asked = parse_checked(Listing, "list", arguments)
    everything = not (asked.methods or asked.models or asked.data)
    if everything or asked.methods:
        OUT.print(_methods(OUT.width))
    if everything or asked.models:
        OUT.print(_models())
    if everything or asked.data:
        OUT.print(_sources())
    return 0


def _methods(width: int) -> Table:
    """Return a line for each method, or two where the terminal is narrow."""
    title = "Methods; + adds them: wcord+kd"
    if width >= WIDE:
        table = Table(title=title)
        for heading in ("method", "what it is", "weight", "needs", "from", "checked against"):
            table.add_column(heading, overflow="fold")
        for name, info in METHODS.items():
            table.add_row(name, info.title, f"{info.weight:g}", info.needs, f"{info.paper} {info.year}", info.checked)
        return table
    table = Table("method", "what it is, weight / needs · from · checked against", title=title, box=SIMPLE_HEAD)
    for name, info in METHODS.items():
        told = f"{info.needs} · {info.paper} {info.year} · {info.checked}"
        table.add_row(name, f"{escape(info.title)}, {info.weight:g}\n[dim]{escape(told)}[/]")
    return table


def _models() -> Table:
    table = Table("network", "what it is", title="Networks")
    table.add_row(" ".join(CIFAR_MODELS), "the CRD benchmark's networks for small images")
    for prefix, text in PREFIXES.items():
        table.add_row(prefix, text)
    return table


def _sources() -> Table:
    table = Table("data", "what it is", title="Data sources")
    for source, text in SOURCES.items():
        table.add_row(source, text)
    return table
