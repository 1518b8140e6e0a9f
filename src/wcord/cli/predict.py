"""`wcord predict`: what a student says of pictures, sounds or rows of tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.table import Table

from wcord.bounds import Bounds, Device, File, Name
from wcord.checks import UsageError
from wcord.cli.console import OUT, complain, print_json, say
from wcord.cli.parsing import parse_checked

if TYPE_CHECKING:
    from wcord.api import Guess


@dataclass(frozen=True)
class Predict:
    """Name the most probable classes of pictures, sounds or rows of tables."""

    paths: tyro.conf.Positional[tuple[File, ...]]
    """Files, or folders, of which those files are read that hold what the network was trained on, hidden ones left
    out; of a table, each row is a record. What cannot be read is told at the end; the exit code is then 2 where such a
    file was named, 1 where nothing could be read, else 0."""
    weights: File
    """A run's student.safetensors."""
    model: Name | None = None
    """Its architecture, where that is code of your own."""
    top: Annotated[int, Bounds(1, 10**6)] = 3
    """How many classes to name."""
    device: Device = "auto"
    """auto | cpu | cuda | cuda:1 | mps"""
    json: bool = False
    """Print JSON instead of a table; files that cannot be read have the field error."""
    skip_bad_images: bool = False
    """Exit with 0 though a file that was named cannot be read, as long as another could be."""


def predict(arguments: list[str]) -> int:
    """Print the most probable classes of each record."""
    asked = parse_checked(Predict, "predict", arguments)
    if not asked.paths:
        raise UsageError("nothing to look at: name files or folders")
    from wcord import api

    guesses = api.predict_files(
        asked.weights, asked.paths, model=asked.model, top=asked.top, device=asked.device, say=say
    )
    if asked.json:
        print_json([_row(guess) for guess in guesses])
    else:
        OUT.print(_table(guesses))
    return _tell_unread([guess for guess in guesses if guess.error], asked)


def _row(guess: "Guess") -> dict[str, object]:
    if guess.error:
        return {"record": guess.record, "error": guess.error}
    classes = zip(guess.classes, guess.probabilities, strict=True)
    return {"record": guess.record, "classes": [{"name": name, "probability": p} for name, p in classes]}


def _table(guesses: "Sequence[Guess]") -> Table:
    table = Table("record", "class", "probability")
    for guess in guesses:
        if not guess.classes and not guess.error:
            table.add_row(guess.record, "no label", "")
        for i, (name, probability) in enumerate(zip(guess.classes, guess.probabilities, strict=True)):
            table.add_row(guess.record if i == 0 else "", name, f"{100 * probability:.1f} %")
    return table


def _tell_unread(unread: "Sequence[Guess]", asked: Predict) -> int:
    """Tell which files could not be read and return the exit code: a file that was named is an error."""
    named = [guess for guess in unread if not asked.skip_bad_images and Path(guess.record) in asked.paths]
    for guess in unread:
        if guess not in named:
            say(f"not read: {guess.error}")
    if not named:
        return 0
    more = f" (and {len(named) - 1} more files that were named)" if len(named) > 1 else ""
    return complain(f"{named[0].error}{more}", 2)
