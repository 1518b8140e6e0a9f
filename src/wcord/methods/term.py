"""A term is one summand of the loss with its heads and memory; an objective is their weighted sum."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from wcord.checks import NonFiniteError, UsageError
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import LossReport


@dataclass(frozen=True)
class Setting:
    """What the networks and the data give to a method, known before the first step.

    Attributes:
        student_dim: width of the student's embedding.
        teacher_dim: width of the teacher's embedding.
        student_classes: number of the student's logits.
        teacher_classes: number of the teacher's logits.
        num_samples: rows of the training set, or None where batches carry no row numbers.
        batch_size: samples in a batch, or None where it is not known.
        processes: how many processes train together.
        label_smoothing: of the cross-entropy with the labels.
    """

    student_dim: int
    teacher_dim: int
    student_classes: int
    teacher_classes: int
    num_samples: int | None = None
    batch_size: int | None = None
    processes: int = 1
    label_smoothing: float = 0.0


@dataclass(frozen=True)
class Needs:
    """What a term asks for, as data, so that it is checked before the first step.

    Attributes:
        same_classes: teacher and student have logits over the same classes.
        index: batches carry row numbers of the training set.
        min_batch: the smallest batch that it can work with.
        one_process: its state or its statistics are not yet synchronised between processes.
        maps: names of the feature maps that it reads.
    """

    same_classes: bool = False
    index: bool = False
    min_batch: int = 1
    one_process: bool = False
    maps: tuple[str, ...] = ()


class Term(nn.Module, ABC):
    """One summand of a loss: owns its heads, critic and memory.

    `forward` returns a scalar, or a LossReport where several parts share their heads.
    """

    needs: Needs
    parts: Mapping[str, float]
    """Names of the logged parts and the weight of each inside this term."""

    @abstractmethod
    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor | LossReport:
        """Return the loss of one batch."""

    def check(self, name: str, setting: Setting) -> None:
        """Raise if the setting lacks what the term needs, saying what would give it.

        Raises:
            UsageError: naming the term, what is missing and how to get it.
        """
        needs = self.needs
        if needs.same_classes and setting.student_classes != setting.teacher_classes:
            raise UsageError(
                f"{name} compares logits, but the teacher has {setting.teacher_classes} classes "
                f"and the student {setting.student_classes}: use a method on features (wcord, gckt, crd), "
                "or a teacher of the same classes"
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
        if needs.one_process and setting.processes > 1:
            raise UsageError(
                f"{name} keeps statistics that are not yet synchronised between processes, "
                f"received {setting.processes} processes: run it in one process, or use ce, kd or lskd"
            )


class Objective(nn.Module):
    """A weighted sum of terms: L = Σ w_t · L_t, and itself a module.

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
    def maps(self) -> tuple[str, ...]:
        """Names of all feature maps that the terms read."""
        return tuple(dict.fromkeys(path for name in self.weights for path in self._term(name).needs.maps))

    def check(self, setting: Setting) -> None:
        """Raise if any term lacks what it needs in this setting."""
        for name in self.weights:
            self._term(name).check(name, setting)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> LossReport:
        """Return the weighted total, and every part unweighted."""
        total = student.logits.new_zeros(())
        parts: dict[str, Tensor] = {}
        for name, weight in self.weights.items():
            try:
                value = self.terms[name](student, teacher, batch)
            except NonFiniteError as error:
                raise NonFiniteError(f"{name}: {error}") from None
            if isinstance(value, LossReport):
                parts.update(value.parts)
                value = value.total
            else:
                parts[name] = value
            total = total + weight * value
        return LossReport(total, parts)

    def _term(self, name: str) -> Term:
        term = self.terms[name]
        assert isinstance(term, Term)
        return term
