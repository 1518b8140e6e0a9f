"""Term: one loss of a method with its heads and memory, and what it needs."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

from torch import Tensor, nn

from wcord.checks import DoesNotFitError, UsageError
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.methods.setting import Setting
from wcord.models.network import merged_parts
from wcord.numerics import FullPrecisionModule

Stage = Literal["preparation", "main"]
"""A run trains in the main stage; a method may need a preparation stage before it."""


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
        rotations: batches hold each sample upright and turned by 90°, 180° and 270°; the loader then makes them, and
            terms without this need get the upright rows alone.
        labels: targets are labels of the data; without labels they are the teacher's answers.
        reads: why its step has to wait for the device, so that it cannot be captured; empty if it does not wait.
    """

    same_classes: bool = False
    index: bool = False
    class_number: bool = False
    exclusive: bool = False
    min_batch: int = 1
    whole_batch: bool = False
    teacher: bool = True
    rotations: bool = False
    labels: bool = False
    reads: str = ""


@dataclass(frozen=True)
class Preparation:
    """A stage before the main one, as a term's paper prescribes it.

    Attributes:
        epochs: its length, unless the training configuration sets another.
        student: the student's weights train in it too, and not the term's heads alone.
        rate: factor of the run's learning rate at which the term's own parameters train in it.
        lr: the learning rate at which they train, whatever that of the run is; None: `rate` times the run's.
        milestones: shares of the stage's length after which their rate is multiplied by 0.1.
    """

    epochs: int = 30
    student: bool = False
    rate: float = 1.0
    lr: float | None = None
    milestones: tuple[float, ...] = ()

    @property
    def own_rate(self) -> bool:
        """Whether the rate of the term's own parameters is more than a constant factor of the run's."""
        return self.lr is not None or bool(self.milestones)

    def rate_at(self, epoch: int, epochs: int, *, run: float) -> float:
        """Return the learning rate of the term's own parameters in one epoch of the stage, counted from 0.

        >>> stage = Preparation(lr=0.05, milestones=(0.5, 0.75))
        >>> [stage.rate_at(epoch, 4, run=0.01) for epoch in range(4)]
        [0.05, 0.05, 0.005000000000000001, 0.0005000000000000001]
        >>> stage.rate_at(0, 1, run=0.01)  # the first epoch has the first rate, however short the stage
        0.05

        Args:
            epoch: the number of the epoch.
            epochs: the length of the stage, which may be that of another term's.
            run: the learning rate of the run in the stage.
        """
        first = self.rate * run if self.lr is None else self.lr
        return first * 0.1 ** sum(epoch >= max(1, round(share * epochs)) for share in self.milestones)


@dataclass(frozen=True)
class TeacherTraining:
    """How the additions to a teacher train, as a term's paper prescribes it: in the main stage, beside the student.

    Attributes:
        optimizer: its update rule; sgd has a momentum of 0.9.
        lr: learning rate at the first step; 0 leaves the additions as they are.
        eps: added to the denominator of adamw.
        weight_decay: on all additions.
        schedule: constant, or cosine, from `lr` to 0 over the steps of the main stage.
        mode: mode of the frozen part; in train its BatchNorm uses, and tracks, the statistics of the batch. The
            additions are always in train mode.
    """

    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = 1e-3
    eps: float = 1e-8
    weight_decay: float = 0.01
    schedule: Literal["constant", "cosine"] = "cosine"
    mode: Literal["train", "eval"] = "eval"


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
    cuts: tuple[str, ...] = ()
    """The maps of the student after which the gradient stops, for all terms of the sum; `features.capture` cuts."""
    preparation: Preparation | None = None
    """The stage that has to come before the main one."""
    teacher_training: TeacherTraining | None = None
    """How the additions to the teacher train; None: nothing trains in the teacher."""
    notes: tuple[str, ...] = ()
    """What a reader of the result must know about how it fits its setting, a sentence each."""

    @abstractmethod
    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch."""

    def gate(self, student: Features) -> None:
        """Scale gradients that reach the student through its logits and embedding, whichever term they come from.

        It runs before all terms of a step, on features of which they may see a part. By default it does nothing.
        """

    def embed(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the critic's embeddings of both sides, whose inner product scores a pair; None without a critic."""
        return None

    def prepare(self, student: Features | None, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch in the preparation stage; the student is None if it does not train in it."""
        raise AssertionError(f"{type(self).__name__} has a preparation stage but no prepare method")

    def teach(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of the additions to the teacher, of one batch; the student's features have no graph."""
        raise AssertionError(f"{type(self).__name__} has a teacher_training but no teach method")

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
