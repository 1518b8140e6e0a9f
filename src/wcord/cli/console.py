"""What every command prints with: results on stdout, everything else on stderr."""

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

OUT = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
ERR = Console(stderr=True, highlight=False, soft_wrap=True)


def say(line: str) -> None:
    """Tell the user what happens."""
    ERR.print(escape(line))


def complain(error: object, code: int) -> int:
    """Tell a mistake in one line and return the exit code."""
    line = " ".join(str(error).split())
    ERR.print(f"[bold red]wcord:[/] {escape(line)}")
    return code


def print_path(what: str, path: Path) -> None:
    """Say where a result lies."""
    OUT.print(f"{what:8} {escape(str(path))}", soft_wrap=True)


def print_records(records: list[Any]) -> None:
    """Print what runs have reached as a table."""
    from wcord.report.tables import rows, terminal_table

    OUT.print(terminal_table(rows(records)))
