"""`wcord predict`: what a student says of pictures, sounds or rows of tables."""

from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.table import Table

from wcord.checks import UsageError
from wcord.cli.console import OUT, print_json
from wcord.cli.parsing import parse_checked


@dataclass(frozen=True)
class Predict:
    """Name the most probable classes of pictures, sounds or rows of tables."""

    paths: tyro.conf.Positional[tuple[Path, ...]]
    """Files, or folders that hold them; of a table, each row is a record."""
    weights: Path
    """A run's student.safetensors."""
    model: str | None = None
    """Its architecture, where that is code of your own."""
    top: int = 3
    """How many classes to name."""
    device: str = "auto"
    """auto | cpu | cuda | cuda:1 | mps"""
    json: bool = False
    """Print JSON instead of a table."""


def predict(arguments: list[str]) -> int:
    """Print the most probable classes of each record."""
    asked = parse_checked(Predict, "predict", arguments)
    if not asked.paths:
        raise UsageError("nothing to look at: name files or folders")
    from wcord import api

    guesses = api.predict_files(asked.weights, asked.paths, model=asked.model, top=asked.top, device=asked.device)
    if asked.json:
        rows = [
            {
                "record": g.record,
                "classes": [{"name": n, "probability": p} for n, p in zip(g.classes, g.probabilities, strict=True)],
            }
            for g in guesses
        ]
        print_json(rows)
        return 0
    table = Table("record", "class", "probability")
    for guess in guesses:
        if not guess.classes:
            table.add_row(guess.record, "no label", "")
        for i, (name, probability) in enumerate(zip(guess.classes, guess.probabilities, strict=True)):
            table.add_row(guess.record if i == 0 else "", name, f"{100 * probability:.1f} %")
    OUT.print(table)
    return 0
