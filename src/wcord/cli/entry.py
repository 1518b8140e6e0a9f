"""Which command is meant, and what becomes of its mistakes: one line and an exit code."""

import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, metadata

from rich.table import Table

from wcord import __version__, checks
from wcord.checks import RunError, UsageError
from wcord.cli.benchmark import benchmark
from wcord.cli.console import OUT, complain
from wcord.cli.demo import demo
from wcord.cli.evaluate import evaluate
from wcord.cli.listing import listing
from wcord.cli.predict import predict
from wcord.cli.probe import probe
from wcord.cli.results import export, report
from wcord.cli.runs import distill, train
from wcord.memory import lack_of_memory
from wcord.own_code import of_own_code, said_by
from wcord.terminal import plain

COMMANDS: dict[str, tuple[str, Callable[[list[str]], int]]] = {
    "train": ("train a network on labels, for instance a teacher", train),
    "distill": ("distil a trained teacher into a student", distill),
    "evaluate": ("measure a network on a data set", evaluate),
    "predict": ("name the classes of pictures, sounds or rows of tables", predict),
    "probe": ("measure what a representation is worth on other data", probe),
    "report": ("compare runs on one HTML page", report),
    "export": ("write a student as ONNX or torch.export", export),
    "benchmark": ("run a published comparison: pairs × methods × seeds, with its tables", benchmark),
    "list": ("list methods, networks and data sources", listing),
    "demo": ("see it all on handwritten digits, in about two minutes", demo),
}
"""Command → what it does in a few words, and what runs it."""
TOGETHER = ("train", "distill")
"""Commands that torchrun and accelerate may start in several processes."""
TRACEBACK = "WCORD_TRACEBACK"
"""Environment variable with which an error shows its traceback."""
LAUNCHERS = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT")
"""Environment variables by which launchers tell processes of each other."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed under way, 2 a mistake in what was asked."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        OUT.print(_overview())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        OUT.print(f"wcord {__version__}")
        return 0
    _show_what_cannot_be_encoded()
    try:
        return _run(arguments)
    except BaseException as error:
        if isinstance(error, SystemExit) and of_own_code(error) is None:  # --help
            raise
        if os.environ.get(TRACEBACK):
            traceback.print_exc()
        return _code_of(error)


def _code_of(error: BaseException) -> int:
    """Say in one line what ended a command, and return its exit code."""
    match error:
        case UsageError():
            return complain(error, 2)
        case RunError():
            return complain(error, 1)
        case BrokenPipeError():
            # The reader of our output left (`wcord list | head`): not our failure, and nothing more can be printed.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        case KeyboardInterrupt():
            return complain("interrupted", 130)
        case _:
            return complain(_unexpected(error), 1)


def _run(arguments: list[str]) -> int:
    if arguments[0] not in COMMANDS:
        raise checks.unknown("command", arguments[0], COMMANDS)
    _refuse_company(arguments[0])
    return COMMANDS[arguments[0]][1](arguments[1:])


def _unexpected(error: BaseException) -> str:
    """Return what to say of an error that nobody foresaw: the user's own code, the system, or a mistake of ours."""
    lack = lack_of_memory(error)
    if lack is not None:
        return f"{lack}: end other programs, or choose a smaller network, --image-size, --batch-size or --subset"
    own = of_own_code(error)
    if own is not None:
        return f"your own code failed: {own}; {TRACEBACK}=1 shows the traceback"
    if isinstance(error, OSError) and error.strerror:
        where = f"cannot use {os.fsdecode(error.filename)!r}: " if error.filename else ""
        return f"{where}{error.strerror}: check the path and the disk; {TRACEBACK}=1 shows the traceback"
    return (
        f"unexpected error: {said_by(error)}; {TRACEBACK}=1 shows the traceback, please report it{_where_to_report()}"
    )


def _where_to_report() -> str:
    """Return the address of the issues as the installed package states it, if it does."""
    with suppress(PackageNotFoundError):
        for entry in metadata("wcord").get_all("Project-URL") or ():
            label, _, address = entry.partition(",")
            if label.strip().lower() in ("issues", "bug tracker", "tracker"):
                return f" at {address.strip()}"
    return ""


def _show_what_cannot_be_encoded() -> None:
    """Let a terminal whose encoding lacks a character show a question mark instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _refuse_company(command: str) -> None:
    """Say that processes which a launcher ties together can train one network, and do nothing else."""
    for name in LAUNCHERS:
        text = os.environ.get(name, "0")
        if not text.isdecimal():
            raise UsageError(
                f"the environment variable {name} must be a whole number, received {text!r}: unset it, or start "
                "several processes with torchrun, which sets it"
            )
    together = int(os.environ.get("WORLD_SIZE", "1"))
    if together > 1 and command not in TOGETHER:
        hint = ", as often as you like over one folder" if command == "benchmark" else ""
        raise UsageError(
            f"{' and '.join(TOGETHER)} run in several processes, received {together} for {command}: "
            f"start it without a launcher{hint}"
        )


def _overview() -> Table:
    table = Table(
        title=f"wcord {__version__}: distil a trained teacher network into a smaller student",
        caption="wcord COMMAND --help tells the rest. Start with: wcord demo",
        box=None,
        show_header=False,
        title_justify="left",
        caption_justify="left",
    )
    for name, (text, _) in COMMANDS.items():
        table.add_row(plain(f"  {name}", style="bold"), text)
    return table
