"""What every command prints with: results on stdout, everything else on stderr."""

import json
import re
import sys
from pathlib import Path
from typing import Any

from wcord.terminal import Terminal, plain

OUT = Terminal(width=None if sys.stdout.isatty() else 120)
ERR = Terminal(stderr=True, soft_wrap=True)


def say(line: str) -> None:
    """Tell the user what happens."""
    ERR.print(line)


def complain(error: object, code: int) -> int:
    """Tell a mistake in one line and return the exit code."""
    line = " ".join(str(error).split())
    ERR.print(plain("wcord: ", style="bold red").append_text(plain(line)))
    return code


def print_path(what: str, path: Path) -> None:
    """Say where a result lies."""
    OUT.print(f"{what:8} {path}", soft_wrap=True)


def json_text(value: object, indent: int | None = None) -> str:
    r"""Return a value as JSON, in which what no terminal should get and no file can hold is escaped.

    >>> json_text(["caf\udce9", "\x9b2J", "é"])
    '["caf\\udce9", "\\u009b2J", "é"]'
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return re.sub("[\x7f-\x9f\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def print_json(value: object) -> None:
    """Print a result for other programs."""
    sys.stdout.write(json_text(value) + "\n")


def print_records(records: list[Any]) -> None:
    """Print what runs have reached as a table."""
    from wcord.report.tables import rows, terminal_table

    OUT.print(terminal_table(rows(records)))
