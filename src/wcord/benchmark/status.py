"""Which runs of a suite are done, running and left, and the time that the rest needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from rich.box import SIMPLE_HEAD
from rich.table import Table

from wcord.benchmark.rows import Row
from wcord.benchmark.state import State, read_state
from wcord.benchmark.teachers import Teachers
from wcord.report.tables import MISSING
from wcord.terminal import plain
from wcord.training.progress import clock_text


@dataclass(frozen=True)
class Overview:
    """The state of each row and teacher.

    Attributes:
        states: the rows with their states.
        teachers: name → state of each teacher's training; None if its weights are provided.
    """

    states: tuple[tuple[Row, State], ...]
    teachers: dict[str, State | None]

    def count(self, status: str) -> int:
        """Return how many rows have a status."""
        return sum(state.status == status for _, state in self.states)

    @property
    def summary(self) -> str:
        """One line: how many rows are done, running and left, and the time that the rest takes one process."""
        parts = [
            f"{self.count(status)} {status}" for status in ("done", "running", "stopped", "failed", "not applicable")
        ]
        parts = [part for part in parts if not part.startswith("0 ") or part == "0 done"]
        parts.append(f"{self.count('left')} left of {len(self.states)}")
        if teachers := sum(state is not None and not state.settled for state in self.teachers.values()):
            parts.append(f"{teachers} {'teacher' if teachers == 1 else 'teachers'} to train")
        seconds = self.seconds_left
        return ", ".join(parts) + (f"; about {clock_text(seconds)} of one process" if seconds else "")

    @property
    def seconds_left(self) -> float | None:
        """Seconds that the rest takes one process; None if no epoch of any run is done.

        A started run is estimated from its own epochs. Any other is estimated as the mean of comparable runs: of the
        same pair and method, else of the same pair, else of the same method, else all; a teacher from the teachers,
        else from all.
        """
        rows = [(_expected(row, state, self.states), state) for row, state in self.states if not state.settled]
        trained = [state for state in self.teachers.values() if state is not None]
        known = _known(trained) or _known([state for _, state in self.states])
        mean = fmean(known) if known else None
        open_teachers = [(state.seconds or mean, state) for state in trained if not state.settled]
        # If no row has an estimate yet, the teachers that the rows wait for are the best one.
        expected = [(seconds if seconds is not None else mean, state) for seconds, state in [*rows, *open_teachers]]
        if any(seconds is None for seconds, _ in expected):
            return None
        return sum((seconds or 0.0) * _part_left(state) for seconds, state in expected)


def overview(rows: Sequence[Row], teachers: Teachers, out: Path) -> Overview:
    """Read the state of every row and every teacher."""
    trained = {name: read_state(training.folder(out)) for name, training in teachers.trained.items()}
    return Overview(
        tuple((row, read_state(row.folder(out))) for row in rows), {**dict.fromkeys(teachers.provided), **trained}
    )


def status_table(overview: Overview) -> Table:
    """Return a table for a terminal: a line for each pair and method, a column for each seed."""
    seeds = list(dict.fromkeys(row.seed for row, _ in overview.states))
    table = Table(box=SIMPLE_HEAD, caption=overview.summary, caption_justify="left")
    for heading in ("pair", "row", *(f"seed {seed}" for seed in seeds)):
        table.add_column(heading, overflow="fold")
    for model, by_seed in _teachers(overview).items():
        table.add_row("teachers", plain(model), *(by_seed.get(seed, "") for seed in seeds), style="dim")
    lines: dict[tuple[str, str], dict[int, str]] = {}
    for row, state in overview.states:
        lines.setdefault((row.pair.name, row.label), {})[row.seed] = _cell(state)
    for (pair, label), by_seed in lines.items():
        table.add_row(plain(pair), plain(label), *(by_seed.get(seed, MISSING) for seed in seeds))
    return table


def _teachers(overview: Overview) -> dict[str, dict[int, str]]:
    """Return each teacher's state, in the column of its first seed."""
    lines: dict[str, dict[int, str]] = {}
    shown: set[str] = set()
    for row, _ in overview.states:
        key = row.teacher.key
        if key in overview.teachers and key not in shown:
            shown.add(key)
            state = overview.teachers[key]
            lines.setdefault(row.pair.teacher, {})[row.seed] = "provided" if state is None else _cell(state)
    return lines


def _cell(state: State) -> str:
    if state.status == "done":
        return f"{state.top1:.2f} %"
    return f"{state.status} {state.epochs}/{state.total}" if state.total else state.status


def _known(states: Sequence[State]) -> list[float]:
    return [state.seconds for state in states if state.seconds is not None]


def _part_left(state: State) -> float:
    return 1 - state.epochs / state.total if state.total else 1.0


def _expected(row: Row, state: State, states: Sequence[tuple[Row, State]]) -> float | None:
    if state.seconds is not None:
        return state.seconds
    done = [(other, known.seconds) for other, known in states if known.seconds is not None]
    comparable = (
        [s for other, s in done if other.pair == row.pair and other.label == row.label],
        [s for other, s in done if other.pair == row.pair],
        [s for other, s in done if other.label == row.label],
        [s for _, s in done],
    )
    return next((fmean(seconds) for seconds in comparable if seconds), None)
