"""`wcord train` and `wcord distill`: start or resume a run."""

from dataclasses import dataclass
from typing import Any

from wcord.bounds import Device, File, Minutes, Name, Workers
from wcord.cli.console import ERR, print_path, print_records, say
from wcord.cli.parsing import parse
from wcord.training.config import Capture, DistillConfig, TrainConfig

RESUME = (
    "--resume RUN continues a stopped or killed run. It allows only --device, --max-time, --workers and --capture, and "
    "for networks of your own, which a run's folder alone may not start: --model, --student, --teacher or --trust-run."
)


@dataclass(frozen=True)
class Resume:
    """Continue a stopped or killed run; the result is bit for bit that of a run without the stop."""

    resume: File
    """Folder of the run."""
    device: Device | None = None
    """auto | cpu | cuda | cuda:1 | mps"""
    max_time: Minutes | None = None
    """Minutes after which the run saves itself and stops."""
    workers: Workers | None = None
    """Worker processes that decode images."""
    capture: Capture | None = None
    """Replay the training step as one CUDA graph: auto | on | off"""
    model: Name | None = None
    """The run's network, where it is your own code: wcord does not run it only because a folder names it."""
    student: Name | None = None
    """The run's student, where it is your own code."""
    teacher: Name | None = None
    """The run's teacher, where it is your own code."""
    tracker: tuple[Name, ...] = ()
    """The run's trackers, where it has others than tensorboard."""
    trust_run: bool = False
    """Start whatever the run's folder names, without naming it here: for folders of your own."""


def train(arguments: list[str]) -> int:
    """Train a network on labels."""
    return _run_or_resume(TrainConfig, "train", arguments)


def distill(arguments: list[str]) -> int:
    """Distill a teacher into a student."""
    return _run_or_resume(DistillConfig, "distill", arguments)


def _run_or_resume(kind: type[TrainConfig] | type[DistillConfig], command: str, arguments: list[str]) -> int:
    if any(argument.partition("=")[0] == "--resume" for argument in arguments):
        args = vars(parse(Resume, f"{command} --resume RUN", arguments))
        provided = {name: value for name, value in args.items() if name != "resume" and value is not None}
        from wcord import api

        result = api.resume(args["resume"], say=say, **provided)
    else:
        config = parse(kind, command, arguments, note=RESUME)
        from wcord import api

        result = api.start(config, say=say)
    return _show_result(result)


def _show_result(result: Any) -> int:
    """Print the results of a run, or the command that resumes it, and return the exit code."""
    outcome = result.outcome
    if outcome.status == "stopped":
        if result.speaks:
            from wcord.training.config import read_config
            from wcord.training.consent import resume_command
            from wcord.training.run import CONFIG

            line = resume_command(result.run, read_config(result.run / CONFIG))
            ERR.print(f"{outcome.reason}: state saved; resume with: {line}")
        return 0 if outcome.signal is None else 128 + outcome.signal
    if result.record is not None:
        print_records([result.record])
        print_path("student", result.run / "student.safetensors")
        print_path("report", result.run / "report.html")
    return 0
