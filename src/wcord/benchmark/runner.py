"""One worker: goes through the rows and runs what no one has run yet, until all is settled or its time is over."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wcord import checks
from wcord.benchmark.attempt import Attempts
from wcord.benchmark.claim import claim
from wcord.benchmark.clock import Clock
from wcord.benchmark.rows import Place, Row, TeacherRun
from wcord.benchmark.state import forget, look
from wcord.benchmark.status import overview
from wcord.benchmark.teachers import Teachers
from wcord.methods.build import WEIGHT, option_names, parse_method
from wcord.methods.options import parse_options
from wcord.training.job import Say

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
    say: Say = print,
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
        UsageError: for a mistake that would meet every run: a wrong data source, weights that do not fit, an option
            that does not exist.
    """
    _check_options(rows)
    if retry:
        _forget_failed(rows, teachers, place.out)
    clock = Clock(max_time)
    attempts = Attempts(place, clock, say)
    while True:
        worked, waiting = False, ""
        for row in rows:
            if clock.over:
                return Ending(True, f"reached --max-time of {max_time:g} minutes")
            if look(row.folder(place.out)).settled:
                continue
            ready = _ready(row.pair.teacher, teachers, attempts)
            if attempts.stop is None and ready == "ready":
                say(overview(rows, teachers, place.out).summary)
                config = row.config(place, teachers.weights(row.pair.teacher))
                worked |= attempts.run(row, config) == "settled"
            waiting = row.pair.teacher if ready == "taken" else waiting
            if attempts.stop is not None:
                return Ending(True, attempts.stop.reason, attempts.stop.signal)
        if waiting and not worked:
            say(f"waiting for teacher {waiting}, which another process trains")
            clock.sleep(POLL)
        elif not worked:
            return Ending()


def _ready(model: str, teachers: Teachers, attempts: Attempts) -> str:
    """Train a teacher if need be; return ready, taken (by another process), failed or stopped."""
    if model in teachers.given:
        return "ready"
    training = teachers.trained[model]
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


def _check_options(rows: Sequence[Row]) -> None:
    """Refuse options that do not exist before any run is made for them."""
    for variant in {row.suite.variant(row.label) for row in rows}:
        summands = parse_method(variant.method)
        for summand, options in parse_options(variant.set).items():
            checks.require_choice("summand", summand, summands)
            for option in options:
                checks.require_choice(f"option of {summand}", option, (*option_names(summand), WEIGHT))
