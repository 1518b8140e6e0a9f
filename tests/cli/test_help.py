"""The help of a command is built from its dataclass: whole sentences, each default once, tables as sections."""

import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest

from wcord.bounds import Bounds
from wcord.cli import COMMANDS, main
from wcord.cli.help import RECIPE, field_docs, help_text


@dataclass(frozen=True)
class Inner:
    """What is read."""

    rates: tuple[float, ...] = (0.5, 1.0)
    """Rates, with a
    hard line break."""
    side: Annotated[int, Bounds(1)] | str | None = None
    """Pixels; default: all."""


@dataclass(frozen=True)
class Outer:
    """Do something."""

    paths: tuple[Path, ...]
    """Files."""
    name: str
    """Its name."""
    kind: Literal["a", "b"] = "a"
    inner: Inner = field(default_factory=Inner)
    count: int = 0
    """How many."""
    quick: bool = False
    """Less."""


def test_options_defaults_and_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = help_text(Outer, "do", positional="paths", note="One more thing.")
    first, rest = textwrap.wrap(RECIPE, 84)
    assert [line.strip() for line in shown.splitlines() if line] == [
        "usage: wcord do PATHS … --name NAME [OPTIONS]",
        "Do something.",
        "One more thing.",
        "Options",
        "PATHS …                 Files.",
        "--name NAME             Its name. (required)",
        "--kind a|b              (default: a)",
        "--count N               How many. (default: 0)",
        "--quick                 Less.",
        f"--recipe PATH           {first}",
        rest,
        "-h, --help              Show this help.",
        "[inner] What is read.",
        "--rates X …             Rates, with a hard line break. (default: 0.5 1)",
        "--side N|NAME           Pixels; default: all.",
    ]
    assert "recipe" not in help_text(Inner, "do")


def test_docstrings_of_fields_are_read_without_their_line_breaks() -> None:
    assert field_docs(Inner) == {"rates": "Rates, with a hard line break.", "side": "Pixels; default: all."}


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("command", list(COMMANDS))
def test_the_help_fits_the_terminal(
    command: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= columns
    assert not any(mark in shown for mark in ("│", "(default: None)", "(default: False)", "(default: )"))
