"""What a table is made of: one entry per run that is settled, read from the runs' folders or from committed records."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wcord.benchmark.committed import read_committed, write_committed
from wcord.benchmark.rows import TEACHERS, Row, TeacherRun
from wcord.benchmark.state import State, Status, look
from wcord.benchmark.suite import Suite, file_name
from wcord.checks import UsageError
from wcord.report.record import Record
from wcord.training.run import RECORD


@dataclass(frozen=True)
class Entry:
    """A settled run.

    Attributes:
        row: which run.
        status: done, failed or not applicable.
        reason: why it failed or does not apply.
        record: what was reached, where it is done.
    """

    row: Row | TeacherRun
    status: Status
    reason: str = ""
    record: Record | None = None


def entries_of_runs(suite: Suite, out: Path) -> list[Entry]:
    """Return the settled runs of a suite in the folder that they were made in."""
    found: list[Entry] = []
    for row, folder in _places(suite, out / suite.name, "seed*"):
        state = look(folder)
        if state.settled:
            found.append(_entry(row, folder, state))
    return found


def entries_of_records(suite: Suite, records: Path) -> list[Entry]:
    """Return the committed runs of a suite.

    Raises:
        UsageError: where a record is damaged.
    """
    places = _places(suite, records / suite.name, "seed*.json")
    return [Entry(row, *read_committed(path, row.name)) for row, path in places]


def keep(entry: Entry, records: Path) -> Path:
    """Write a run's record as it is kept under version control and return its file."""
    path = entry.row.folder(records)
    path = path.with_name(f"{path.name}.json")
    write_committed(path, entry.row.name, entry.status, entry.reason, entry.record)
    return path


def _entry(row: Row | TeacherRun, folder: Path, state: State) -> Entry:
    if state.status != "done":
        return Entry(row, state.status, state.reason)
    try:
        return Entry(row, "done", "", Record.from_json(folder / RECORD))
    except UsageError as error:
        return Entry(row, "failed", str(error))


def _places(suite: Suite, folder: Path, pattern: str) -> Iterator[tuple[Row | TeacherRun, Path]]:
    """Go through the teachers and the rows of a suite that have a place in a folder, in the order of the suite."""
    ending = pattern.removeprefix("seed*")
    for teacher in suite.teachers:
        for training in _trainings(suite, teacher, folder / TEACHERS, ending):
            path = folder / TEACHERS / f"{training.key}{ending}"
            if path.exists():
                yield training, path
    for pair in suite.pairs:
        for label in sorted(path.name for path in (folder / pair.name).glob("*") if path.is_dir()):
            for path in sorted((folder / pair.name / label).glob(pattern)):
                seed = path.name.removesuffix(ending).removeprefix("seed")
                if seed.isdecimal():
                    yield Row(suite, pair, label, int(seed)), path


def _trainings(suite: Suite, teacher: str, folder: Path, ending: str) -> list[TeacherRun]:
    """Return the trainings that a teacher may have in a folder."""
    if not suite.split_by_seed:
        return [TeacherRun(suite, teacher)]
    found = [path.name.removesuffix(ending).rpartition(".seed") for path in folder.glob(f"*.seed*{ending}")]
    seeds = sorted(int(seed) for name, _, seed in found if name == file_name(teacher) and seed.isdecimal())
    return [TeacherRun(suite, teacher, seed) for seed in seeds]
