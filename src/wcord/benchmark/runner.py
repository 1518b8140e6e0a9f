"""One worker: goes through the rows and runs what no one has run yet, until all is settled or its time is over."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wcord import checks
from wcord.benchmark.attempt import Attempts, Clock
from wcord.benchmark.rows import Place, Row, TeacherRun
from wcord.benchmark.state import forget, look, require_forgettable
from wcord.benchmark.status import overview
from wcord.benchmark.teachers import Teachers
from wcord.checks import UsageError
from wcord.claim import claim
from wcord.methods.build import parse_method, require_option
from wcord.methods.options import parse_options
from wcord.report.html import write_own_report
from wcord.terminal import tell
from wcord.training.job import Say
from wcord.training.run import REPORT

POLL = 2.0
"""Seconds between looks at a teacher that another process trains."""


@dataclass(frozen=True)
class Ending:
    """How a worker ended.

    Attributes:
        stopped: whether it left work undone because of its time limit or a signal.
        reason: which.
        signal: number of the signal, or None.
    """

    stopped: bool = False
    reason: str = ""
    signal: int | None = None


def work(
    rows: Sequence[Row],
    teachers: Teachers,
    place: Place,
    *,
    max_time: float | None = None,
    retry: bool = False,
    say: Say = tell,
) -> Ending:
    """Run what has not been run yet, one run after the other.

    Any number of workers may be at it, started at different times: each claims the run that it works on. A run that
    was stopped or killed is gone on with from its checkpoints by whoever claims it next.

    Args:
        rows: what is to be run.
        teachers: where the teachers come from; those that are trained are trained once.
        place: where the runs lie, and on what they are made.
        max_time: minutes after which the worker is back; what it is at is saved before.
        retry: begin runs anew that failed or did not apply.
        say: takes the lines that tell what happens.

    Raises:
        UsageError: for a mistake that would meet every run, a wrong data source say, and for settings and options that
            do not exist, before any run is made.
    """
    check(rows, teachers, place)
    if retry:
        _forget_failed(rows, teachers, place.out)
    _write_missing_pages(rows, teachers, place.out, say)
    clock = Clock(max_time)
    attempts = Attempts(place, clock, say)
    said: set[str] = set()
    while True:
        worked = False
        ready: dict[str, str] = {}  # each teacher is looked at once a round
        for row in rows:
            if look(row.folder(place.out)).settled:
                continue
            if clock.over:
                return Ending(True, clock.reason)
            name = row.teacher.key
            ready[name] = ready.get(name) or _ready(row.teacher, teachers, attempts)
            if attempts.stop is None and ready[name] == "ready":
                config = row.config(place, teachers.weights(row.teacher))
                ended = attempts.run(row, config, announce=lambda: say(overview(rows, teachers, place.out).summary))
                worked |= ended == "settled"
            if attempts.stop is not None:
                return Ending(True, attempts.stop.reason, attempts.stop.signal)
        waiting = [name for name, state in ready.items() if state == "taken"]
        if worked:
            continue
        if not waiting:
            return Ending()
        for name in waiting:
            if name not in said:
                say(f"waiting for teacher {name}, which another process trains")
        said.update(waiting)
        clock.sleep(POLL)


def _ready(training: TeacherRun, teachers: Teachers, attempts: Attempts) -> str:
    """Train a teacher if need be; return ready, taken (by another process), failed or stopped."""
    if training.key in teachers.given:
        return "ready"
    folder = training.folder(teachers.out)
    if not look(folder).settled:
        ended = attempts.run(training, training.config(attempts.place))
        if ended != "settled":
            return ended
    return "ready" if look(folder).status == "done" else "failed"


def _forget_failed(rows: Sequence[Row], teachers: Teachers, out: Path) -> None:
    trained: list[Row | TeacherRun] = [*teachers.trained.values()]
    for row in [*trained, *rows]:
        folder = row.folder(out)
        if look(folder).status in ("failed", "not applicable"):
            with claim(folder) as mine:
                if mine and look(folder).status in ("failed", "not applicable"):
                    forget(folder)


def _write_missing_pages(rows: Sequence[Row], teachers: Teachers, out: Path, say: Say) -> None:
    """Write the page of each run that was killed after its record and before its page."""
    for row in [*teachers.trained.values(), *rows]:
        folder = row.folder(out)
        if look(folder).status != "done" or (folder / REPORT).exists():
            continue
        with claim(folder) as mine:
            if mine and not (folder / REPORT).exists():
                try:
                    write_own_report(folder)
                except UsageError as error:  # damage in one folder must not cost the others
                    say(f"{row.name} gets no page: {error}")


def check(rows: Sequence[Row], teachers: Teachers, place: Place) -> None:
    """Refuse settings and options that do not exist, and folders that hold other things, before any run is made.

    Raises:
        UsageError: on the first of them; of names, the nearest is offered.
    """
    for training in teachers.trained.values():
        training.config(place)
    for row in rows:
        row.config(place, None)
    for run in [*teachers.trained.values(), *rows]:
        if look(run.folder(place.out)).status == "left":
            require_forgettable(run.folder(place.out))
    for variant in dict.fromkeys(row.suite.settings(row.pair, row.label) for row in rows):
        summands = parse_method(variant.method)
        for summand, options in parse_options(variant.set).items():
            checks.require_choice("summand", summand, summands)
            for option in options:
                require_option(summand, option)
