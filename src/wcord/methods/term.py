"""Term: one loss with its heads and memory. Objective: the weighted sum of terms that a method minimizes."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, Literal

from torch import Tensor, nn

from wcord import collectives
from wcord.checks import DoesNotFitError, UsageError, require_kind
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import LossReport
from wcord.methods.whole_batch import TermInputs, whole_batch
from wcord.models.network import merged_parts
from wcord.numerics import FullPrecisionModule, Settles

Stage = Literal["preparation", "main"]
"""A run trains in the main stage; a method may need a preparation stage before it."""

OLD_KEY = re.compile(r"terms\.(wcord|wcord-a|lckt-a|gckt|lckt)\.loss\.(?P<part>critic|contrast|local)\.(?P<rest>.*)")
"""Keys of the terms of `wcord` and its variants in checkpoints of earlier versions."""

Shape = tuple[int, ...]
"""Shape of one sample's map: (C, H, W), or (T, D) of a transformer."""


@dataclass(frozen=True)
class Setting:
    """The networks' and the data's properties that a method depends on, known before the first step.

    Attributes:
        student_dim: width of the student's embedding.
        teacher_dim: width of the teacher's embedding.
        student_classes: number of the student's logits.
        teacher_classes: number of the teacher's logits.
        same_labels: whether both networks' logits mean the same classes; False if they are known not to.
        num_samples: rows of the training set, or None if batches have no row numbers.
        batch_size: samples in a batch, or None if it is not known.
        label_smoothing: of the cross-entropy with the labels.
        several_labels: whether a sample may have several labels: targets are then 0 or 1 for each of them, B×C.
        mixed: whether batches hold mixtures of samples (mixup, CutMix): targets are then shares of the classes.
        class_weights: of the cross-entropy, one for each of the student's classes; None weights all classes equally.
        total_steps: training batches of the main stage, or None if their number is not known.
        student_maps: the student's maps by name, from input to output, with the shape of one sample.
        teacher_maps: the teacher's.
        student: the network itself, for methods that read its modules; a term does not keep it.
        teacher: the teacher, likewise.
    """

    student_dim: int
    teacher_dim: int
    student_classes: int
    teacher_classes: int
    same_labels: bool = True
    num_samples: int | None = None
    batch_size: int | None = None
    label_smoothing: float = 0.0
    class_weights: Tensor | None = None
    mixed: bool = False
    several_labels: bool = False
    total_steps: int | None = None
    student_maps: Mapping[str, Shape] = field(default_factory=dict)
    teacher_maps: Mapping[str, Shape] = field(default_factory=dict)
    student: nn.Module | None = None
    teacher: nn.Module | None = None


@dataclass(frozen=True)
class Needs:
    """The requirements of a term, as data, so that they are checked before the first step.

    Attributes:
        same_classes: teacher and student have logits over the same classes.
        index: batches have row numbers of the training set, which mixtures of samples do not have.
        class_number: targets are the number of one class each, which mixtures of samples, and samples with several
            labels, do not have.
        exclusive: classes exclude each other, so that logits are those of one distribution over them.
        min_batch: the smallest batch that it can work with.
        whole_batch: it compares the samples of a batch or keeps statistics of them (a memory does, and a head with
            BatchNorm); if several processes share a batch, each of them passes it the whole batch, in training.
        teacher: it uses the teacher; if no term does, the teacher does not run.
        reads: why its step has to wait for the device, so that it cannot be captured; empty if it does not wait.
    """

    same_classes: bool = False
    index: bool = False
    class_number: bool = False
    exclusive: bool = False
    min_batch: int = 1
    whole_batch: bool = False
    teacher: bool = True
    reads: str = ""


@dataclass(frozen=True)
class Preparation:
    """A stage before the main one, as a term's paper prescribes it.

    Attributes:
        epochs: its length, unless the training configuration sets another.
        student: the student's weights train in it too, and not the term's heads alone.
        rate: factor of the run's learning rate at which the term's own parameters train in it; it stays constant.
    """

    epochs: int = 30
    student: bool = False
    rate: float = 1.0


class Term(FullPrecisionModule, ABC):
    """One loss of an objective: owns its heads, critic and memory.

    A term is built as `Term(name, setting, **options)`; its options are the keyword-only arguments of its own
    constructor and of its `loss_signature`.
    """

    needs: Needs = Needs()
    loss_signature: ClassVar[Callable[..., object] | None] = None
    """The loss whose keyword-only arguments are options of the term."""
    diagnostics: tuple[str, ...] = ()
    """Names of the values that it reports to the log beside its loss."""
    measured: Mapping[str, Tensor] = MappingProxyType({})
    """The values of its diagnostics, which `forward` sets."""
    student_map_names: tuple[str, ...] = ()
    """The maps of the student that it reads, as `features.capture` takes them."""
    teacher_map_names: tuple[str, ...] = ()
    """The maps of the teacher that it reads."""
    preparation: Preparation | None = None
    """The stage that has to come before the main one."""

    @abstractmethod
    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch."""

    def embed(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the critic's embeddings of both sides, whose inner product scores a pair; None without a critic."""
        return None

    def prepare(self, student: Features | None, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch in the preparation stage; the student is None if it does not train in it."""
        raise AssertionError(f"{type(self).__name__} has a preparation stage but no prepare method")

    def stage_parameters(self, stage: Stage) -> Iterable[nn.Parameter]:
        """Return the term's trained parameters in a stage; by default all of them in both stages."""
        return self.parameters()

    def check(self, name: str, setting: Setting) -> None:
        """Raise if the setting does not meet the needs of the term.

        Raises:
            UsageError: with the term, what is missing and how to provide it.
        """
        needs = self.needs
        if needs.same_classes and setting.teacher_classes == 0:
            raise DoesNotFitError(
                f"{name} compares logits, and the teacher has no classifier that gives any: use a method on features "
                "(wcord, gckt, crd), or a teacher with its head"
            )
        if needs.same_classes and setting.student_classes != setting.teacher_classes:
            raise DoesNotFitError(
                f"{name} compares logits, but the teacher has {setting.teacher_classes} classes "
                f"and the student {setting.student_classes}: use a method on features (wcord, gckt, crd), a teacher of "
                "the same classes, or --label-map where the teacher's are parts of the student's"
            )
        if needs.same_classes and not setting.same_labels:
            raise DoesNotFitError(
                f"{name} compares logits, but the teacher's labels are not the student's: use a method on features "
                "(wcord, gckt, crd), or --label-map where the teacher's classes are parts of the student's"
            )
        if setting.mixed and (needs.index or needs.class_number):
            reads = "keeps a row per training sample" if needs.index else "reads the class of each sample"
            raise UsageError(
                f"{name} {reads}, which a mixture of samples does not have: leave out --mixup and --cutmix, or use "
                "kd or wcord (with a queue), which accept mixtures"
            )
        if setting.several_labels and (needs.exclusive or needs.class_number):
            does = "compares classes that exclude each other" if needs.exclusive else "reads the class of each sample"
            raise DoesNotFitError(
                f"{name} {does}, but samples here have several labels: use ce, kd, or a method on features (wcord, "
                "rkd, at …; crd with --set crd.negatives=uniform)"
            )
        if needs.index and setting.num_samples is None:
            raise UsageError(
                f"{name} keeps a row per training sample, but batches have no row numbers: "
                "give num_samples and Batch.index, or use wcord, which falls back on a queue"
            )
        if setting.batch_size is not None and setting.batch_size < needs.min_batch:
            raise UsageError(
                f"{name} compares samples within a batch and needs at least {needs.min_batch}, "
                f"received batches of {setting.batch_size}: raise --batch-size"
            )


def refuse_merged(name: str, teacher: nn.Module | None) -> None:
    """Raise for a method that reads the teacher's classifier if its logits were mapped to other classes."""
    if teacher is not None and merged_parts(teacher) is not None:
        raise DoesNotFitError(
            f"{name} reads the teacher's classifier, whose classes are in another order than the student's or parts of "
            "them: use a teacher of the same classes in the same order, or another method"
        )


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Prefix the errors of a term with its name, unless they start with it."""
    try:
        yield
    except UsageError as error:
        if str(error).startswith(name):
            raise
        raise type(error)(f"{name}: {error}") from None


def class_numbers(batch: Batch) -> Tensor | None:
    """Return the class of each sample, B; None if samples are mixed or have several labels."""
    return None if batch.target.is_floating_point() else batch.target


class Objective(FullPrecisionModule):
    """A weighted sum of terms, L = Σ w_t · L_t, as a module.

    In several processes (torch.distributed) each computes its part of the batch, and terms that need the whole batch
    compute it in each, so that the weights move as in one process. In your own loop, wrap student and objective as one
    module in DistributedDataParallel, and give all processes equally many samples.

    Args:
        terms: name → (weight, term).
    """

    def __init__(self, terms: Mapping[str, tuple[float, Term]]) -> None:
        super().__init__()
        self.weights = {name: weight for name, (weight, _) in terms.items()}
        self.terms = nn.ModuleDict({name: term for name, (_, term) in terms.items()})
        self.register_load_state_dict_pre_hook(_rename_keys)

    @property
    def formula(self) -> str:
        """The sum as text: `1 ce + 0.8 gckt + 0.05 lckt + 1 kd`."""
        return " + ".join(f"{weight:g} {name}" for name, weight in self.weights.items())

    @property
    def student_map_names(self) -> tuple[str, ...]:
        """Names of all maps of the student that the terms read."""
        return tuple(dict.fromkeys(name for term in self._all() for name in term.student_map_names))

    @property
    def teacher_map_names(self) -> tuple[str, ...]:
        """Names of all maps of the teacher that the terms read."""
        return tuple(dict.fromkeys(name for term in self._all() for name in term.teacher_map_names))

    @property
    def diagnostics(self) -> tuple[str, ...]:
        """Names of the values that are logged beside the losses."""
        return tuple(name for term in self._all() for name in term.diagnostics)

    @property
    def uses_teacher(self) -> bool:
        """Whether any term uses the teacher."""
        return any(term.needs.teacher for term in self._all())

    @property
    def reads(self) -> str:
        """Why a step has to wait for the device, term by term; empty if none has to."""
        return "; ".join(f"{name}: {reason}" for name in self.weights if (reason := self._term(name).needs.reads))

    def settled_in(self, stage: Stage) -> bool:
        """Return whether the next training-mode step runs the operations of all later ones; may wait for the device."""
        terms = self._all() if stage == "main" else self._preparing()
        modules = (module for term in terms for module in term.modules())
        return all(module.settled for module in modules if isinstance(module, Settles))

    @property
    def preparation(self) -> Preparation | None:
        """The stage before the main one: the longest of the terms' stages; the student trains if it does in any."""
        stages = [term.preparation for term in self._all() if term.preparation is not None]
        if not stages:
            return None
        return Preparation(epochs=max(stage.epochs for stage in stages), student=any(stage.student for stage in stages))

    def stage_groups(self, stage: Stage) -> dict[float, list[nn.Parameter]]:
        """Return the terms' trained parameters in a stage, by the factor of their learning rate."""
        groups: dict[float, list[nn.Parameter]] = {}
        for term in self._all() if stage == "main" else self._preparing():
            factor = term.preparation.rate if stage == "preparation" and term.preparation is not None else 1.0
            trained = [parameter for parameter in term.stage_parameters(stage) if parameter.requires_grad]
            groups.setdefault(factor, []).extend(trained)
        return groups

    def stage_parameters(self, stage: Stage) -> list[nn.Parameter]:
        """Return the terms' trained parameters in a stage."""
        return [parameter for group in self.stage_groups(stage).values() for parameter in group]

    def check(self, setting: Setting) -> None:
        """Raise if the setting does not meet the needs of any term."""
        for name in self.weights:
            self._term(name).check(name, setting)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> LossReport:
        """Return the weighted total, and the unweighted loss of every term as a part."""
        total = student.logits.new_zeros(())
        parts: dict[str, Tensor] = {}
        diagnostics: dict[str, Tensor] = {}
        with self._inputs(student, teacher, batch, self._all()) as inputs:
            for name, weight in self.weights.items():
                term = self._term(name)
                with naming(name):
                    parts[name] = term(*inputs(term))
                require_kind(f"what {name} returns", parts[name], Tensor, "a scalar tensor")
                diagnostics |= {value: term.measured[value] for value in term.diagnostics}
                total = total + weight * parts[name]
        return LossReport(total, parts, diagnostics)

    def prepare(self, student: Features | None, teacher: Features, batch: Batch) -> LossReport:
        """Return the loss of the preparation stage: the unweighted sum over the terms that have one."""
        parts: dict[str, Tensor] = {}
        with self._inputs(student, teacher, batch, self._preparing()) as inputs:
            for name in self.prepared_parts:
                term = self._term(name)
                student_part, teacher_part, batch_part = inputs(term)
                trains = term.preparation is not None and term.preparation.student
                with naming(name):
                    parts[name] = term.prepare(student_part if trains else None, teacher_part, batch_part)
        return LossReport(sum(parts.values(), teacher.logits.new_zeros(())), parts)

    @contextmanager
    def _inputs(
        self, student: Features | None, teacher: Features, batch: Batch, terms: Sequence[Term]
    ) -> Iterator[Callable[[Term], TermInputs]]:
        """Yield the function from a term to its inputs: this process's part of the batch, or the whole if it needs it.

        All processes then draw the same random numbers, so that the loss of the whole batch has one value.
        """
        local = (student, teacher, batch)
        together = [term for term in terms if term.needs.whole_batch]
        if not together or not self.training or collectives.count() == 1:
            yield lambda term: local
            return
        whole = whole_batch(
            *local,
            student_maps=sorted({name for term in together for name in term.student_map_names}),
            teacher_maps=sorted({name for term in together for name in term.teacher_map_names}),
        )
        with collectives.drawing_as_first(batch.target.device):
            yield lambda term: whole if term.needs.whole_batch else local

    def embed(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the embeddings of the first term that has a critic; None if no term has one."""
        embedded = (term.embed(student, teacher) for term in self._all())
        return next((both for both in embedded if both is not None), None)

    @property
    def prepared_parts(self) -> tuple[str, ...]:
        """Names of the parts of the preparation stage."""
        return tuple(name for name in self.weights if self._term(name).preparation is not None)

    def _preparing(self) -> list[Term]:
        return [term for term in self._all() if term.preparation is not None]

    def _all(self) -> list[Term]:
        return [self._term(name) for name in self.weights]

    def _term(self, name: str) -> Term:
        term = self.terms[name]
        assert isinstance(term, Term)
        return term


def _rename_keys(objective: nn.Module, state: dict[str, object], prefix: str, *_: object) -> None:
    """Rename the keys of checkpoints from before GCKT and LCKT were terms of their own."""
    for key in list(state):
        old = OLD_KEY.match(key.removeprefix(prefix))
        if old is not None:
            term = "lckt.loss" if old["part"] == "local" else f"gckt.loss.{old['part']}"
            state[f"{prefix}terms.{term}.{old['rest']}"] = state.pop(key)
