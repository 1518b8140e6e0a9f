"""What every command prints with: results on stdout, everything else on stderr."""

import sys
from pathlib import Path
from typing import Any

from wcord.terminal import Terminal, json_text, plain

OUT = Terminal(width=None if sys.stdout.isatty() else 120)
ERR = Terminal(stderr=True, soft_wrap=True)


def say(line: str) -> None:
    """Print a line about the progress of a command."""
    ERR.print(line)


def complain(error: object, code: int) -> int:
    """Print a mistake in one line and return the exit code."""
    line = " ".join(str(error).split())
    ERR.print(plain("wcord: ", style="bold red").append_text(plain(line)))
    return code


def print_path(name: str, path: Path) -> None:
    """Print where a result is."""
    OUT.print(f"{name:8} {path}", soft_wrap=True)


def print_json(value: object) -> None:
    """Print a result for other programs."""
    sys.stdout.write(json_text(value) + "\n")


def print_records(records: list[Any]) -> None:
    """Print the results of runs as a table."""
    from wcord.report.tables import rows, terminal_table

    OUT.print(terminal_table(rows(records)))
