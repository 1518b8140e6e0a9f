"""`wcord train` and `wcord distill`: start a run, or go on with one."""

from dataclasses import dataclass
from typing import Any

from wcord.bounds import Device, File, Minutes, Workers
from wcord.cli.console import ERR, print_path, print_records, say
from wcord.cli.parsing import configuration, parse_checked
from wcord.training.config import DistillConfig, TrainConfig


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


def train(arguments: list[str]) -> int:
    """Train a network on labels."""
    return _run_or_resume(TrainConfig, "train", arguments)


def distill(arguments: list[str]) -> int:
    """Distil a teacher into a student."""
    return _run_or_resume(DistillConfig, "distill", arguments)


def _run_or_resume(kind: type[TrainConfig] | type[DistillConfig], name: str, arguments: list[str]) -> int:
    if any(argument == "--resume" or argument.startswith("--resume=") for argument in arguments):
        asked = parse_checked(Resume, name, arguments)
        changes = {key: getattr(asked, key) for key in ("device", "max_time", "workers")}
        from wcord import api

        result = api.resume(asked.resume, say=say, **{k: v for k, v in changes.items() if v is not None})
    else:
        config = configuration(kind, name, arguments)
        from wcord import api

        result = api.start(config, say=say)
    return _show_result(result, name)


def _show_result(result: Any, name: str) -> int:
    """Print what a run reached, or how to go on with it."""
    outcome = result.outcome
    if outcome.status == "stopped":
        if result.speaks:
            ERR.print(f"{outcome.reason}: state saved; go on with: wcord {name} --resume {result.run}")
        return 0 if outcome.signal is None else 128 + outcome.signal
    if result.record is not None:
        print_records([result.record])
        print_path("student", result.run / "student.safetensors")
        print_path("report", result.run / "report.html")
    return 0
