"""A worker: runs the missing runs of a suite, one after the other, until all are finished or its time is over."""

import gc
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from wcord import api, checks
from wcord.benchmark.rows import TODAY, Place, Row, TeacherRun, flat_settings, format_setting
from wcord.benchmark.state import delete_run, note_failure, note_not_applicable, read_state, require_deletable
from wcord.benchmark.status import overview
from wcord.benchmark.teachers import Teachers
from wcord.checks import ChangedInputError, DoesNotFitError, RunError, UsageError
from wcord.claim import claim
from wcord.data.config import DataConfig, PairingConfig, TeacherData
from wcord.data.dataset import DataSet
from wcord.data.opening import open_data
from wcord.methods.build import parse_method, require_option
from wcord.methods.options import parse_options
from wcord.report.html import write_run_report
from wcord.setup.as_trained import data_settings
from wcord.setup.job import Provided
from wcord.terminal import Reporter, tell
from wcord.training.config import DistillConfig, TrainConfig, changed, read_config, setting_values
from wcord.training.consent import require_same_code
from wcord.training.engine import resolve_device
from wcord.training.outcome import Outcome
from wcord.training.run import CONFIG, REPORT

DataSettings = tuple[DataConfig, TeacherData | None, PairingConfig | None]
"""Settings of the student's data, of the teacher's where they differ, and of the pairing."""

RESERVE, LONGEST_RESERVE = 0.1, 15.0
"""Share of a worker's time, and most seconds, reserved for the last checkpoint and the tables."""

LEAST = 0.5
"""Fewest minutes left for which a run is still started."""

Ended = Literal["settled", "taken", "stopped"]


class Clock:
    """Counts down from a time limit, less a reserve.

    Args:
        minutes: the limit; None: no limit.
    """

    def __init__(self, minutes: float | None) -> None:
        self.minutes = minutes
        self._end: float | None = None
        if minutes is not None:
            self._end = time.monotonic() + 60 * minutes - min(LONGEST_RESERVE, RESERVE * 60 * minutes)

    @property
    def left(self) -> float | None:
        """Minutes left; None without a limit."""
        return None if self._end is None else (self._end - time.monotonic()) / 60

    @property
    def over(self) -> bool:
        """Whether too little time is left to start a run."""
        return self.left is not None and self.left < LEAST

    @property
    def reason(self) -> str:
        """Why a worker without time left stops."""
        return f"reached --max-time of {self.minutes or 0:g} minutes"

    def sleep(self, seconds: float) -> None:
        """Wait, but not beyond the limit."""
        time.sleep(seconds if self.left is None else max(0.0, min(seconds, 60 * self.left)))


class Attempts:
    """Runs rows one after the other and keeps the data set that they share.

    Args:
        place: folder, data source, device and overrides of the runs.
        clock: the time left.
        say: takes the lines that report progress.
    """

    def __init__(self, place: Place, clock: Clock, say: Reporter) -> None:
        self.place = place
        self.clock = clock
        self.say = say
        self.stop: Outcome | None = None
        self._opened: tuple[DataSettings, DataSet] | None = None

    def run(
        self,
        row: Row | TeacherRun,
        config: TrainConfig | DistillConfig,
        *,
        announce: Callable[[], None] = lambda: None,
    ) -> Ended:
        """Claim a run and train it, until it is finished or the time limit or a signal stops it.

        Args:
            row: which run.
            config: its current configuration; a run that has started keeps its settings, except for the location of its
                files.
            announce: called after the claim, before the training.

        Returns:
            settled: done, failed or not applicable, now or earlier by another process; taken: claimed by another
            process; stopped: `stop` says why.

        Raises:
            UsageError: on a device or data source that cannot be used, which would fail every run; if teacher or data
                differ from those that the run started with; on a folder that contains other files.
        """
        folder = config.out
        with claim(folder) as claimed:
            if not claimed:
                return "taken"
            if read_state(folder).settled:
                return "settled"
            if not (folder / CONFIG).is_file():
                require_deletable(folder)
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
                # No error in one run, including a bug of wcord, may stop the others.
                expected = isinstance(error, RunError | UsageError)
                reason = str(error) if expected else f"{type(error).__name__}: {error}"
                note_failure(folder, reason, traceback.format_exc())
                self.say(f"{row.name} failed: {reason}")
            return "settled"

    def _train(self, row: Row | TeacherRun, config: TrainConfig | DistillConfig) -> Ended:
        started = (config.out / CONFIG).is_file()
        config = self._as_started(row, config) if started else config
        provided = Provided(data=self.data(config), opened=True)
        left = self.clock.left
        if left is not None and left <= 0:  # opening the data takes time
            self.stop = Outcome("stopped", self.clock.reason, None, 0.0)
            return "stopped"
        self.say(f"{'resuming' if started else 'starting'} {row.name}, seed {row.seed}")
        if started:
            result = api.resume(config.out, config=config, provided=provided, say=self.say, claimed=True, max_time=left)
        else:
            delete_run(config.out)  # a kill between two files may have left one
            timed = replace(config, training=replace(config.training, max_time=left))
            result = api.start(timed, provided, self.say, claimed=True)
        outcome = result.outcome
        del result
        gc.collect()  # free the device memory of this run before the next one
        if outcome.status == "finished":
            return "settled"
        # The trainer knows only the time that was left when it started.
        self.stop = outcome if outcome.signal is not None else replace(outcome, reason=self.clock.reason)
        return "stopped"

    def _as_started(self, row: Row | TeacherRun, current: TrainConfig | DistillConfig) -> TrainConfig | DistillConfig:
        """Return the settings that a run started with, updated by those that may change on resume."""
        original = read_config(current.out / CONFIG)
        require_same_code(current.out, original, current)
        changes = {name: value for name, value in setting_values(current).items() if name in TODAY}
        config = changed(original, changes | {"max_time": None})
        resumed, requested = flat_settings(config), flat_settings(current)
        ignored = [
            format_setting(name, requested[name])
            for name in self.place.override
            if name in requested and resumed.get(name) != requested[name]
        ]
        if ignored:
            self.say(f"{row.name}, seed {row.seed} started without {', '.join(ignored)} and resumes without")
        return config

    def data(self, config: TrainConfig | DistillConfig) -> DataSet:
        """Return the data of a run, opened once for all runs with the same data."""
        settings = data_settings(config)
        if self._opened is None or self._opened[0] != settings:
            self._opened = (settings, open_data(*settings))
        return self._opened[1]


POLL = 2.0
"""Seconds between checks of a teacher that another process trains."""


@dataclass(frozen=True)
class Ending:
    """How a worker ended.

    Attributes:
        stopped: whether its time limit or a signal stopped it before all runs were finished.
        reason: the limit or the signal.
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
    say: Reporter = tell,
) -> Ending:
    """Run the missing rows, one after the other.

    Any number of workers can share the folder and start at any time: each claims the run that it works on. A run that
    was stopped or killed is resumed from its checkpoint by the next worker that claims it.

    Args:
        rows: the runs.
        teachers: weights of the teachers, or their training, which is run once.
        place: folder, data source, device and overrides of the runs.
        max_time: minutes after which the worker saves its run and returns.
        retry: repeat the runs that failed or did not apply.
        say: takes the lines that report progress.

    Raises:
        UsageError: on a mistake that would fail every run, such as a wrong data source, and on unknown settings and
            options, before any run starts.
    """
    check(rows, teachers, place)
    if retry:
        _delete_failed(rows, teachers, place.out)
    _write_missing_pages(rows, teachers, place.out, say)
    clock = Clock(max_time)
    attempts = Attempts(place, clock, say)
    reported: set[str] = set()
    while True:
        worked = False
        ready: dict[str, str] = {}  # each teacher is checked once a round
        for row in rows:
            if read_state(row.folder(place.out)).settled:
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
            if name not in reported:
                say(f"waiting for teacher {name}, which another process trains")
        reported.update(waiting)
        clock.sleep(POLL)


def _ready(training: TeacherRun, teachers: Teachers, attempts: Attempts) -> str:
    """Train a teacher if necessary; return ready, taken (by another process), failed or stopped."""
    if training.key in teachers.provided:
        return "ready"
    folder = training.folder(teachers.out)
    if not read_state(folder).settled:
        ended = attempts.run(training, training.config(attempts.place))
        if ended != "settled":
            return ended
    return "ready" if read_state(folder).status == "done" else "failed"


def _delete_failed(rows: Sequence[Row], teachers: Teachers, out: Path) -> None:
    trained: list[Row | TeacherRun] = [*teachers.trained.values()]
    for row in [*trained, *rows]:
        folder = row.folder(out)
        if read_state(folder).status in ("failed", "not applicable"):
            with claim(folder) as claimed:
                if claimed and read_state(folder).status in ("failed", "not applicable"):
                    delete_run(folder)


def _write_missing_pages(rows: Sequence[Row], teachers: Teachers, out: Path, say: Reporter) -> None:
    """Write the page of each run that was killed between writing its record and its page."""
    for row in [*teachers.trained.values(), *rows]:
        folder = row.folder(out)
        if read_state(folder).status != "done" or (folder / REPORT).exists():
            continue
        with claim(folder) as claimed:
            if claimed and not (folder / REPORT).exists():
                try:
                    write_run_report(folder)
                except UsageError as error:  # damage in one folder does not stop the others
                    say(f"{row.name} gets no page: {error}")


def check(rows: Sequence[Row], teachers: Teachers, place: Place) -> None:
    """Raise on unknown settings and options and on folders with other files, before any run starts.

    Raises:
        UsageError: on the first of them, with the nearest name.
    """
    for training in teachers.trained.values():
        training.config(place)
    for row in rows:
        row.config(place, None)
    for run in [*teachers.trained.values(), *rows]:
        if read_state(run.folder(place.out)).status == "left":
            require_deletable(run.folder(place.out))
    for variant in dict.fromkeys(row.suite.settings(row.pair, row.label) for row in rows):
        terms = parse_method(variant.method)
        for term, options in parse_options(variant.set).items():
            checks.require_choice("term", term, terms)
            for option, value in options.items():
                require_option(term, option, value)
