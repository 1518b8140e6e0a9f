"""The rows of `benchmarks/gpu.py`: open runs, their speeds, and one run after the other until the time is over."""

import shutil
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Literal

from gpu_plan import TEACHER, Item, Planned, Run, Speeds, item_of, key_of, plan
from gpu_tables import StepTable, shown

from wcord.benchmark.entries import entries_of_records, entries_of_runs, keep
from wcord.benchmark.rows import Place, TeacherRun
from wcord.benchmark.runner import Attempts
from wcord.benchmark.state import read_state
from wcord.benchmark.suite import Suite
from wcord.benchmark.teachers import Teachers, find_teachers
from wcord.checks import UsageError

Say = Callable[[str], None]

Attempted = Literal["settled", "taken", "stopped"]

POLL = 2.0
"""Seconds between checks of a teacher that another process trains."""
PART = 15 * 2**20
"""Most bytes of each file of the bundle."""
BUNDLE = "bring_back.tar"


@dataclass
class Rows:
    """The runs by priority, with their folders, speeds and results.

    Attributes:
        runs: the runs by priority, with the trainings of the teachers.
        place: folder of the runs, data and device.
        out: output folder of records and bundle.
        committed: folder of the records under version control.
        places: folders of teachers, or NAME=FILE.
        samples: size of the training set.
        table: step times of this machine, or of one like it.
        recorded_table: step times of the committed tables.
        overhead: seconds of a run besides its training, until the first is measured.
        failed: key → reason of the runs that this call does not repeat.
        overheads: these seconds, measured.
    """

    runs: Sequence[Run]
    place: Place
    out: Path
    committed: Path
    places: Sequence[str]
    samples: int
    table: StepTable
    recorded_table: StepTable
    overhead: float = 20.0
    failed: dict[str, str] = field(default_factory=dict)
    overheads: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.by_key = {key_of(run): run for run in self.runs}
        self.teachers = {suite.name: self._teachers(suite) for suite in self.suites}
        self.items = {key: item_of(run, self.place, self.samples) for key, run in self.by_key.items()}
        self.recorded = self._recorded()
        self.finished_before = {*self.finished()}

    @property
    def suites(self) -> list[Suite]:
        """The suites, each once."""
        return [*{run.suite.name: run.suite for run in self.runs}.values()]

    @property
    def records(self) -> Path:
        """Folder of the records that this and earlier calls wrote."""
        return self.out / "records"

    def open_items(self) -> list[Item]:
        """Return the open runs, by priority: neither recorded nor settled; teachers without weights."""
        items = []
        for key, run in self.by_key.items():
            if key in self.failed or self._is_finished(run):
                continue
            state = read_state(run.folder(self.place.out))
            if not state.settled and state.status != "running":
                left = 1 - state.epochs / state.total if state.total else 1.0
                items.append(replace(self.items[key], left=left))
        return items

    def finished(self) -> list[str]:
        """Return the keys of the finished runs: rows with a record, teachers with weights."""
        return [key for key, run in self.by_key.items() if self._is_finished(run)]

    def failures(self) -> dict[str, str]:
        """Return why runs failed, in this call or an earlier one over the same folder."""
        states = {key: read_state(run.folder(self.place.out)) for key, run in self.by_key.items()}
        return {key: state.reason for key, state in states.items() if state.status == "failed"}

    def trains_a_teacher(self) -> bool:
        """Return whether another process trains a teacher, so that more runs may become ready."""
        teachers = (run for run in self.runs if isinstance(run, TeacherRun))
        return any(read_state(run.folder(self.place.out)).status == "running" for run in teachers)

    def speeds(self) -> Speeds:
        """Return the speeds from runs and tables, those of this machine apart from the committed ones."""
        measured, recorded = (
            {name: median(seconds) for name, seconds in steps.items()}
            for steps in (self._measured_steps(), self.recorded)
        )
        overhead = max(self.overheads, default=self.overhead)
        return Speeds(measured, self.table.steps, recorded, self.recorded_table.steps, overhead)

    def sources(self) -> str:
        """Return the sources of the speeds in words, by precedence."""
        measured, recorded = (sum(map(len, steps.values())) for steps in (self._measured_steps(), self.recorded))
        named = [
            f"runs in {shown(self.place.out)} ({measured})" if measured else "",
            self.table.source,
            f"records in {shown(self.committed)} ({recorded})" if recorded else "",
            self.recorded_table.source,
            "guesses",
        ]
        return "; else ".join(name for name in named if name)

    def missing_teachers(self) -> list[str]:
        """Return the names of the teachers to train."""
        return [*dict.fromkeys(item.pair for item in self.open_items() if item.label == TEACHER)]

    def planned(self, seconds_left: float) -> list[Planned]:
        """Return the plan for the time left."""
        return plan(self.open_items(), self.speeds(), seconds_left, ready=self.finished())

    def weights(self, run: Run) -> Path:
        """Return the file of a run's teacher."""
        teacher = run if isinstance(run, TeacherRun) else run.teacher
        return self.teachers[run.suite.name].weights(teacher)

    def catch_up(self) -> None:
        """Record the runs that an earlier call over the same folder finished but did not record."""
        for run in self.runs:
            if read_state(run.folder(self.place.out)).settled and not self._is_finished(run):
                self.record(run)

    def record(self, run: Run) -> None:
        """Write the record of a run in its committed form; a failure is only noted, to be tried elsewhere."""
        state = read_state(run.folder(self.place.out))
        if state.status == "failed":
            self.failed[key_of(run)] = state.reason
            return
        for entry in entries_of_runs(run.suite, self.place.out):
            if key_of(entry.row) == key_of(run) and entry.status != "failed":
                keep(entry, self.records)
        if isinstance(run, TeacherRun) and state.status == "done":
            weights = self.out / "teachers" / run.suite.name / f"{run.key}.safetensors"
            weights.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.weights(run), weights)

    def _teachers(self, suite: Suite) -> Teachers:
        needed = [run for run in self.runs if isinstance(run, TeacherRun) and run.suite.name == suite.name]
        places = [place for place in self.places if "=" not in place or place.partition("=")[0] in suite.teachers]
        return find_teachers(suite, needed, places, self.place.out)

    def _is_finished(self, run: Run) -> bool:
        """Return whether a run is finished: a row has a record, a teacher has weights."""
        if isinstance(run, TeacherRun):
            return self.weights(run).is_file()
        name = run.folder(Path())
        return any((root / name).with_name(f"{name.name}.json").is_file() for root in (self.committed, self.records))

    def _measured_steps(self) -> dict[tuple[str, str], list[float]]:
        """Return the seconds of a step in the runs of this folder, over all suites, which share pairs."""
        steps: dict[tuple[str, str], list[float]] = {}
        for key, run in self.by_key.items():
            state, item = read_state(run.folder(self.place.out)), self.items[key]
            if state.seconds is not None:
                steps.setdefault((item.pair, item.label), []).append(state.seconds / item.steps)
        return steps

    def _recorded(self) -> dict[tuple[str, str], list[float]]:
        steps: dict[tuple[str, str], list[float]] = {}
        device = self.place.device.partition(":")[0]
        for suite in self.suites:
            for entry in entries_of_records(suite, self.committed):
                record = entry.record
                if record is None or not str(record.environment.get("device")).startswith(device):
                    continue
                item = item_of(entry.row, self.place, self.samples)
                steps.setdefault((item.pair, item.label), []).append(record.wall_seconds / item.steps)
        return steps


def run_rows(
    rows: Rows,
    attempt: Callable[[Run], Attempted],
    seconds_left: Callable[[], float],
    say: Say,
    wait: Callable[[float], object] = time.sleep,
) -> None:
    """Start the first run of the plan that can finish, again and again, until none can.

    Args:
        rows: the runs.
        attempt: trains a run.
        seconds_left: seconds that are left.
        say: takes the lines that report progress.
        wait: waits some seconds.
    """
    while True:
        left = seconds_left()
        first = next((one for one in rows.planned(left) if one.starts), None)
        if first is None:
            if left <= 0 or not rows.trains_a_teacher():
                return
            wait(POLL)
            continue
        key = first.item.key
        say(f"{key}: about {first.seconds / 60:.1f} of {left / 60:.1f} minutes")
        ended = attempt(rows.by_key[key])
        if ended == "stopped":
            return
        if ended == "settled" and key in {item.key for item in rows.open_items()}:
            rows.failed[key] = "it ended without a result"  # do not start it again forever


def make_attempt(rows: Rows, attempts: Attempts, after: Callable[[], object]) -> Callable[[Run], Attempted]:
    """Return a function that trains a run, records it and calls `after`."""

    def attempt(run: Run) -> Attempted:
        started = time.monotonic()
        config = run.config(rows.place) if isinstance(run, TeacherRun) else run.config(rows.place, rows.weights(run))
        try:
            ended = attempts.run(run, config)
        except UsageError as error:
            rows.failed[key_of(run)] = str(error)
            return "settled"
        if ended == "settled":
            rows.record(run)
            state = read_state(run.folder(rows.place.out))
            if state.status == "done":
                rows.overheads.append(max(0.0, time.monotonic() - started - (state.seconds or 0.0)))
        after()
        return ended

    return attempt


def bundle(out: Path) -> list[Path]:
    """Write all results into one archive, in parts: `cat bring_back.tar.* | tar x`.

    Returns:
        The parts.
    """
    whole = out / BUNDLE
    with tarfile.open(whole, "w") as archive:
        for name in ("speed", "records", "teachers", "tests.txt"):
            if (out / name).exists():
                archive.add(out / name, name)
    parts = []
    with whole.open("rb") as source:
        while block := source.read(PART):
            part = out / f"{BUNDLE}.{len(parts):02d}"
            part.write_bytes(block)
            parts.append(part)
    for old in {whole, *out.glob(f"{BUNDLE}.*")} - {*parts}:
        old.unlink()
    return parts
