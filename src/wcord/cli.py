"""The command line: parse, call, print; one line and an exit code for a mistake. Imports torch only to do work."""

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from wcord import __version__, checks
from wcord.checks import RunError, UsageError
from wcord.data.config import DataConfig
from wcord.training.config import DistillConfig, TrainConfig, configure, read_recipe, setting_names

Parsed = TypeVar("Parsed")
Run = TypeVar("Run", bound=TrainConfig | DistillConfig)

RUN_HELP = """

--recipe FILE.toml holds any of these settings, flat or in tables [data] and [training]; flags override it.
--resume RUN goes on with a stopped or killed run (only --device, --max-time and --workers may be given with it)."""

OUT = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
ERR = Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Resume:
    """Go on with a stopped or killed run, bit for bit as if it had not been."""

    resume: Path
    """Folder of the run."""
    device: str | None = None
    """auto | cpu | cuda | cuda:1 | mps"""
    max_time: float | None = None
    """Minutes after which the run saves itself and stops."""
    workers: int | None = None
    """Worker processes that decode images."""


@dataclass(frozen=True)
class Evaluate:
    """Measure a network on the evaluation split of a data set."""

    data: DataConfig = field(default_factory=DataConfig)
    weights: Path | None = None
    """Its weights: a run's student.safetensors, or any file that --model fits."""
    model: str | None = None
    """Its architecture, where the weights do not say it themselves."""
    mean: tuple[float, ...] | None = None
    """Mean that the input is normalised with, per channel in [0, 1]."""
    std: tuple[float, ...] | None = None
    """Standard deviation that the input is divided by."""
    device: str = "auto"
    """auto | cpu | cuda | cuda:1 | mps"""
    json: bool = False
    """Print JSON instead of a table."""


@dataclass(frozen=True)
class Predict:
    """Name the most probable classes of pictures."""

    paths: tyro.conf.Positional[tuple[Path, ...]]
    """Pictures, or folders that hold them."""
    weights: Path
    """A run's student.safetensors."""
    top: int = 3
    """How many classes to name."""
    device: str = "auto"
    """auto | cpu | cuda | cuda:1 | mps"""
    json: bool = False
    """Print JSON instead of a table."""


@dataclass(frozen=True)
class Report:
    """Compare runs on one self-contained HTML page."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of runs."""
    out: Path = Path("report.html")
    """The page to write."""


@dataclass(frozen=True)
class Export:
    """Write a run's student for other programs, checked against PyTorch on real batches."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    format: Literal["onnx", "torch"] = "onnx"
    """onnx: ONNX; torch: a torch.export program."""
    out: Path | None = None
    """File to write; default: student.onnx or student.pt2 in the run's folder."""
    data: str | None = None
    """Data for the check, where that of the run has moved."""


@dataclass(frozen=True)
class Listing:
    """List the methods, the networks and the data sources."""

    methods: bool = False
    """The methods only."""
    models: bool = False
    """The networks only."""
    data: bool = False
    """The data sources only."""


@dataclass(frozen=True)
class Demo:
    """Train a teacher and several students on handwritten digits, and compare them: about two minutes."""

    out: Path = Path("runs/demo")
    """Folder of the demo's runs and its page; a finished demo in it is replaced."""
    seed: int = 0
    """Seed of all runs."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed under way, 2 a mistake in what was asked."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        OUT.print(_overview())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        OUT.print(f"wcord {__version__}")
        return 0
    try:
        if arguments[0] not in COMMANDS:
            raise checks.unknown("command", arguments[0], COMMANDS)
        return COMMANDS[arguments[0]][1](arguments[1:])
    except UsageError as error:
        return _complain(error, 2)
    except BrokenPipeError:
        # The reader of our output left (`wcord list | head`): not our failure, and nothing more can be printed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (RunError, OSError) as error:
        return _complain(error, 1)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)


def _complain(error: object, code: int) -> int:
    line = " ".join(str(error).split())
    ERR.print(f"[bold red]wcord:[/] {escape(line)}")
    return code


def _parse(kind: type[Parsed], name: str, arguments: list[str], *, default: Any = None, more: str = "") -> Parsed:
    """Return the arguments of a command as its dataclass; `more` is added to what --help says first."""
    options: dict[str, Any] = {} if default is None else {"default": default}
    return tyro.cli(
        kind,
        prog=f"wcord {name}",
        description=f"{kind.__doc__}{more}",
        args=arguments,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff, tyro.conf.HelptextFromCommentsOff),
        **options,
    )


def _parse_checked(kind: type[Parsed], name: str, arguments: list[str]) -> Parsed:
    _refuse_unknown_flags(kind, arguments)
    return _parse(kind, name, arguments)


def _refuse_unknown_flags(kind: type, arguments: list[str]) -> None:
    """Complain in one line, with the nearest name, before the parser does in a box."""
    known = {"--help", *(f"--{name.replace('_', '-')}" for name in setting_names(kind))}
    for argument in arguments:
        flag = argument.partition("=")[0].replace("_", "-")
        if flag.startswith("--") and flag not in known:
            raise checks.unknown("option", flag, known)


def _refuse_missing(config: object, arguments: list[str]) -> None:
    for item in dataclasses.fields(config):  # pyright: ignore[reportArgumentType]  # always a configuration
        flag = f"--{item.name.replace('_', '-')}"
        given = any(argument.partition("=")[0].replace("_", "-") == flag for argument in arguments)
        if getattr(config, item.name) is tyro.MISSING and not given:
            raise UsageError(f"missing {flag}: give it, or a --recipe that holds it; --help tells more")


def _say(line: str) -> None:
    ERR.print(escape(line))


def _configuration(kind: type[Run], name: str, arguments: list[str]) -> Run:
    """Return a run's configuration: defaults, then the recipe, then the flags."""
    recipe, rest = _take(arguments, "--recipe")
    settings = {} if recipe is None else read_recipe(Path(recipe))
    default = configure(kind, settings, missing=tyro.MISSING)
    _refuse_unknown_flags(kind, rest)
    if "--help" not in rest and "-h" not in rest:
        _refuse_missing(default, rest)
    return _parse(kind, name, rest, default=default, more=RUN_HELP)


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


def _train(arguments: list[str]) -> int:
    return _run_or_resume(TrainConfig, "train", arguments)


def _distill(arguments: list[str]) -> int:
    return _run_or_resume(DistillConfig, "distill", arguments)


def _run_or_resume(kind: type[TrainConfig] | type[DistillConfig], name: str, arguments: list[str]) -> int:
    if any(argument == "--resume" or argument.startswith("--resume=") for argument in arguments):
        asked = _parse_checked(Resume, name, arguments)
        changes = {key: getattr(asked, key) for key in ("device", "max_time", "workers")}
        from wcord import api

        result = api.resume(asked.resume, say=_say, **{k: v for k, v in changes.items() if v is not None})
    else:
        config = _configuration(kind, name, arguments)
        from wcord import api

        result = api.start(config, say=_say)
    return _show_result(result, name)


def _show_result(result: Any, name: str) -> int:
    """Print what a run reached, or how to go on with it."""
    outcome = result.outcome
    if outcome.status == "stopped":
        ERR.print(f"{escape(outcome.reason)}: state saved; go on with: wcord {name} --resume {result.run}")
        return 0 if outcome.signal is None else 128 + outcome.signal
    if result.record is not None:
        _print_table([result.record])
        _print_path("student", result.run / "student.safetensors")
        _print_path("report", result.run / "report.html")
    return 0


def _print_path(what: str, path: Path) -> None:
    OUT.print(f"{what:8} {escape(str(path))}", soft_wrap=True)


def _print_table(records: list[Any]) -> None:
    from wcord.report.tables import rows, terminal_table

    OUT.print(terminal_table(rows(records)))


def _evaluate(arguments: list[str]) -> int:
    asked = _parse_checked(Evaluate, "evaluate", arguments)
    from wcord import api

    values = api.evaluate(
        asked.model, weights=asked.weights, data=asked.data, device=asked.device, mean=asked.mean, std=asked.std
    )
    if asked.json:
        sys.stdout.write(json.dumps(values) + "\n")
        return 0
    table = Table("measure", "value")
    for name, value in values.items():
        table.add_row(name, f"{value:.2f} %" if name.startswith("top") else f"{value:.4f}")
    OUT.print(table)
    return 0


def _predict(arguments: list[str]) -> int:
    asked = _parse_checked(Predict, "predict", arguments)
    if not asked.paths:
        raise UsageError("nothing to look at: name pictures or folders")
    from wcord import api

    guesses = api.predict_images(asked.weights, asked.paths, top=asked.top, device=asked.device)
    if asked.json:
        rows = [
            {
                "path": g.path,
                "classes": [{"name": n, "probability": p} for n, p in zip(g.classes, g.probabilities, strict=True)],
            }
            for g in guesses
        ]
        sys.stdout.write(json.dumps(rows, ensure_ascii=False) + "\n")
        return 0
    table = Table("picture", "class", "probability")
    for guess in guesses:
        for i, (name, probability) in enumerate(zip(guess.classes, guess.probabilities, strict=True)):
            table.add_row(escape(guess.path) if i == 0 else "", escape(name), f"{100 * probability:.1f} %")
    OUT.print(table)
    return 0


def _report(arguments: list[str]) -> int:
    asked = _parse_checked(Report, "report", arguments)
    if not asked.runs:
        raise UsageError("nothing to report on: name the folders of runs")
    from wcord.report.html import write_report
    from wcord.report.record import Record

    written = write_report(asked.runs, asked.out)
    _print_table([Record.from_json(run / "record.json") for run in asked.runs])
    _print_path("report", written)
    return 0


def _export(arguments: list[str]) -> int:
    asked = _parse_checked(Export, "export", arguments)
    from wcord.export import export

    written = export(asked.run, asked.format, out=asked.out, data=asked.data)
    OUT.print(
        f"{escape(str(written.path))}  agrees with PyTorch on {written.samples} images of {written.data}: "
        f"largest difference of a logit {written.difference:.1e}",
        soft_wrap=True,
    )
    return 0


def _list(arguments: list[str]) -> int:
    asked = _parse_checked(Listing, "list", arguments)
    from wcord.data.config import SOURCES
    from wcord.methods.catalogue import METHODS
    from wcord.models.catalogue import CIFAR_MODELS, PREFIXES

    everything = not (asked.methods or asked.models or asked.data)
    if everything or asked.methods:
        table = Table("method", "what it is", "weight", "needs", "from", title="Methods; + adds them: wcord+kd")
        for name, info in METHODS.items():
            table.add_row(name, info.title, f"{info.weight:g}", info.needs, f"{info.paper} {info.year}")
        OUT.print(table)
    if everything or asked.models:
        table = Table("network", "what it is", title="Networks")
        table.add_row(" ".join(CIFAR_MODELS), "the CRD benchmark's networks for small images")
        for prefix, text in PREFIXES.items():
            table.add_row(prefix, text)
        OUT.print(table)
    if everything or asked.data:
        table = Table("data", "what it is", title="Data sources")
        for source, text in SOURCES.items():
            table.add_row(source, text)
        OUT.print(table)
    return 0


def _demo(arguments: list[str]) -> int:
    asked = _parse_checked(Demo, "demo", arguments)
    from wcord.demo import run_demo

    records, page = run_demo(asked.out, seed=asked.seed, say=_say)
    _print_table(records)
    _print_path("report", page)
    return 0


COMMANDS: dict[str, tuple[str, Callable[[list[str]], int]]] = {
    "train": ("train a network on labels, for instance a teacher", _train),
    "distill": ("distil a trained teacher into a student", _distill),
    "evaluate": ("measure a network on a data set", _evaluate),
    "predict": ("name the classes of pictures", _predict),
    "report": ("compare runs on one HTML page", _report),
    "export": ("write a student as ONNX or torch.export", _export),
    "list": ("list methods, networks and data sources", _list),
    "demo": ("see it all on handwritten digits, in about two minutes", _demo),
}
"""Command → what it does in a few words, and what runs it."""


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
        table.add_row(f"  [bold]{name}[/]", text)
    return table


if __name__ == "__main__":
    sys.exit(main())
