"""What a GPU's minutes are worth spending on: full-size runs in a fixed order, and which of them can still end.

Nothing here runs, reads a clock or touches a file: `plan` receives the known speeds and the time that is left.
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
"""Rows that come first of every pair."""
FULL_ROWS = ("kd", "crd", "wcord", "wcord+kd", "crd+kd", "wcord-a+kd", "ce", "reviewkd", "wkd-f", "dkd", "dist")
"""Rows of 240 epochs."""

PREPARED, PREPARATION = ("ab", "fsp", "ft"), 30
"""Methods with a stage before the main one, and its epochs where the suite says nothing else."""
TEACHER = "teacher"
"""Stands for the method of a teacher's training."""
TABLE_PAIR = "resnet56-resnet20"
"""The pair of `benchmarks/speed/step.py`."""
KD = "kd"
KD_SECONDS = 0.0134
"""A step of it where nothing is known: eager, on an H200."""
PAIRS = {TABLE_PAIR: 1.0, "resnet32x4-resnet8x4": 3.0, "resnet32x4-ShuffleV2": 4.0}
"""Guess of a kd step over that of the table's pair, until a run of the pair has told."""
UNKNOWN_PAIR = 3.0
METHODS = {KD: 1.0, "ce": 1.0, "lskd": 1.1, "dkd": 1.1, "dist": 1.1, "ttm": 1.1, "wttm": 1.1, "kdsvd": 8.0}
"""Guess of a method's step over that of kd, where no table and no run tells."""
UNKNOWN_METHOD = 2.0
TRAININGS = {"resnet56": 1.5, "resnet32x4": 5.0}
"""Guess of a step of a teacher's training over a kd step of the table's pair."""
EVALUATION = 0.7
"""Seconds to evaluate an epoch, where it is not measured with the run."""
MARGIN = 1.1
"""Runs are taken to last this much longer than expected."""


@dataclass(frozen=True)
class Item:
    """A run, as far as its time is concerned.

    Attributes:
        key: names it.
        pair: the folder's name of its pair; of a teacher's training, the teacher's.
        label: its row, or `TEACHER`.
        steps: of the whole run, all stages.
        epochs: evaluations of the whole run.
        teacher: key of the training that has to be over before.
        left: share that is still to be done.
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
    """What is known of speeds. What this machine tells comes before what others have told, and runs before tables.

    Attributes:
        runs: (pair, label) → seconds of a step in whole runs on this machine, evaluations included.
        table: label → seconds of a step alone, of the table's pair, on this machine or one like it.
        recorded: as `runs`, of the committed records.
        recorded_table: as `table`, of the committed tables.
        overhead: seconds that a run takes beside its training: to begin, to measure and write what was reached.
    """

    runs: Runs = field(default_factory=dict)
    table: Table = field(default_factory=dict)
    recorded: Runs = field(default_factory=dict)
    recorded_table: Table = field(default_factory=dict)
    overhead: float = 20.0

    @property
    def sources(self) -> tuple[tuple[Runs, Table], ...]:
        """Runs and table of this machine, and then those of others."""
        return (self.runs, self.table), (self.recorded, self.recorded_table)


@dataclass(frozen=True)
class Planned:
    """A run with the seconds that it is expected to take, and whether it is started."""

    item: Item
    seconds: float
    starts: bool


def key_of(run: Run) -> str:
    """Return what names a run among those of all suites."""
    return run.name if isinstance(run, TeacherRun) else f"{run.name}/seed{run.seed}"


def by_pair(suite: Suite) -> list[Run]:
    """Return all of a suite: pair by pair its teacher, the headline rows of all seeds, and the others seed by seed."""
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
    """Return the rows of 240 epochs that come after: one pair, seed by seed."""
    return _with_teachers(choose(suite, pairs=[FULL_PAIR], methods=FULL_ROWS))


def _with_teachers(rows: Iterable[Row]) -> list[Run]:
    """Return rows with each teacher's training before the first that needs it."""
    runs: dict[str, Run] = {}
    for row in rows:
        runs.setdefault(key_of(row.teacher), row.teacher)
        runs[key_of(row)] = row
    return [*runs.values()]


def item_of(run: Run, place: Place, samples: int) -> Item:
    """Return a run as an item of the plan: its steps follow from the size of the training set."""
    if isinstance(run, TeacherRun):
        training = run.config(place).training
        steps = -(-samples // training.batch_size) * training.epochs
        return Item(key_of(run), run.key, TEACHER, steps, training.epochs)
    training = run.config(place, None).training
    stage = PREPARATION if training.preparation_epochs is None else training.preparation_epochs
    summands = run.suite.variant(run.label).method.split("+")
    epochs = training.epochs + (stage if set(PREPARED) & {*summands} else 0)
    steps = -(-samples // training.batch_size) * epochs
    return Item(key_of(run), run.pair.name, run.label, steps, training.epochs, key_of(run.teacher))


def step_seconds(item: Item, speeds: Speeds) -> float:
    """Return the seconds of a step, by the first source that tells, else a guess."""
    return _step(item, speeds)[0]


def _step(item: Item, speeds: Speeds) -> tuple[float, bool]:
    """Return the seconds of a step, and whether evaluations are part of them, as they are in whole runs."""
    for runs, table in speeds.sources:
        if (item.pair, item.label) in runs:
            return runs[item.pair, item.label], True
        of_pair = [
            seconds / _factor(label, speeds)
            for (pair, label), seconds in runs.items()
            if pair == item.pair and TEACHER not in (label, item.label)
        ]
        if of_pair:
            return max(of_pair) * _factor(item.label, speeds), True
        if KD in table:
            return table[KD] * _over_table(item, speeds), False
    return KD_SECONDS * _over_table(item, speeds), False


def _over_table(item: Item, speeds: Speeds) -> float:
    """Return a step over that of kd in the table's pair."""
    if item.label == TEACHER:
        return TRAININGS.get(item.pair, UNKNOWN_PAIR)
    return PAIRS.get(item.pair, UNKNOWN_PAIR) * _factor(item.label, speeds)


def _factor(label: str, speeds: Speeds) -> float:
    """Return a method's step over that of kd, by the first source that tells, else a guess."""
    for source in speeds.sources:
        if (measured := _measured_factor(label, *source)) is not None:
            return measured
    if "+" in label:
        return max(_factor(summand, speeds) for summand in label.split("+"))
    return METHODS.get(label, UNKNOWN_METHOD)


def _measured_factor(label: str, runs: Runs, table: Table) -> float | None:
    """Return a method's step over that of kd by one source: by its table, else by its runs, else by the summands."""
    if label in table and KD in table:
        return table[label] / table[KD]
    ratios = [
        seconds / runs[pair, KD] for (pair, other), seconds in runs.items() if other == label and (pair, KD) in runs
    ]
    if ratios:
        return median(ratios)
    if "+" not in label:
        return None
    summands = [_measured_factor(summand, runs, table) for summand in label.split("+")]
    measured = [factor for factor in summands if factor is not None]
    return max(measured) if len(measured) == len(summands) else None  # the networks' steps, which they share, are most


def expected_seconds(item: Item, speeds: Speeds) -> float:
    """Return the seconds that the rest of a run will take, with a margin."""
    step, is_evaluated = _step(item, speeds)
    training = item.steps * step + (0.0 if is_evaluated else EVALUATION * item.epochs)
    return speeds.overhead + MARGIN * item.left * training


def plan(items: Sequence[Item], speeds: Speeds, seconds_left: float, *, ready: Iterable[str] = ()) -> list[Planned]:
    """Say of each run, in the order of worth, whether it is started: if it can end, and its teacher is there by then.

    Args:
        items: what is open, in that order.
        speeds: what is known of speeds.
        seconds_left: seconds that are left.
        ready: keys of the teachers that are there.
    """
    there, planned = set(ready), []
    for item in items:
        seconds = expected_seconds(item, speeds)
        starts = seconds <= seconds_left and (item.teacher is None or item.teacher in there)
        if starts:
            seconds_left -= seconds
            there.add(item.key)
        planned.append(Planned(item, seconds, starts))
    return planned
