"""A demo on the embedded digits: a teacher, four students, a table and a page, in about two minutes."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from wcord.api import Reporter, start
from wcord.checks import RunError, UsageError
from wcord.claim import claim, holder, is_claimed
from wcord.marks import is_page_of
from wcord.overwriting import Kind, clear, is_free, mark, require_removable
from wcord.report.html import write_report
from wcord.report.record import Record
from wcord.training.config import DistillConfig, TrainConfig, configure
from wcord.training.run import CONFIG, REPORT, RUN, STUDENT, is_config, settings_of

TEACHER, STUDENT_NAME = "resnet20", "resnet8"
METHODS = ("ce", "kd", "wcord", "wcord+kd")
RUNS = ("teacher", *METHODS)
"""Folders of the runs."""
TEACHER_SETTINGS: dict[str, object] = {"epochs": 15, "lr": 0.1, "schedule": "cosine"}
STUDENT_SETTINGS: dict[str, object] = {
    "epochs": 60,
    "schedule": "cosine",
    "subset": 20.0,
    "batch_size": 32,
    "eval_every": 5,
}
"""Students train on 20 images per class, so that they can learn from a teacher trained on all."""


def run_demo(out: Path, *, seed: int, say: Reporter) -> tuple[list[Record], Path]:
    """Run the demo in a folder and return the students' records and the page.

    An earlier demo in the folder, finished or not, is replaced.

    Raises:
        UsageError: if the folder contains anything else, or another demo runs in it.
        RunError: if a run is stopped.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {str(out)!r} is a file: name a folder")
    if not is_free(out, DEMO):
        require_removable(out, DEMO)  # before the lock is written
    with claim(out) as claimed:
        busy = next((run for run in (out / name for name in RUNS) if is_claimed(run)), None) if claimed else out
        if busy is not None:
            raise UsageError(f"{str(busy)!r} is in use by {holder(busy)}: wait until that has ended, or stop it first")
        if not is_free(out, DEMO):
            clear(out, DEMO)
        mark(out, DEMO)
        return _run(out, seed=seed, say=say)


def _run(out: Path, *, seed: int, say: Reporter) -> tuple[list[Record], Path]:
    # Threads do not speed up networks this small, and slow them down on a busy machine.
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


def _finished(config: TrainConfig | DistillConfig, say: Reporter) -> Record:
    result = start(config, say=say)
    if result.record is None:
        raise RunError(f"the demo was stopped ({result.outcome.reason}): start it again")
    return result.record


def _is_config_of(name: str, path: Path) -> bool:
    """Return whether a file contains the settings of one of the demo's runs, or is too damaged to tell."""
    settings = settings_of(path)
    if settings is None or name == "teacher":
        return is_config(path) and (settings is None or settings.get("model") == TEACHER)
    return (settings.get("teacher"), settings.get("student"), settings.get("method")) == (TEACHER, STUDENT_NAME, name)


DEMO = Kind(
    "demo",
    {name: replace(RUN, names={**RUN.names, CONFIG: partial(_is_config_of, name)}) for name in RUNS}
    | {REPORT: is_page_of("report")},
    stays=tuple(f".{name}.lock" for name in RUNS),
)
"""The output of the demo in its folder."""
