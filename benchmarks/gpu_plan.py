"""The plan of a GPU's time: full-size runs by priority, and which of them can finish.

Pure functions: `plan` receives the known speeds and the time left.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from wcord.benchmark.rows import Place, Row, TeacherRun, choose
from wcord.benchmark.suite import Suite

Run = Row | TeacherRun
Runs = Mapping[tuple[str, str], float]
Table = Mapping[str, float]

QUICK, FULL, FULL_PAIR = "cifar100_60", "crd13", "resnet56:resnet20"
HEADLINE = ("ce", "kd", "crd", "wcord", "wcord+kd", "crd+kd", "wcord-a+kd")
"""First rows of every pair."""
FULL_ROWS = ("kd", "crd", "wcord", "wcord+kd", "crd+kd", "wcord-a+kd", "ce", "reviewkd", "wkd-f", "dkd", "dist")
"""Rows of 240 epochs."""

PREPARED, PREPARATION = ("ab", "fsp", "ft"), 30
"""Methods with a stage before the main one, and its epochs unless the suite sets them."""
TEACHER = "teacher"
"""Label of a teacher's training."""
TABLE_PAIR = "resnet56-resnet20"
"""The pair of `benchmarks/speed/step.py`."""
KD = "kd"
KD_SECONDS = 0.0134
"""Default of a kd step: eager, on an H200."""
PAIRS = {TABLE_PAIR: 1.0, "resnet32x4-resnet8x4": 3.0, "resnet32x4-ShuffleV2": 4.0}
"""Estimated kd step relative to the table's pair, until the pair has a run."""
UNKNOWN_PAIR = 3.0
METHODS = {KD: 1.0, "ce": 1.0, "lskd": 1.1, "dkd": 1.1, "dist": 1.1, "ttm": 1.1, "wttm": 1.1, "kdsvd": 8.0}
"""Estimated step of a method relative to kd, without a table or a run."""
UNKNOWN_METHOD = 2.0
TRAININGS = {"resnet56": 1.5, "resnet32x4": 5.0}
"""Estimated step of a teacher's training relative to a kd step of the table's pair."""
EVALUATION = 0.7
"""Seconds to evaluate an epoch, if not measured with the run."""
MARGIN = 1.1
"""Safety factor of the expected time."""


@dataclass(frozen=True)
class Item:
    """The size of a run.

    Attributes:
        key: its name.
        pair: folder name of its pair, or the teacher's name for a teacher's training.
        label: its row, or `TEACHER`.
        steps: steps of the whole run, over all stages.
        epochs: number of evaluations.
        teacher: key of the teacher's training, which must finish first.
        left: remaining share.
    """

    key: str
    pair: str
    label: str
    steps: int
    epochs: int
    teacher: str | None = None
    left: float = 1.0


@dataclass(frozen=True)
class Speeds:
    """Known speeds. This machine's come before those of others, and runs before tables.

    Attributes:
        runs: (pair, label) → seconds of a step in whole runs on this machine, evaluations included.
        table: label → seconds of a step of the table's pair, on this machine or one like it.
        recorded: as `runs`, from the committed records.
        recorded_table: as `table`, from the committed tables.
        overhead: seconds of a run besides its training: start, evaluation and output.
    """

    runs: Runs = field(default_factory=dict)
    table: Table = field(default_factory=dict)
    recorded: Runs = field(default_factory=dict)
    recorded_table: Table = field(default_factory=dict)
    overhead: float = 20.0

    @property
    def sources(self) -> tuple[tuple[Runs, Table], ...]:
        """Runs and table of this machine, then those of others."""
        return (self.runs, self.table), (self.recorded, self.recorded_table)


@dataclass(frozen=True)
class Planned:
    """A run with its expected seconds, and whether it is started."""

    item: Item
    seconds: float
    starts: bool


def key_of(run: Run) -> str:
    """Return the name of a run, unique over all suites."""
    return run.name if isinstance(run, TeacherRun) else f"{run.name}/seed{run.seed}"


def by_pair(suite: Suite) -> list[Run]:
    """Return all runs of a suite, pair by pair: teacher, headline rows of all seeds, other rows seed by seed."""
    first = [label for label in HEADLINE if label in suite.methods]
    others = [label for label in suite.methods if label not in first]
    rows = [
        row
        for pair in suite.pairs
        for labels in (first, others)
        for seed in suite.seeds
        if labels
        for row in choose(suite, pairs=[pair.flag], methods=labels, seeds=[seed])
    ]
    return _with_teachers(rows)


def full_size(suite: Suite) -> list[Run]:
    """Return the rows of 240 epochs: one pair, seed by seed."""
    return _with_teachers(choose(suite, pairs=[FULL_PAIR], methods=FULL_ROWS))


def _with_teachers(rows: Iterable[Row]) -> list[Run]:
    """Return rows with each teacher's training before the first that needs it."""
    runs: dict[str, Run] = {}
    for row in rows:
        runs.setdefault(key_of(row.teacher), row.teacher)
        runs[key_of(row)] = row
    return [*runs.values()]


def item_of(run: Run, place: Place, samples: int) -> Item:
    """Return a run as an item of the plan.

    Args:
        run: the run.
        place: folder, data and device.
        samples: size of the training set.
    """
    if isinstance(run, TeacherRun):
        training = run.config(place).training
        steps = -(-samples // training.batch_size) * training.epochs
        return Item(key_of(run), run.key, TEACHER, steps, training.epochs)
    training = run.config(place, None).training
    stage = PREPARATION if training.preparation_epochs is None else training.preparation_epochs
    terms = run.suite.variant(run.label).method.split("+")
    epochs = training.epochs + (stage if set(PREPARED) & {*terms} else 0)
    steps = -(-samples // training.batch_size) * epochs
    return Item(key_of(run), run.pair.name, run.label, steps, training.epochs, key_of(run.teacher))


def step_seconds(item: Item, speeds: Speeds) -> float:
    """Return the seconds of a step, by the first source that has it, else an estimate."""
    return _step(item, speeds)[0]


def _step(item: Item, speeds: Speeds) -> tuple[float, bool]:
    """Return the seconds of a step, and whether they include evaluations, as in whole runs."""
    for runs, table in speeds.sources:
        if (item.pair, item.label) in runs:
            return runs[item.pair, item.label], True
        ratios_of_pair = [
            seconds / _factor(label, speeds)
            for (pair, label), seconds in runs.items()
            if pair == item.pair and TEACHER not in (label, item.label)
        ]
        if ratios_of_pair:
            return max(ratios_of_pair) * _factor(item.label, speeds), True
        if KD in table:
            return table[KD] * _over_table(item, speeds), False
    return KD_SECONDS * _over_table(item, speeds), False


def _over_table(item: Item, speeds: Speeds) -> float:
    """Return a step relative to kd on the table's pair."""
    if item.label == TEACHER:
        return TRAININGS.get(item.pair, UNKNOWN_PAIR)
    return PAIRS.get(item.pair, UNKNOWN_PAIR) * _factor(item.label, speeds)


def _factor(label: str, speeds: Speeds) -> float:
    """Return a method's step relative to kd, by the first source that has it, else an estimate."""
    for source in speeds.sources:
        if (measured := _measured_factor(label, *source)) is not None:
            return measured
    if "+" in label:
        return max(_factor(term, speeds) for term in label.split("+"))
    return METHODS.get(label, UNKNOWN_METHOD)


def _measured_factor(label: str, runs: Runs, table: Table) -> float | None:
    """Return a method's step relative to kd, from one source: its table, else its runs, else the terms of the sum."""
    if label in table and KD in table:
        return table[label] / table[KD]
    ratios = [
        seconds / runs[pair, KD] for (pair, other), seconds in runs.items() if other == label and (pair, KD) in runs
    ]
    if ratios:
        return median(ratios)
    if "+" not in label:
        return None
    terms = [_measured_factor(term, runs, table) for term in label.split("+")]
    measured = [factor for factor in terms if factor is not None]
    return max(measured) if len(measured) == len(terms) else None  # the terms share most of a step, the networks


def expected_seconds(item: Item, speeds: Speeds) -> float:
    """Return the expected seconds of the rest of a run, with a margin."""
    step, is_evaluated = _step(item, speeds)
    training = item.steps * step + (0.0 if is_evaluated else EVALUATION * item.epochs)
    return speeds.overhead + MARGIN * item.left * training


def plan(items: Sequence[Item], speeds: Speeds, seconds_left: float, *, ready: Iterable[str] = ()) -> list[Planned]:
    """Return whether each run, by priority, is started: if it can finish, and its teacher before it.

    Args:
        items: the open runs, by priority.
        speeds: the known speeds.
        seconds_left: seconds left.
        ready: keys of the available teachers.
    """
    available, planned = set(ready), []
    for item in items:
        seconds = expected_seconds(item, speeds)
        starts = seconds <= seconds_left and (item.teacher is None or item.teacher in available)
        if starts:
            seconds_left -= seconds
            available.add(item.key)
        planned.append(Planned(item, seconds, starts))
    return planned
