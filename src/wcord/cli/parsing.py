"""From arguments to the dataclass of a command, with one line for a mistake before the parser complains in a box."""

import contextlib
import dataclasses
import io
import itertools
from pathlib import Path
from typing import Any, TypeVar

import tyro

from wcord import checks
from wcord.bounds import checked, takes_empty_text
from wcord.checks import UsageError
from wcord.cli.values import require_given, require_values
from wcord.training.config import (
    BESIDE_A_TEACHER,
    DistillConfig,
    TrainConfig,
    configure,
    declared_settings,
    flatten,
    read_recipe,
    setting_names,
)

Parsed = TypeVar("Parsed")
Run = TypeVar("Run", bound=TrainConfig | DistillConfig)

RUN_HELP = """

--recipe FILE.toml holds any of these settings, flat or in tables [data] and [training]; flags override it.
--resume RUN goes on with a stopped or killed run (only --device, --max-time, --workers and --capture may be given with
it; and --model, --student, --teacher or --trust-run, where the run is one of code of your own, which no folder may
start)."""


def parse_checked(kind: type[Parsed], name: str, arguments: list[str], *, more: str = "") -> Parsed:
    """Return the arguments of a command as its dataclass; `more` is added to what --help says first.

    Raises:
        UsageError: on an unknown option; the nearest is offered.
    """
    _refuse_unknown_flags(kind, arguments)
    require_given(kind, arguments)
    return _parse(kind, name, arguments, more=more)


def with_recipe(kind: type, arguments: list[str]) -> list[str]:
    """Return the arguments of a command with what its --recipe holds before them, as flags, so that flags override it.

    Raises:
        UsageError: a recipe that cannot be read, or holds what is no setting of the command.
    """
    recipe, rest = _take(arguments, "--recipe")
    if recipe is None:
        return rest
    flags: list[str] = []
    for name, value in flatten(kind, read_recipe(Path(recipe))).items():
        if value is False:
            continue  # as without the flag
        values = value if isinstance(value, tuple) else [value]
        given = [] if value is True else [str(one) for one in values]
        flags += [f"--{name.replace('_', '-')}", *given]
    return [*flags, *rest]


def configuration(kind: type[Run], name: str, arguments: list[str]) -> Run:
    """Return a run's configuration: defaults, then the recipe, then the flags.

    Raises:
        UsageError: on an unknown option or setting, a recipe that cannot be read, a required setting that is missing.
    """
    recipe, rest = _take(arguments, "--recipe")
    settings = {} if recipe is None else read_recipe(Path(recipe))
    if "--finetune" in rest:  # its settings lie below the recipe's and the flags
        settings = {**settings, "finetune": True}
    default = configure(kind, settings, missing=tyro.MISSING)
    _refuse_unknown_flags(kind, rest)
    rest = [_plain_name(argument) for argument in rest]
    # The parser offers no flag that sets what is set already.
    on = {f"--{name.replace('_', '-')}" for name, value in flatten(kind, settings).items() if value is True}
    rest = [argument for argument in rest if argument not in on]
    if "--help" not in rest and "-h" not in rest:
        _refuse_missing(default, rest)
    return _parse(kind, name, rest, default=default, more=RUN_HELP)


def _parse(kind: type[Parsed], name: str, arguments: list[str], *, default: Any = None, more: str = "") -> Parsed:
    options: dict[str, Any] = {} if default is None else {"default": default}
    told = io.StringIO()
    _refuse_empty(kind, arguments)
    require_values(kind, arguments)
    try:
        with contextlib.redirect_stderr(told):
            parsed = tyro.cli(
                kind,
                prog=f"wcord {name}",
                description=f"{kind.__doc__}{more}",
                args=arguments,
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff, tyro.conf.HelptextFromCommentsOff),
                **options,
            )
    except SystemExit as left:
        if left.code == 0:
            raise
        raise UsageError(f"{_said_in_box(told.getvalue())}; wcord {name} --help tells more") from None
    return checked(parsed)


def _said_in_box(box: str) -> str:
    r"""Return what the parser complains about, in one line: the first paragraph below the title, without its frame.

    >>> _said_in_box('╭─ Error ─────╮\n│ Error parsing │\n│ --epochs      │\n│ ───────────── │\n│ More: --help  │')
    'Error parsing --epochs'
    """
    _, *lines = [line.strip("│ ") for line in f"{box}\n".splitlines()]
    text = itertools.dropwhile(_is_rule, lines)
    body = itertools.takewhile(lambda line: not _is_rule(line), text)
    return " ".join(body).rstrip(".") or "these options cannot be read"


def _is_rule(line: str) -> bool:
    return not line.strip("─-╭╮╰╯ ")


def _refuse_unknown_flags(kind: type, arguments: list[str]) -> None:
    known = {"--help", *(f"--{name.replace('_', '-')}" for name in setting_names(kind))}
    for argument in arguments:
        flag = argument.partition("=")[0].replace("_", "-")
        if flag.startswith("--") and flag not in known:
            raise checks.unknown("option", flag, known)


def _refuse_empty(kind: type, arguments: list[str]) -> None:
    """Refuse "" where it names nothing: as a path it would become the current folder."""
    flag = "an argument"
    for argument in arguments:
        name, equals, text = argument.partition("=") if argument.startswith("--") else (flag, "=", argument)
        flag = name
        field = BESIDE_A_TEACHER.get(plain := flag.removeprefix("--").replace("-", "_"), plain)
        if equals and not text and not takes_empty_text(declared_settings(kind).get(field)):
            raise UsageError(f"{flag} must not be empty: give a value, or leave it out")


def _plain_name(argument: str) -> str:
    """Return a flag that says whose setting it is (`--student-view`) by its plain name; others as they are."""
    flag, equals, value = argument.partition("=")
    name = BESIDE_A_TEACHER.get(flag.removeprefix("--").replace("-", "_"))
    return argument if name is None or not flag.startswith("--") else f"--{name}{equals}{value}"


def _refuse_missing(config: object, arguments: list[str]) -> None:
    for item in dataclasses.fields(config):  # pyright: ignore[reportArgumentType]  # always a configuration
        flag = f"--{item.name.replace('_', '-')}"
        given = any(argument.partition("=")[0].replace("_", "-") == flag for argument in arguments)
        if getattr(config, item.name) is tyro.MISSING and not given:
            raise UsageError(f"missing {flag}: give it, or a --recipe that holds it; --help tells more")


def _take(arguments: list[str], flag: str) -> tuple[str | None, list[str]]:
    """Return the value of a flag, `--flag X` or `--flag=X`, and the arguments without it."""
    for i, argument in enumerate(arguments):
        if argument.startswith(f"{flag}="):
            return argument.partition("=")[2], arguments[:i] + arguments[i + 1 :]
        if argument == flag:
            if i + 1 == len(arguments):
                raise UsageError(f"{flag} needs a value: name a file or folder")
            return arguments[i + 1], arguments[:i] + arguments[i + 2 :]
    return None, arguments
