"""Objective: the weighted sum of terms that a method minimizes."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from wcord import collectives
from wcord.checks import UsageError, require_kind
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import LossReport
from wcord.methods.setting import Setting
from wcord.methods.term import Preparation, Stage, TeacherTraining, Term, naming
from wcord.methods.whole_batch import TermInputs, upright, whole_batch
from wcord.numerics import FullPrecisionModule, Settles

OLD_KEY = re.compile(r"terms\.(wcord|wcord-a|lckt-a|gckt|lckt)\.loss\.(?P<part>critic|contrast|local)\.(?P<rest>.*)")
"""Keys of the terms of `wcord` and its variants in checkpoints of earlier versions."""


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
    def cuts(self) -> tuple[str, ...]:
        """The maps of the student after which the gradient stops, as `features.capture` takes them."""
        return tuple(dict.fromkeys(name for term in self._all() for name in term.cuts))

    @property
    def diagnostics(self) -> tuple[str, ...]:
        """Names of the values that are logged beside the losses."""
        return tuple(name for term in self._all() for name in term.diagnostics)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the result must know, one sentence each."""
        return tuple(f"{name}: {note}" for name in self.weights for note in self._term(name).notes)

    @property
    def uses_teacher(self) -> bool:
        """Whether any term uses the teacher."""
        return any(term.needs.teacher for term in self._all())

    @property
    def teacher_training(self) -> TeacherTraining | None:
        """How the additions to the teacher train; None if nothing trains in it."""
        trainings = [term.teacher_training for term in self._teaching()]
        assert len(trainings) < 2, "one method of a sum adds parts to the teacher"
        return trainings[0] if trainings else None

    @property
    def teaches(self) -> bool:
        """Whether a term trains additions to the teacher."""
        return bool(self._teaching())

    @property
    def rotations(self) -> bool:
        """Whether any term needs rotated batches, as `Batch.rotated` and `Loader(rotations=True)` make them."""
        return any(term.needs.rotations for term in self._all())

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

    def stage_groups(self, stage: Stage) -> dict[float | Preparation, list[nn.Parameter]]:
        """Return the terms' trained parameters in a stage, by the factor of the run's learning rate.

        Parameters whose stage has a rate or milestones of its own stand by their `Preparation`.
        """
        groups: dict[float | Preparation, list[nn.Parameter]] = {}
        for term in self._all() if stage == "main" else self._preparing():
            prepared = term.preparation if stage == "preparation" else None
            rate = 1.0 if prepared is None else prepared if prepared.own_rate else prepared.rate
            trained = [parameter for parameter in term.stage_parameters(stage) if parameter.requires_grad]
            groups.setdefault(rate, []).extend(trained)
        return groups

    def stage_parameters(self, stage: Stage) -> list[nn.Parameter]:
        """Return the terms' trained parameters in a stage."""
        return [parameter for group in self.stage_groups(stage).values() for parameter in group]

    def check(self, setting: Setting) -> None:
        """Raise if the setting does not meet the needs of any term."""
        for name in self.weights:
            self._term(name).check(name, setting)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> LossReport:
        """Return the weighted total, and the unweighted loss of every term as a part.

        The features of a teacher that trains are used without their graph.
        """
        self._require_cuts(student)
        for term in self._all():
            term.gate(student)
        teacher = teacher.detach() if self.teaches else teacher
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

    def _require_cuts(self, student: Features) -> None:
        """Raise if the student's gradient does not stop where a term says: the loss alone would not show it."""
        lacking = [name for name in self.cuts if name not in student.cuts]
        if lacking and student.logits.requires_grad:
            raise UsageError(
                f"{'+'.join(self.weights)} stops the gradient after the student's {', '.join(lacking)}, but these "
                "features come from a tap that does not: open it with capture(student, "
                "maps=objective.student_map_names, cut=objective.cuts)"
            )

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

    def teach(self, student: Features, teacher: Features, batch: Batch) -> Tensor | None:
        """Return the loss of the additions to the teacher, or None if nothing trains in it.

        The student's features are used without their graph, the teacher's with it: both losses can come from the same
        two forward passes, and each has its own backward pass.
        """
        terms = self._teaching()
        if not terms:
            return None
        loss = teacher.logits.new_zeros(())
        with self._inputs(student.detach(), teacher, batch, terms) as inputs:
            for name in (name for name in self.weights if self._term(name) in terms):
                term = self._term(name)
                student_part, teacher_part, batch_part = inputs(term)
                assert student_part is not None
                with naming(name):
                    loss = loss + term.teach(student_part, teacher_part, batch_part)
        return loss

    @contextmanager
    def _inputs(
        self, student: Features | None, teacher: Features, batch: Batch, terms: Sequence[Term]
    ) -> Iterator[Callable[[Term], TermInputs]]:
        """Yield the function from a term to its inputs: this process's part of the batch, or the whole if it needs it.

        Of a rotated batch, terms that do not need the rotations get the upright rows alone. With the whole batch, all
        processes draw the same random numbers, so that its loss has one value.
        """
        turning = self._require_rotations(terms, batch)
        local = (student, teacher, batch)
        flat = upright(*local)
        together = [term for term in terms if term.needs.whole_batch]
        if not together or not self.training or collectives.count() == 1:
            yield lambda term: local if term.needs.rotations else flat
            return
        whole = whole_batch(
            *(local if any(term in turning for term in together) else flat),
            student_maps=sorted({name for term in together for name in term.student_map_names}),
            teacher_maps=sorted({name for term in together for name in term.teacher_map_names}),
        )
        with collectives.drawing_as_first(batch.target.device):
            of_all, of_here = (whole, upright(*whole)), (local, flat)
            yield lambda term: (of_all if term.needs.whole_batch else of_here)[not term.needs.rotations]

    def _require_rotations(self, terms: Sequence[Term], batch: Batch) -> list[Term]:
        """Return the terms that need rotated batches; raise if there are some and the batch is not rotated."""
        turning = [term for term in terms if term.needs.rotations]
        if turning and batch.rotations == 1:
            name = next(name for name in self.weights if self._term(name) in turning)
            raise UsageError(
                f"{name} compares turned views of each sample, which the batch does not hold: use Batch.rotated(), or "
                "Loader(rotations=True), and the networks' features of its rows"
            )
        return turning

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

    def _teaching(self) -> list[Term]:
        return [term for term in self._all() if term.teacher_training is not None]

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
