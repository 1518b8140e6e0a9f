"""`wcord demo`: every step of wcord on the embedded digits."""

from dataclasses import dataclass
from pathlib import Path

from wcord.bounds import File, Seed
from wcord.cli.console import print_path, print_records, say
from wcord.cli.parsing import parse
from wcord.paths import require_place


@dataclass(frozen=True)
class Demo:
    """Train a teacher and several students on handwritten digits, and compare them: about two minutes."""

    out: File = Path("runs/demo")
    """Folder of the demo's runs and its page; a finished demo in it is replaced."""
    seed: Seed = 0
    """Seed of all runs."""


def demo(arguments: list[str]) -> int:
    """Run the demo and print its table."""
    args = parse(Demo, "demo", arguments)
    require_place(args.out, "--out", folder=True)
    from wcord.demo import run_demo

    records, page = run_demo(args.out, seed=args.seed, say=say)
    print_records(records)
    print_path("report", page)
    return 0
