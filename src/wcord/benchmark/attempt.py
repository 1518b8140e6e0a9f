"""One run under its claim: begun or gone on with, and what became of it written into its folder."""

import gc
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from wcord import api
from wcord.benchmark.rows import Place, Row, TeacherRun
from wcord.benchmark.settings import TODAY, flat_settings, told
from wcord.benchmark.state import forget, look, note_failure, note_not_applicable, require_forgettable
from wcord.checks import ChangedInputError, DoesNotFitError, RunError, UsageError
from wcord.claim import claim
from wcord.data.config import DataConfig, PairingConfig
from wcord.data.dataset import DataSet
from wcord.data.opening import open_data
from wcord.training.as_trained import seen_by_both
from wcord.training.config import DistillConfig, TrainConfig, read_config
from wcord.training.consent import require_same_code
from wcord.training.engine import resolve_device
from wcord.training.job import Own, Say
from wcord.training.outcome import Outcome
from wcord.training.run import CONFIG

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
        data = replace(begun.data, **{name: getattr(today.data, name) for name in TODAY})
        training = replace(
            begun.training, device=today.training.device, teacher_cache=today.training.teacher_cache, max_time=None
        )
        config = replace(begun, out=today.out, data=data, training=training)
        if isinstance(config, DistillConfig) and isinstance(today, DistillConfig):
            pairing = replace(config.pairing, teacher_data=today.pairing.teacher_data)
            config = replace(config, teacher_weights=today.teacher_weights, pairing=pairing)
        had, wanted = flat_settings(config), flat_settings(today)
        ignored = [
            told(name, wanted[name]) for name in self.place.override if name in wanted and had.get(name) != wanted[name]
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
