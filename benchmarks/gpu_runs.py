"""The rows of `benchmarks/gpu.py`: what is open, how fast it goes, and one run after the other while time lasts."""

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
"""Seconds between looks at a teacher that another process trains."""
PART = 15 * 2**20
"""Bytes of each file that is to be brought back, at most."""
BUNDLE = "bring_back.tar"


@dataclass
class Rows:
    """The runs in their order, where they lie, and what became of them.

    Attributes:
        runs: in the order of worth, teachers' trainings included.
        place: folder of the runs, data and device.
        out: folder that takes records and the bundle.
        committed: folder of the records under version control.
        places: folders of teachers, or NAME=FILE.
        samples: size of the training set.
        table: steps measured on this machine, or on one like it.
        recorded_table: steps of the committed tables.
        overhead: seconds that a run takes beside its training, until the first has told.
        failed: key → reason, of the runs that are not to be tried again by this call.
        overheads: these seconds, of the runs so far.
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
        self.before = {*self.there()}

    @property
    def suites(self) -> list[Suite]:
        """The suites, each once."""
        return [*{run.suite.name: run.suite for run in self.runs}.values()]

    @property
    def records(self) -> Path:
        """Folder of the records that this call and those before it have written."""
        return self.out / "records"

    def open_items(self) -> list[Item]:
        """Return what is still to be done, in order: neither recorded nor settled, and no teacher that is there."""
        items = []
        for key, run in self.by_key.items():
            if key in self.failed or self._is_there(run):
                continue
            state = read_state(run.folder(self.place.out))
            if not state.settled and state.status != "running":
                left = 1 - state.epochs / state.total if state.total else 1.0
                items.append(replace(self.items[key], left=left))
        return items

    def there(self) -> list[str]:
        """Return the keys of the runs that are over: rows with a record, teachers whose weights are there."""
        return [key for key, run in self.by_key.items() if self._is_there(run)]

    def failures(self) -> dict[str, str]:
        """Return why runs have failed, in this call or an earlier one over the same folder."""
        states = {key: read_state(run.folder(self.place.out)) for key, run in self.by_key.items()}
        return {key: state.reason for key, state in states.items() if state.status == "failed"}

    def trains_a_teacher(self) -> bool:
        """Tell whether another process trains a teacher, after which there may be more to do."""
        teachers = (run for run in self.runs if isinstance(run, TeacherRun))
        return any(read_state(run.folder(self.place.out)).status == "running" for run in teachers)

    def speeds(self) -> Speeds:
        """Return what the runs and the tables tell, those of this machine apart from the committed ones."""
        made, recorded = (
            {name: median(seconds) for name, seconds in found.items()} for found in (self._made(), self.recorded)
        )
        overhead = max(self.overheads, default=self.overhead)
        return Speeds(made, self.table.steps, recorded, self.recorded_table.steps, overhead)

    def sources(self) -> str:
        """Return in words where the speeds come from, in the order in which they count."""
        made, recorded = (sum(map(len, found.values())) for found in (self._made(), self.recorded))
        named = [
            f"runs in {shown(self.place.out)} ({made})" if made else "",
            self.table.source,
            f"records in {shown(self.committed)} ({recorded})" if recorded else "",
            self.recorded_table.source,
            "guesses",
        ]
        return "; else ".join(name for name in named if name)

    def missing_teachers(self) -> list[str]:
        """Return the names of the teachers that have to be trained."""
        return [*dict.fromkeys(item.pair for item in self.open_items() if item.label == TEACHER)]

    def planned(self, seconds_left: float) -> list[Planned]:
        """Return the plan for the time that is left."""
        return plan(self.open_items(), self.speeds(), seconds_left, ready=self.there())

    def weights(self, run: Run) -> Path:
        """Return the file of a run's teacher."""
        teacher = run if isinstance(run, TeacherRun) else run.teacher
        return self.teachers[run.suite.name].weights(teacher)

    def catch_up(self) -> None:
        """Record what an earlier call over the same folder has ended and was stopped before it could record it."""
        for run in self.runs:
            if read_state(run.folder(self.place.out)).settled and not self._is_there(run):
                self.record(run)

    def record(self, run: Run) -> None:
        """Write what became of a run in the committed form; a failure is only noted, so that it is tried elsewhere."""
        state = read_state(run.folder(self.place.out))
        if state.status == "failed":
            self.failed[key_of(run)] = state.reason
            return
        for entry in entries_of_runs(run.suite, self.place.out):
            if key_of(entry.row) == key_of(run) and entry.status != "failed":
                keep(entry, self.records)
        if isinstance(run, TeacherRun) and state.status == "done":
            kept = self.out / "teachers" / run.suite.name / f"{run.key}.safetensors"
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.weights(run), kept)

    def _teachers(self, suite: Suite) -> Teachers:
        wanted = [run for run in self.runs if isinstance(run, TeacherRun) and run.suite.name == suite.name]
        mine = [place for place in self.places if "=" not in place or place.partition("=")[0] in suite.teachers]
        return find_teachers(suite, wanted, mine, self.place.out)

    def _is_there(self, run: Run) -> bool:
        """Tell whether nothing is to be done: a row has its record, a teacher its weights."""
        if isinstance(run, TeacherRun):
            return self.weights(run).is_file()
        name = run.folder(Path())
        return any((root / name).with_name(f"{name.name}.json").is_file() for root in (self.committed, self.records))

    def _made(self) -> dict[tuple[str, str], list[float]]:
        """Return what a step took in the runs that are there, of all suites: they share their pairs."""
        found: dict[tuple[str, str], list[float]] = {}
        for key, run in self.by_key.items():
            state, item = read_state(run.folder(self.place.out)), self.items[key]
            if state.seconds is not None:
                found.setdefault((item.pair, item.label), []).append(state.seconds / item.steps)
        return found

    def _recorded(self) -> dict[tuple[str, str], list[float]]:
        found: dict[tuple[str, str], list[float]] = {}
        device = self.place.device.partition(":")[0]
        for suite in self.suites:
            for entry in entries_of_records(suite, self.committed):
                record = entry.record
                if record is None or not str(record.environment.get("device")).startswith(device):
                    continue
                item = item_of(entry.row, self.place, self.samples)
                found.setdefault((item.pair, item.label), []).append(record.wall_seconds / item.steps)
        return found


def go_through(
    rows: Rows,
    attempt: Callable[[Run], Attempted],
    seconds_left: Callable[[], float],
    say: Say,
    wait: Callable[[float], object] = time.sleep,
) -> None:
    """Start one run after the other, the first of the plan that can end, until none can.

    Args:
        rows: the runs.
        attempt: brings a run to its end.
        seconds_left: seconds that are left.
        say: takes the lines that tell what happens.
        wait: lets some seconds pass.
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
            rows.failed[key] = "it ended without a result"  # it must not be started for ever


def attempt_with(rows: Rows, attempts: Attempts, after: Callable[[], object]) -> Callable[[Run], Attempted]:
    """Return what brings a run to its end, records it, and does what has to be done after each."""

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
    """Put all that has to be brought back into one archive, in parts: `cat bring_back.tar.* | tar x`.

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
