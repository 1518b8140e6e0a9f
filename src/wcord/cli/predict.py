"""`wcord predict`: the classes that a student predicts for pictures, sounds or rows of tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from wcord.bounds import Bounds, Device, File, Name
from wcord.checks import UsageError
from wcord.cli.console import OUT, complain, print_json, say
from wcord.cli.parsing import parse

if TYPE_CHECKING:
    from rich.table import Table

    from wcord.api import Guess


@dataclass(frozen=True)
class Predict:
    """Name the most probable classes of pictures, sounds or rows of tables."""

    paths: tuple[File, ...]
    """Files or folders. Of a folder, all files of the kind that the network was trained on are read, except hidden
    ones; each row of a table is a record. Files that cannot be read are listed at the end; the exit code is then 2 if
    one of them was named here, 1 if no file could be read, else 0."""
    weights: File
    """A run's student.safetensors."""
    model: Name | None = None
    """The network, where it is your own code."""
    top: Annotated[int, Bounds(1, 10**6)] = 3
    """Number of classes to name."""
    device: Device = "auto"
    """auto | cpu | cuda | cuda:1 | mps"""
    json: bool = False
    """Print JSON instead of a table; files that cannot be read have the field error."""
    skip_bad_images: bool = False
    """Exit with 0 even if a file named here cannot be read, as long as another can."""


def predict(arguments: list[str]) -> int:
    """Print the most probable classes of each record."""
    args = parse(Predict, "predict", arguments, positional="paths")
    if not args.paths:
        raise UsageError("nothing to look at: name files or folders")
    from wcord import api

    guesses = api.predict_files(args.weights, args.paths, model=args.model, top=args.top, device=args.device, say=say)
    if args.json:
        print_json([_row(guess) for guess in guesses])
    else:
        OUT.print(_table(guesses))
    return _report_unread([guess for guess in guesses if guess.error], args)


def _row(guess: "Guess") -> dict[str, object]:
    if guess.error:
        return {"record": guess.record, "error": guess.error}
    classes = zip(guess.classes, guess.probabilities, strict=True)
    return {"record": guess.record, "classes": [{"name": name, "probability": p} for name, p in classes]}


def _table(guesses: "Sequence[Guess]") -> "Table":
    from rich.table import Table

    table = Table("record", "class", "probability")
    for guess in guesses:
        if not guess.classes and not guess.error:
            table.add_row(guess.record, "no label", "")
        for i, (name, probability) in enumerate(zip(guess.classes, guess.probabilities, strict=True)):
            table.add_row(guess.record if i == 0 else "", name, f"{100 * probability:.1f} %")
    return table


def _report_unread(unread: "Sequence[Guess]", args: Predict) -> int:
    """Report the files that could not be read and return the exit code: a file named by the user is an error."""
    named = [guess for guess in unread if not args.skip_bad_images and Path(guess.record) in args.paths]
    for guess in unread:
        if guess not in named:
            say(f"not read: {guess.error}")
    if not named:
        return 0
    more = f" (and {len(named) - 1} more files that were named)" if len(named) > 1 else ""
    return complain(f"{named[0].error}{more}", 2)
