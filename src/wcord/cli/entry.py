"""The command `wcord`: it calls a command, and reports a mistake in one line with an exit code."""

import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module

from wcord import __version__, checks
from wcord.checks import RunError, UsageError
from wcord.cli.console import OUT, complain
from wcord.memory import lack_of_memory
from wcord.own_code import of_own_code, said_by
from wcord.terminal import plain

COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("runs:train", "train a network on labels, for instance a teacher"),
    "distill": ("runs:distill", "distill a trained teacher into a student"),
    "evaluate": ("evaluate:evaluate", "measure a network on a data set"),
    "predict": ("predict:predict", "name the classes of pictures, sounds or rows of tables"),
    "probe": ("probe:probe", "measure what a representation is worth on other data"),
    "report": ("results:report", "compare runs on one HTML page"),
    "export": ("results:export", "write a student as ONNX or torch.export"),
    "benchmark": ("benchmark:benchmark", "run a published comparison (pairs × methods × seeds) and write its tables"),
    "list": ("listing:listing", "list methods, networks, data sources and views"),
    "demo": ("demo:demo", "see it all on handwritten digits, in about two minutes"),
}
"""Command → the function that runs it, in a module of this folder, and what it does in a few words."""
DISTRIBUTED = ("train", "distill")
"""Commands that torchrun and accelerate may start in several processes."""
TRACEBACK = "WCORD_TRACEBACK"
"""Environment variable with which an error shows its traceback."""
LAUNCHERS = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT")
"""Environment variables that launchers of several processes set."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 a mistake in the command line or its input."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _replace_what_cannot_be_encoded()
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        _print_overview()
        return 0 if arguments else 2
    if arguments[0] == "--version":
        OUT.print(f"wcord {__version__}")
        return 0
    try:
        return _run(arguments)
    except BaseException as error:
        if isinstance(error, SystemExit) and of_own_code(error) is None:  # --help
            raise
        if os.environ.get(TRACEBACK):
            traceback.print_exc()
        return _report(error)


def load(command: str) -> Callable[[list[str]], int]:
    """Return the function that runs a command; only its modules are imported."""
    module, _, function = COMMANDS[command][0].partition(":")
    return getattr(import_module(f"wcord.cli.{module}"), function)


def _run(arguments: list[str]) -> int:
    command, *rest = arguments
    if command not in COMMANDS:
        raise checks.unknown("command", command, COMMANDS)
    _require_one_process(command)
    return load(command)(rest)


def _report(error: BaseException) -> int:
    """Report the error that ended a command in one line, and return its exit code."""
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


def _unexpected(error: BaseException) -> str:
    """Return the message for an error of the user's code, of the system, or of ours."""
    lack = lack_of_memory(error)
    if lack is not None:
        return f"{lack}: end other programs, or choose a smaller network, --image-size, --batch-size or --subset"
    function = of_own_code(error)
    if function is not None:
        return f"your own code failed: {function}; {TRACEBACK}=1 shows the traceback"
    if isinstance(error, OSError) and error.strerror:
        where = f"cannot use {os.fsdecode(error.filename)!r}: " if error.filename else ""
        return f"{where}{error.strerror}: check the path and the disk; {TRACEBACK}=1 shows the traceback"
    return f"unexpected error: {said_by(error)}; {TRACEBACK}=1 shows the traceback, please report it{_issues()}"


def _issues() -> str:
    """Return the address of the issues, if the installed package states one."""
    from importlib.metadata import PackageNotFoundError, metadata

    try:
        entries = [entry.partition(",") for entry in metadata("wcord").get_all("Project-URL") or ()]
    except PackageNotFoundError:
        return ""
    addresses = [url.strip() for label, _, url in entries if label.lower() in ("issues", "bug tracker", "tracker")]
    return f" at {addresses[0]}" if addresses else ""


def _replace_what_cannot_be_encoded() -> None:
    """Print a question mark for a character that the terminal's encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _require_one_process(command: str) -> None:
    """Raise where a launcher starts several processes of a command that runs in one."""
    for name in LAUNCHERS:
        text = os.environ.get(name, "0")
        if not text.isdecimal():
            raise UsageError(
                f"the environment variable {name} must be a whole number, received {text!r}: unset it, or start "
                "several processes with torchrun, which sets it"
            )
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1 and command not in DISTRIBUTED:
        hint = ", as often as you like over one folder" if command == "benchmark" else ""
        raise UsageError(
            f"only {' and '.join(DISTRIBUTED)} run in several processes, received {processes} for {command}: "
            f"start it without a launcher{hint}"
        )


def _print_overview() -> None:
    OUT.print(plain(f"wcord {__version__}: distill a trained teacher network into a smaller student\n", style="bold"))
    for name, (_, text) in COMMANDS.items():
        OUT.print(plain(f"  {name:11}", style="bold").append_text(plain(text)))
    OUT.print("\nwcord COMMAND --help explains a command. Start with: wcord demo")
