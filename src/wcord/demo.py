"""The whole product on the embedded digits: a teacher, four students, a table and a page, in about two minutes."""

import shutil
from pathlib import Path

import torch

from wcord.api import Say, start
from wcord.checks import RunError, UsageError
from wcord.report.html import write_report
from wcord.report.record import Record
from wcord.training.config import DistillConfig, TrainConfig, configure
from wcord.training.run import CONFIG, REPORT, STUDENT

TEACHER, STUDENT_NAME = "resnet20", "resnet8"
METHODS = ("ce", "kd", "wcord", "wcord+kd")
TEACHER_SETTINGS: dict[str, object] = {"epochs": 15, "lr": 0.1, "schedule": "cosine"}
STUDENT_SETTINGS: dict[str, object] = {
    "epochs": 60,
    "schedule": "cosine",
    "subset": 20.0,
    "batch_size": 32,
    "eval_every": 5,
}
"""Students see 20 images a class, so that there is something to learn from a teacher that saw them all."""


def run_demo(out: Path, *, seed: int, say: Say) -> tuple[list[Record], Path]:
    """Run the demo in a folder of its own and return the students' records and the page.

    Raises:
        UsageError: where the folder holds other things.
        RunError: where a run is stopped.
    """
    runs = (
        [child for child in out.iterdir() if child.name != REPORT and child.suffix != ".lock"] if out.exists() else []
    )
    if any(not (child / CONFIG).is_file() for child in runs):
        raise UsageError(f"--out {str(out)!r} holds other things than a demo: name another folder")
    shutil.rmtree(out, ignore_errors=True)
    # Networks this small gain nothing from threads, and lose much when another program makes the threads wait.
    torch.set_num_threads(1)
    say(f"1. a teacher, {TEACHER}, on all training digits")
    teacher = configure(TrainConfig, {"model": TEACHER, "out": out / "teacher", "seed": seed} | TEACHER_SETTINGS)
    _finished(teacher, say)
    records: list[Record] = []
    for number, method in enumerate(METHODS, start=2):
        say(f"{number}. a student, {STUDENT_NAME}, by {method}, on 20 digits of each class")
        student = {
            "teacher": TEACHER,
            "teacher_weights": out / "teacher" / STUDENT,
            "student": STUDENT_NAME,
            "method": method,
            "out": out / method,
            "seed": seed,
        }
        records.append(_finished(configure(DistillConfig, student | STUDENT_SETTINGS), say))
    page = write_report([out / method for method in METHODS], out / REPORT)
    return records, page


def _finished(config: TrainConfig | DistillConfig, say: Say) -> Record:
    result = start(config, say=say)
    if result.record is None:
        raise RunError(f"the demo was stopped ({result.outcome.reason}): start it again")
    return result.record
