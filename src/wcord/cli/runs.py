"""`wcord train` and `wcord distill`: start a run, or go on with one."""

from dataclasses import dataclass
from typing import Any

from wcord.bounds import Device, File, Minutes, Name, Workers
from wcord.cli.console import ERR, print_path, print_records, say
from wcord.cli.parsing import configuration, parse_checked
from wcord.training.config import Capture, DistillConfig, TrainConfig, read_config
from wcord.training.run import CONFIG


@dataclass(frozen=True)
class Resume:
    """Go on with a stopped or killed run, bit for bit as if it had not been."""

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
    """The run's network, where it is code of your own: it is not run only because a folder names it."""
    student: Name | None = None
    """The run's student, where it is code of your own."""
    teacher: Name | None = None
    """The run's teacher, where it is code of your own."""
    tracker: tuple[Name, ...] = ()
    """The run's trackers, where there are other ones than tensorboard."""
    trust_run: bool = False
    """Start whatever the run's folder names, without naming it here: for folders of your own."""


def train(arguments: list[str]) -> int:
    """Train a network on labels."""
    return _run_or_resume(TrainConfig, "train", arguments)


def distill(arguments: list[str]) -> int:
    """Distil a teacher into a student."""
    return _run_or_resume(DistillConfig, "distill", arguments)


def _run_or_resume(kind: type[TrainConfig] | type[DistillConfig], name: str, arguments: list[str]) -> int:
    if any(argument == "--resume" or argument.startswith("--resume=") for argument in arguments):
        asked = parse_checked(Resume, name, arguments)
        given = {key: value for key, value in vars(asked).items() if key != "resume" and value is not None}
        from wcord import api

        result = api.resume(asked.resume, say=say, **given)
    else:
        config = configuration(kind, name, arguments)
        from wcord import api

        result = api.start(config, say=say)
    return _show_result(result)


def _show_result(result: Any) -> int:
    """Print what a run reached, or how to go on with it."""
    outcome = result.outcome
    if outcome.status == "stopped":
        if result.speaks:
            from wcord.training.consent import resume_command

            line = resume_command(result.run, read_config(result.run / CONFIG))
            ERR.print(f"{outcome.reason}: state saved; go on with: {line}")
        return 0 if outcome.signal is None else 128 + outcome.signal
    if result.record is not None:
        print_records([result.record])
        print_path("student", result.run / "student.safetensors")
        print_path("report", result.run / "report.html")
    return 0
