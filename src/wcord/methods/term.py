"""A term is one summand of the loss with its heads and memory; an objective is their weighted sum."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from torch import Tensor, nn

from wcord import collectives
from wcord.checks import DoesNotFitError, UsageError
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import LossReport
from wcord.methods.whole_batch import Seen, whole_batch
from wcord.models.network import merged_parts
from wcord.numerics import FullPrecisionModule, Settles

Stage = Literal["preparation", "main"]
"""A run trains in the main stage; a method may ask for a stage before it."""

Shape = tuple[int, ...]
"""Of one sample's map: (C, H, W), or (T, D) of a transformer."""


@dataclass(frozen=True)
class Setting:
    """What the networks and the data give to a method, known before the first step.

    Attributes:
        student_dim: width of the student's embedding.
        teacher_dim: width of the teacher's embedding.
        student_classes: number of the student's logits.
        teacher_classes: number of the teacher's logits.
        same_labels: whether they mean the same, where there are as many; False where they are known not to.
        num_samples: rows of the training set, or None where batches carry no row numbers.
        batch_size: samples in a batch, or None where it is not known.
        label_smoothing: of the cross-entropy with the labels.
        several_labels: whether a sample may have several labels: targets are then 0 or 1 for each of them, B×C.
        mixed: whether batches hold mixtures of samples (mixup, CutMix): targets are then shares of the classes.
        class_weights: of the same, one for each of the student's classes; None: all classes count alike.
        total_steps: training batches of the main stage, or None where they are not known.
        student_maps: the student's maps by name, from input to output, with the shape of one sample.
        teacher_maps: the teacher's.
        student: the network itself, for methods that look at its modules; a term does not keep it.
        teacher: the teacher itself, likewise.
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
    """What a term asks for, as data, so that it is checked before the first step.

    Attributes:
        same_classes: teacher and student have logits over the same classes.
        index: batches carry row numbers of the training set, which mixtures of samples do not have.
        class_number: targets are the number of one class each, which mixtures of samples, and samples with several
            labels, do not have.
        exclusive: classes exclude each other, so that logits are those of one distribution over them.
        min_batch: the smallest batch that it can work with.
        whole_batch: it compares the samples of a batch or keeps something of them (a memory does, and a head with
            BatchNorm); where several processes share a batch, it sees the whole of it in each of them, in training.
        teacher: it looks at the teacher at all; where no term does, the teacher does not run.
        reads: why its step has to wait for the device, so that it cannot be captured; empty where it has not.
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
    """A stage before the main one, as a term's paper asks for it.

    Attributes:
        epochs: its length, where the training configuration says nothing else.
        student: the student's weights train in it too, and not the term's heads alone.
        rate: factor of the run's learning rate at which the term's own parameters train in it; it stays constant.
    """

    epochs: int = 30
    student: bool = False
    rate: float = 1.0


class Term(FullPrecisionModule, ABC):
    """One summand of a loss: owns its heads, critic and memory.

    A term is built as `Term(name, setting, **options)`; its options are the keyword-only arguments of its own
    constructor and of its `loss_signature`. `forward` returns a scalar, or a LossReport where several parts share
    their heads.
    """

    needs: Needs = Needs()
    loss_signature: ClassVar[Callable[..., object] | None] = None
    """The loss whose keyword-only arguments are options of the term."""
    parts: Mapping[str, float]
    """Names of the logged parts and the weight of each inside this term."""
    diagnostics: tuple[str, ...] = ()
    """Names of what its LossReport holds beside the parts, to be logged."""
    student_map_names: tuple[str, ...] = ()
    """The maps of the student that it reads, as `features.capture` takes them."""
    teacher_map_names: tuple[str, ...] = ()
    """The maps of the teacher that it reads."""
    preparation: Preparation | None = None
    """The stage that has to come before the main one."""

    @abstractmethod
    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor | LossReport:
        """Return the loss of one batch."""

    def embed(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return what the critic makes of both embeddings, to be multiplied row by row; None without a critic."""
        return None

    def prepare(self, student: Features | None, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch in the preparation stage; the student is None where it does not train in it."""
        raise AssertionError(f"{type(self).__name__} asks for a preparation and does not say how")

    def stage_parameters(self, stage: Stage) -> Iterable[nn.Parameter]:
        """Return what the term trains in a stage; by default all in both."""
        return self.parameters()

    def check(self, name: str, setting: Setting) -> None:
        """Raise if the setting lacks what the term needs, saying what would give it.

        Raises:
            UsageError: naming the term, what is missing and how to get it.
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
            lacking = "keeps a row per training sample" if needs.index else "reads the class of each sample"
            raise UsageError(
                f"{name} {lacking}, and a mixture of samples is none of them: leave out --mixup and --cutmix, or use "
                "kd or wcord (with a queue), which take mixtures"
            )
        if setting.several_labels and (needs.exclusive or needs.class_number):
            does = "compares classes that exclude each other" if needs.exclusive else "reads the class of each sample"
            raise DoesNotFitError(
                f"{name} {does}, but samples here have several labels: use ce, kd, or a method on features (wcord, "
                "rkd, at …; crd with --set crd.negatives=uniform)"
            )
        if needs.index and setting.num_samples is None:
            raise UsageError(
                f"{name} keeps a row per training sample, but batches carry no row numbers: "
                "give num_samples and Batch.index, or use wcord, which falls back on a queue"
            )
        if setting.batch_size is not None and setting.batch_size < needs.min_batch:
            raise UsageError(
                f"{name} compares samples within a batch and needs at least {needs.min_batch}, "
                f"received batches of {setting.batch_size}: raise --batch-size"
            )


def refuse_merged(name: str, teacher: nn.Module | None) -> None:
    """Raise for a method that reads the teacher's classifier, whose classes are not those of its logits any more."""
    if teacher is not None and merged_parts(teacher) is not None:
        raise DoesNotFitError(
            f"{name} reads the teacher's classifier, whose classes are in another order than the student's or parts of "
            "them: use a teacher of the same classes in the same order, or another method"
        )


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Name the summand in what its loss says against an option or a value, where it does not name itself."""
    try:
        yield
    except UsageError as error:
        if str(error).startswith(name):
            raise
        raise type(error)(f"{name}: {error}") from None


class Objective(FullPrecisionModule):
    """A weighted sum of terms: L = Σ w_t · L_t, and itself a module.

    In several processes (torch.distributed) each computes its part of the batch, and terms that need the whole batch
    compute it in each, so that the weights move as in one process. In a loop of your own: wrap student and objective
    as one module in DistributedDataParallel, and give all processes as many samples.

    Args:
        terms: name → (weight, term).

    Raises:
        UsageError: where two terms would log a part of the same name.
    """

    def __init__(self, terms: Mapping[str, tuple[float, Term]]) -> None:
        super().__init__()
        self.weights = {name: weight for name, (weight, _) in terms.items()}
        self.terms = nn.ModuleDict({name: term for name, (_, term) in terms.items()})
        self._refuse_repeated_parts(terms)

    @staticmethod
    def _refuse_repeated_parts(terms: Mapping[str, tuple[float, Term]]) -> None:
        owner: dict[str, str] = {}
        for name, (_, term) in terms.items():
            for part in term.parts:
                if part in owner:
                    raise UsageError(f"{name} and {owner[part]} both hold {part}: name one of them only")
                owner[part] = name

    @property
    def part_weights(self) -> dict[str, float]:
        """The factor with which each logged part enters the total."""
        return {
            part: weight * inner
            for (name, weight) in self.weights.items()
            for part, inner in self._term(name).parts.items()
        }

    @property
    def formula(self) -> str:
        """The sum as one reads it: `1 ce + 1 kd + 0.8 gckt + 0.05 lckt`."""
        return " + ".join(f"{weight:g} {part}" for part, weight in self.part_weights.items())

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
        """Names of what is logged beside the parts."""
        return tuple(name for term in self._all() for name in term.diagnostics)

    @property
    def uses_teacher(self) -> bool:
        """Whether any term looks at the teacher."""
        return any(term.needs.teacher for term in self._all())

    @property
    def reads(self) -> str:
        """Why a step has to wait for the device, term by term; empty where none has to."""
        return "; ".join(f"{name}: {reason}" for name in self.weights if (reason := self._term(name).needs.reads))

    def settled_in(self, stage: Stage) -> bool:
        """Return whether the next training-mode step goes the way of all later ones; it may wait for the device."""
        terms = self._all() if stage == "main" else self._preparing()
        modules = (module for term in terms for module in term.modules())
        return all(module.settled for module in modules if isinstance(module, Settles))

    @property
    def preparation(self) -> Preparation | None:
        """The stage before the main one: as long as the longest that a term asks for; the student trains if in any."""
        asked = [term.preparation for term in self._all() if term.preparation is not None]
        if not asked:
            return None
        return Preparation(
            epochs=max(one.epochs for one in asked),
            student=any(one.student for one in asked),
        )

    def stage_groups(self, stage: Stage) -> dict[float, list[nn.Parameter]]:
        """Return what the terms train in a stage, beside the student, by the factor of its learning rate."""
        groups: dict[float, list[nn.Parameter]] = {}
        for term in self._all() if stage == "main" else self._preparing():
            factor = term.preparation.rate if stage == "preparation" and term.preparation is not None else 1.0
            trained = [parameter for parameter in term.stage_parameters(stage) if parameter.requires_grad]
            groups.setdefault(factor, []).extend(trained)
        return groups

    def stage_parameters(self, stage: Stage) -> list[nn.Parameter]:
        """Return what the terms train in a stage, beside the student."""
        return [parameter for group in self.stage_groups(stage).values() for parameter in group]

    def check(self, setting: Setting) -> None:
        """Raise if any term lacks what it needs in this setting."""
        for name in self.weights:
            self._term(name).check(name, setting)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> LossReport:
        """Return the weighted total, and every part unweighted."""
        total = student.logits.new_zeros(())
        parts: dict[str, Tensor] = {}
        diagnostics: dict[str, Tensor] = {}
        with self._seen(student, teacher, batch, self._all()) as seen:
            for name, weight in self.weights.items():
                with naming(name):
                    value = self.terms[name](*seen(self._term(name)))
                if isinstance(value, LossReport):
                    parts.update(value.parts)
                    diagnostics.update(value.diagnostics)
                    value = value.total
                else:
                    parts[name] = value
                total = total + weight * value
        return LossReport(total, parts, diagnostics)

    def prepare(self, student: Features | None, teacher: Features, batch: Batch) -> LossReport:
        """Return the loss of the preparation stage: the sum of what the terms that ask for one say, unweighted."""
        parts: dict[str, Tensor] = {}
        with self._seen(student, teacher, batch, self._preparing()) as seen:
            for name in self.prepared_parts:
                term = self._term(name)
                own, told, part = seen(term)
                trains = term.preparation is not None and term.preparation.student
                with naming(name):
                    parts[name] = term.prepare(own if trains else None, told, part)
        return LossReport(sum(parts.values(), teacher.logits.new_zeros(())), parts)

    @contextmanager
    def _seen(
        self, student: Features | None, teacher: Features, batch: Batch, terms: Sequence[Term]
    ) -> Iterator[Callable[[Term], Seen]]:
        """Give what each of the terms sees: this process's part of the batch or, where it needs that, all together.

        All processes then draw the same random numbers, so that the loss of the whole has one value.
        """
        own = (student, teacher, batch)
        together = [term for term in terms if term.needs.whole_batch]
        if not together or not self.training or collectives.count() == 1:
            yield lambda term: own
            return
        whole = whole_batch(
            *own,
            student_maps=sorted({name for term in together for name in term.student_map_names}),
            teacher_maps=sorted({name for term in together for name in term.teacher_map_names}),
        )
        with collectives.drawing_as_first(batch.target.device):
            yield lambda term: whole if term.needs.whole_batch else own

    def embed(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return what the first term that has a critic makes of both embeddings; None where no term has one."""
        images = (term.embed(student, teacher) for term in self._all())
        return next((both for both in images if both is not None), None)

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
