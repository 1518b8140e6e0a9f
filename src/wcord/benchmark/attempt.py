"""One run under its claim: begun or gone on with, and what became of it written into its folder."""

import gc
import traceback
from dataclasses import replace
from typing import Literal

from wcord import api
from wcord.benchmark.claim import claim
from wcord.benchmark.clock import Clock
from wcord.benchmark.rows import Place, Row, TeacherRun
from wcord.benchmark.state import forget, look, note_failure, note_not_applicable
from wcord.checks import RunError, UsageError
from wcord.data.config import DataConfig
from wcord.data.sources import open_data
from wcord.data.split import DataSet
from wcord.training.config import DistillConfig, TrainConfig, read_config
from wcord.training.job import Own, Say, prepare
from wcord.training.loop import Outcome
from wcord.training.run import CONFIG

Ended = Literal["settled", "taken", "stopped"]


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
        self._opened: tuple[DataConfig, DataSet] | None = None

    def run(self, row: Row | TeacherRun, config: TrainConfig | DistillConfig) -> Ended:
        """Claim a run and bring it to its end, or to where time or a signal stops it.

        Returns:
            settled: done, failed or not applicable, now or by another process before; taken: another process is at it;
            stopped: `stop` tells why.

        Raises:
            UsageError: for a mistake that is not the method's, and so would meet every other run as well.
        """
        folder = config.out
        with claim(folder) as mine:
            if not mine:
                return "taken"
            if look(folder).settled:
                return "settled"
            begun = (folder / CONFIG).is_file()
            if begun:
                config = self._as_begun(config)
            else:
                forget(folder)  # what a kill between two files may have left
            try:
                return self._train(row, config, begun=begun)
            except UsageError as error:
                if isinstance(row, TeacherRun) or not self._only_for_its_method(config):
                    raise
                note_not_applicable(folder, str(error))
                self.say(f"{row.name}: not applicable: {error}")
            except Exception as error:
                # Whatever goes wrong in one run, an overlooked mistake of ours included, must not cost the others.
                reason = str(error) if isinstance(error, RunError) else f"{type(error).__name__}: {error}"
                note_failure(folder, reason, traceback.format_exc())
                self.say(f"{row.name} failed: {reason}")
            return "settled"

    def _train(self, row: Row | TeacherRun, config: TrainConfig | DistillConfig, *, begun: bool) -> Ended:
        own, left = Own(data=self._data(config.data)), self.clock.left
        self.say(f"{'going on with' if begun else 'beginning'} {row.name}, seed {row.seed}")
        if begun:
            result = api.resume(config.out, own=own, say=self.say, device=config.training.device, max_time=left)
        else:
            timed = replace(config, training=replace(config.training, max_time=left))
            result = api.start(timed, own, self.say)
        outcome = result.outcome
        del result
        gc.collect()  # networks, memories and optimiser of a run must not lie beside the next one's on the device
        if outcome.status == "finished":
            return "settled"
        self.stop = outcome
        return "stopped"

    def _as_begun(self, config: TrainConfig | DistillConfig) -> TrainConfig | DistillConfig:
        """Return the settings that a run was begun with, with the data and the device of today."""
        begun = read_config(config.out / CONFIG)
        data = replace(begun.data, data=config.data.data)
        training = replace(begun.training, device=config.training.device)
        return replace(begun, out=config.out, data=data, training=training)

    def _data(self, config: DataConfig) -> DataSet:
        if self._opened is None or self._opened[0] != config:
            self._opened = (config, open_data(config))
        return self._opened[1]

    def _only_for_its_method(self, config: TrainConfig | DistillConfig) -> bool:
        """Return whether the run would stand if its method were plain training."""
        assert isinstance(config, DistillConfig)
        if config.method == "ce":
            return False
        try:
            prepare(replace(config, method="ce", set=()), Own(data=self._data(config.data)), lambda line: None)
        except UsageError:
            return False
        return True
