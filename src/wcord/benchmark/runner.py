"""One worker: goes through the rows and runs what no one has run yet, until all is settled or its time is over."""

import gc
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from wcord import api, checks
from wcord.benchmark.rows import TODAY, Place, Row, TeacherRun, flat_settings, format_setting
from wcord.benchmark.state import forget, look, note_failure, note_not_applicable, require_forgettable
from wcord.benchmark.status import overview
from wcord.benchmark.teachers import Teachers
from wcord.checks import ChangedInputError, DoesNotFitError, RunError, UsageError
from wcord.claim import claim
from wcord.data.config import DataConfig, PairingConfig
from wcord.data.dataset import DataSet
from wcord.data.opening import open_data
from wcord.methods.build import parse_method, require_option
from wcord.methods.options import parse_options
from wcord.report.html import write_own_report
from wcord.terminal import tell
from wcord.training.as_trained import seen_by_both
from wcord.training.config import DistillConfig, TrainConfig, changed, read_config, setting_values
from wcord.training.consent import require_same_code
from wcord.training.engine import resolve_device
from wcord.training.job import Own, Say
from wcord.training.outcome import Outcome
from wcord.training.run import CONFIG, REPORT

Seen = tuple[DataConfig, PairingConfig | None]
"""What student and teacher see."""

SHARE, LONGEST = 0.1, 15.0
"""What is held back of a worker's time, at most so many seconds: for a run's last checkpoint and the tables."""

LEAST = 0.5
"""Minutes below which no run is begun any more."""

Ended = Literal["settled", "taken", "stopped"]


class Clock:
    """Counts down from a limit, less a reserve, so that a worker is back before it.

    Args:
        minutes: the limit; None: there is none.
    """

    def __init__(self, minutes: float | None) -> None:
        self.minutes = minutes
        self._end: float | None = None
        if minutes is not None:
            self._end = time.monotonic() + 60 * minutes - min(LONGEST, SHARE * 60 * minutes)

    @property
    def left(self) -> float | None:
        """Minutes that are left; None where there is no limit."""
        return None if self._end is None else (self._end - time.monotonic()) / 60

    @property
    def over(self) -> bool:
        """Whether too little is left to begin anything."""
        return self.left is not None and self.left < LEAST

    @property
    def reason(self) -> str:
        """Why a worker stops that has no time left."""
        return f"reached --max-time of {self.minutes or 0:g} minutes"

    def sleep(self, seconds: float) -> None:
        """Wait, but not beyond the end."""
        time.sleep(seconds if self.left is None else max(0.0, min(seconds, 60 * self.left)))


class Attempts:
    """Tries runs one after the other, and keeps the data set that they share.

    Args:
        place: where the runs lie, and on what they are made.
        clock: the time that is left.
        say: takes the lines that tell what happens.
    """

    def __init__(self, place: Place, clock: Clock, say: Say) -> None:
        self.place = place
        self.clock = clock
        self.say = say
        self.stop: Outcome | None = None
        self._opened: tuple[Seen, DataSet] | None = None

    def run(
        self,
        row: Row | TeacherRun,
        config: TrainConfig | DistillConfig,
        *,
        announce: Callable[[], None] = lambda: None,
    ) -> Ended:
        """Claim a run and bring it to its end, or to where time or a signal stops it.

        Args:
            row: which run.
            config: its configuration of today; a run that was begun keeps its own, but for where its files lie.
            announce: called once the run is claimed and there is something to do.

        Returns:
            settled: done, failed or not applicable, now or by another process before; taken: another process is at it;
            stopped: `stop` tells why.

        Raises:
            UsageError: for a device or a data source of today that cannot be used, which would meet every run, for
                another teacher or other data than the run began with, and for a folder that holds anything else.
        """
        folder = config.out
        with claim(folder) as mine:
            if not mine:
                return "taken"
            if look(folder).settled:
                return "settled"
            if not (folder / CONFIG).is_file():
                require_forgettable(folder)
            resolve_device(config.training.device)
            self.data(config)
            announce()
            try:
                return self._train(row, config)
            except ChangedInputError:
                raise
            except DoesNotFitError as error:
                note_not_applicable(folder, str(error))
                self.say(f"{row.name}: not applicable: {error}")
            except Exception as error:
                # Whatever goes wrong in one run, an overlooked mistake of ours included, must not cost the others.
                expected = isinstance(error, RunError | UsageError)
                reason = str(error) if expected else f"{type(error).__name__}: {error}"
                note_failure(folder, reason, traceback.format_exc())
                self.say(f"{row.name} failed: {reason}")
            return "settled"

    def _train(self, row: Row | TeacherRun, config: TrainConfig | DistillConfig) -> Ended:
        begun = (config.out / CONFIG).is_file()
        config = self._as_begun(row, config) if begun else config
        own = Own(data=self.data(config), opened=True)
        left = self.clock.left
        if left is not None and left <= 0:  # to open the data takes its time
            self.stop = Outcome("stopped", self.clock.reason, None, 0.0)
            return "stopped"
        self.say(f"{'going on with' if begun else 'beginning'} {row.name}, seed {row.seed}")
        if begun:
            result = api.resume(config.out, config=config, own=own, say=self.say, claimed=True, max_time=left)
        else:
            forget(config.out)  # what a kill between two files may have left
            timed = replace(config, training=replace(config.training, max_time=left))
            result = api.start(timed, own, self.say, claimed=True)
        outcome = result.outcome
        del result
        gc.collect()  # networks, memories and optimiser of a run must not lie beside the next one's on the device
        if outcome.status == "finished":
            return "settled"
        # The trainer knows only what was left when it began.
        self.stop = outcome if outcome.signal is not None else replace(outcome, reason=self.clock.reason)
        return "stopped"

    def _as_begun(self, row: Row | TeacherRun, today: TrainConfig | DistillConfig) -> TrainConfig | DistillConfig:
        """Return the settings that a run was begun with, with the files and the machine of today."""
        begun = read_config(today.out / CONFIG)
        require_same_code(today.out, begun, today)
        changes = {name: value for name, value in setting_values(today).items() if name in TODAY}
        config = changed(begun, changes | {"max_time": None})
        had, wanted = flat_settings(config), flat_settings(today)
        ignored = [
            format_setting(name, wanted[name])
            for name in self.place.override
            if name in wanted and had.get(name) != wanted[name]
        ]
        if ignored:
            self.say(f"{row.name}, seed {row.seed} was begun without {', '.join(ignored)}, and goes on without")
        return config

    def data(self, config: TrainConfig | DistillConfig) -> DataSet:
        """Return the data of a run, opened once for all runs that see the same."""
        seen = seen_by_both(config)
        if self._opened is None or self._opened[0] != seen:
            self._opened = (seen, open_data(*seen))
        return self._opened[1]


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
