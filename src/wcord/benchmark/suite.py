"""A suite as data: the pairs, methods, seeds and settings of a comparison. Imports no torch."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from wcord import checks
from wcord.bounds import Bounds, Check, Name, read
from wcord.checks import UsageError, shown
from wcord.data.config import MISSING_TEST
from wcord.methods.catalogue import METHODS
from wcord.methods.options import parse_options
from wcord.paths import require_file
from wcord.toml import read_toml


@dataclass(frozen=True)
class Pair:
    """A teacher and a student by name."""

    teacher: str
    student: str

    @property
    def name(self) -> str:
        """Name of the pair's folder: `resnet56-resnet20`."""
        return f"{file_name(self.teacher)}-{file_name(self.student)}"

    @property
    def flag(self) -> str:
        """The pair on the command line: `resnet56:resnet20`."""
        return f"{self.teacher}:{self.student}"


@dataclass(frozen=True)
class Variant:
    """A method with options.

    Attributes:
        method: the method.
        set: its options, in the form of `--set`.
        training: settings of the training in which its runs differ from the suite's.
    """

    method: Name
    set: tuple[Name, ...] = ()
    training: dict[str, Any] = field(default_factory=dict, hash=False)


def _require_distinct(name: str, seeds: Sequence[int]) -> None:
    if not seeds or len(set(seeds)) < len(seeds):
        raise UsageError(f"{name} must be whole numbers of 0 or more, each once, received {shown(seeds)}")


def _require_names(name: str, variants: Mapping[str, Variant]) -> None:
    for label in variants:
        if not NAME.fullmatch(label):
            raise UsageError(f"a variant is named by letters, digits and . _ + -, received {shown(label)}")


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A set of runs and their settings.

    Attributes:
        name: name of its file and of the folder of its runs and records.
        title: title in a few words.
        protocol: what readers of its tables need to know.
        pairs: teachers and students.
        methods: methods, or names of variants, that are run by default.
        seeds: seeds that are run by default.
        baseline: row that the others are compared with.
        data: settings of the data.
        training: settings of every training.
        distill: further settings of every distillation.
        teacher: settings in which the training of the teachers differs; None: the suite does not train them.
        checkpoints: where to get published weights of the teachers, in words.
        published: table of published numbers to compare with, or None.
        split_by_seed: choose held-out samples and subsets by the seed of a run and train a teacher for each seed: for
            data so small that one split is not informative.
        share_teacher_outputs: keep the teacher's outputs on disk, for all methods over the same batches.
        variants: name → method with options.
        options: pair, `teacher:student` → options for every row with the method, because they were published for this
            pair or because the suite's records have them; `teacher:student/ROW` → options of this row only.
    """

    name: str
    title: str
    protocol: str
    pairs: tuple[Pair, ...]
    methods: tuple[Name, ...]
    seeds: Annotated[tuple[Annotated[int, Bounds(0)], ...], Check(_require_distinct)]
    baseline: Name = "kd"
    data: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    distill: dict[str, Any] = field(default_factory=dict)
    teacher: dict[str, Any] | None = None
    checkpoints: str = ""
    published: str | None = None
    split_by_seed: bool = False
    share_teacher_outputs: bool = False
    variants: Annotated[dict[str, Variant], Check(_require_names)] = field(default_factory=dict)
    options: dict[str, tuple[Name, ...]] = field(default_factory=dict)

    def settings(self, pair: Pair, label: str) -> Variant:
        """Return the method and all options of a row: those of its pair, of the row, then of its variant.

        Raises:
            UsageError: as `variant`.
        """
        variant = self.variant(label)
        terms = variant.method.split("+")
        published = (option for option in self.options.get(pair.flag, ()) if option.partition(".")[0] in terms)
        options = (*published, *self.options.get(f"{pair.flag}/{label}", ()), *variant.set)
        return dataclasses.replace(variant, set=options)

    @property
    def teachers(self) -> tuple[str, ...]:
        """The teachers' names, each once."""
        return tuple(dict.fromkeys(pair.teacher for pair in self.pairs))

    @property
    def overlap(self) -> float:
        """Ratio of test to training samples if each seed splits the same samples again, else 0."""
        share = float(self.data.get("holdout") or MISSING_TEST)
        return share / (1 - share) if self.split_by_seed else 0.0

    def variant(self, label: str) -> Variant:
        """Return the method and the options of a row by its name.

        Raises:
            UsageError: on a name that is neither a variant nor a sum of methods, with the nearest one.
        """
        if label in self.variants:
            return self.variants[label]
        terms = label.split("+")
        for term in terms:
            # A variant is a row by itself and cannot be part of a sum.
            checks.require_choice("method", term, METHODS if len(terms) > 1 else [*METHODS, *self.variants])
        return Variant(label)

    def knows(self, label: str) -> bool:
        """Return whether a row's name is a variant or a sum of methods."""
        return label in self.variants or all(term in METHODS for term in label.split("+"))


def file_name(network: str) -> str:
    """Return a network's name as a valid file name.

    >>> file_name("timm:mobilenetv1_100"), file_name("hf:microsoft/resnet-18")
    ('timm.mobilenetv1_100', 'hf.microsoft.resnet-18')
    """
    return network.replace(":", ".").replace("/", ".")


EVERY_METHOD = "*"
"""In a suite's list: every method of the catalog by itself."""

NAME = re.compile(r"(?!\.+$)[A-Za-z0-9._+-]+")
"""Valid names of variants, which are names of folders."""


def suite_folder() -> Path:
    """Return the folder of the suites that come with wcord: in the installed package, or in the checkout."""
    installed = Path(__file__).with_name("recipes")
    return installed if installed.is_dir() else Path(__file__).parents[3] / "benchmarks" / "recipes"


def suite_names() -> list[str]:
    """Return the names of the suites that come with wcord."""
    return sorted(path.stem for path in suite_folder().glob("*.toml"))


def read_suite(suite: str) -> Suite:
    """Return a suite by its name, or from a TOML file.

    A file may name another suite as `base` and then replaces some of its values, table by table.

    >>> read_suite("mini").pairs
    (Pair(teacher='resnet14x2', student='resnet8'),)

    Raises:
        UsageError: on an unknown name, an unknown or missing key, a value of another type, an unknown method.
    """
    path = _find(suite, Path())
    return _checked(path.stem, _content(path), str(path))


def _find(suite: str, folder: Path) -> Path:
    if suite.endswith(".toml"):
        return require_file(folder / suite, "suite")
    checks.require_choice("suite", suite, suite_names())
    return suite_folder() / f"{suite}.toml"


def _content(path: Path, derived: tuple[Path, ...] = ()) -> dict[str, Any]:
    content = read_toml(path, "suite")
    base = content.pop("base", None)
    if base is None:
        return content
    if not isinstance(base, str) or _find(base, path.parent) in (path, *derived):
        raise UsageError(f"suite {str(path)!r}: base must name another suite, not itself, received {shown(base)}")
    inherited = _content(_find(base, path.parent), (path, *derived))
    return inherited | {key: _merged(inherited.get(key), value) for key, value in content.items()}


def _merged(inherited: object, value: object) -> object:
    return {**inherited, **value} if isinstance(inherited, Mapping) and isinstance(value, Mapping) else value


def _checked(name: str, content: Mapping[str, Any], file: str) -> Suite:
    try:
        suite = _read(name, content)
    except UsageError as error:
        raise UsageError(f"suite {file!r}: {error}") from None
    pairs = [pair.flag for pair in suite.pairs]
    if len({pair.name for pair in suite.pairs}) < len(pairs):
        raise UsageError(f"suite {file!r} has a pair twice, or two that would share a folder: name each once")
    for pair, values in suite.options.items():
        checks.require_choice(f"pair in [options] of suite {file!r}", _pair_of(pair, pairs), pairs)
        for method in parse_options(values):
            checks.require_choice(f"method in options of {pair}", method, METHODS)
    rows = [key.rpartition("/")[2] for key in suite.options if key not in pairs]
    for label in (*suite.methods, *rows, suite.baseline):
        suite.variant(label)
    for term in (name for variant in suite.variants.values() for name in variant.method.split("+")):
        checks.require_choice("method", term, METHODS)
    return suite


def _read(name: str, content: Mapping[str, Any]) -> Suite:
    if "name" in content:
        raise UsageError("name is that of the file: leave it out")
    pairs = content.get("pairs")
    named = {"name": name} | ({"pairs": [_pair(pair) for pair in pairs]} if isinstance(pairs, list) else {})
    suite = read(Suite, {**content, **named}, "the suite")
    methods = tuple(dict.fromkeys(_expanded(suite.methods)))
    # Empty text removes the table of a base.
    return dataclasses.replace(suite, methods=methods, published=suite.published or None)


def _expanded(methods: Sequence[str]) -> list[str]:
    return [name for entry in methods for name in (METHODS if entry == EVERY_METHOD else [entry])]


def _pair(value: object) -> Pair:
    match value:
        case [str(teacher), str(student)]:
            return Pair(teacher, student)
    raise UsageError(f'a pair is ["TEACHER", "STUDENT"], received {shown(value)}')


def _pair_of(key: str, flags: Sequence[str]) -> str:
    """Return the pair in `PAIR` or `PAIR/ROW`; a network's name may contain a slash."""
    return key if key in flags else key.rpartition("/")[0] or key
