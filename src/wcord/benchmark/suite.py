"""A suite as data: which pairs, methods and seeds are compared, and under which settings. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wcord import checks
from wcord.data.config import MISSING_TEST
from wcord.methods.catalogue import METHODS


@dataclass(frozen=True)
class Pair:
    """A teacher and a student by name."""

    teacher: str
    student: str

    @property
    def name(self) -> str:
        """Name of the pair as a folder's: `resnet56-resnet20`."""
        return f"{file_name(self.teacher)}-{file_name(self.student)}"

    @property
    def flag(self) -> str:
        """The pair as the command line says it: `resnet56:resnet20`."""
        return f"{self.teacher}:{self.student}"


@dataclass(frozen=True)
class Variant:
    """A row that is a method with options.

    Attributes:
        method: the method.
        set: its options, as `--set` takes them.
    """

    method: str
    set: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Suite:
    """What is compared, and how.

    Attributes:
        name: its file's name, and the folder of its runs and records.
        title: what it is, in a few words.
        protocol: what a reader of its tables has to know.
        pairs: teachers and students.
        methods: rows that are run unless others are named: methods, or names of variants.
        seeds: seeds that are run unless others are named.
        baseline: row that the others are compared with.
        data: settings of the data.
        training: settings of every training.
        distill: further settings of every distillation.
        teacher: settings in which the teachers' training differs; None: teachers must be given.
        checkpoints: where published weights of the teachers are to be had, in words.
        published: table of published numbers to be compared with, or None.
        split_by_seed: choose held-out samples and subsets by the seed of a run, and train a teacher for each: for data
            so few that one split says little.
        share_teacher_outputs: keep the teacher's outputs on disk, for all methods over the same batches.
        variants: name → method with options.
        options: pair, `teacher:student` → options of methods that were published for it alone, or that the suite's
            records were made with, which go to every row that holds the method; `teacher:student/ROW` → options of that
            row alone.
    """

    name: str
    title: str
    protocol: str
    pairs: tuple[Pair, ...]
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    baseline: str = "kd"
    data: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    distill: Mapping[str, Any] = field(default_factory=dict)
    teacher: Mapping[str, Any] | None = None
    checkpoints: str = ""
    published: str | None = None
    split_by_seed: bool = False
    share_teacher_outputs: bool = False
    variants: Mapping[str, Variant] = field(default_factory=dict)
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def settings(self, pair: Pair, label: str) -> Variant:
        """Return the method and all options of a row: those published for its pair and for itself, then its variant's.

        Raises:
            UsageError: as `variant`.
        """
        variant = self.variant(label)
        summands = variant.method.split("+")
        published = (option for option in self.options.get(pair.flag, ()) if option.partition(".")[0] in summands)
        return Variant(variant.method, (*published, *self.options.get(f"{pair.flag}/{label}", ()), *variant.set))

    @property
    def teachers(self) -> tuple[str, ...]:
        """The teachers' names, each once."""
        return tuple(dict.fromkeys(pair.teacher for pair in self.pairs))

    @property
    def overlap(self) -> float:
        """Tested over trained samples, where each seed splits the same ones anew; else 0."""
        share = float(self.data.get("holdout") or MISSING_TEST)
        return share / (1 - share) if self.split_by_seed else 0.0

    def variant(self, label: str) -> Variant:
        """Return the method and the options that a row's name means.

        Raises:
            UsageError: on a name that is neither a variant nor a sum of methods; the nearest is offered.
        """
        if label in self.variants:
            return self.variants[label]
        summands = label.split("+")
        for summand in summands:
            # A variant is a row by itself: its options have no place in a sum.
            checks.require_choice("method", summand, METHODS if len(summands) > 1 else [*METHODS, *self.variants])
        return Variant(label)

    def knows(self, label: str) -> bool:
        """Return whether a row's name is a variant or a sum of methods."""
        return label in self.variants or all(summand in METHODS for summand in label.split("+"))


def file_name(network: str) -> str:
    """Return a network's name as a file may be called.

    >>> file_name("timm:mobilenetv1_100"), file_name("hf:microsoft/resnet-18")
    ('timm.mobilenetv1_100', 'hf.microsoft.resnet-18')
    """
    return network.replace(":", ".").replace("/", ".")
