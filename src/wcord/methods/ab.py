"""Activation boundaries as a term of the preparation stage; the other terms train the student after it."""

from collections.abc import Callable, Iterable
from functools import partial

from torch import Tensor, nn

from wcord.data.batch import Batch
from wcord.features import Features, preactivation
from wcord.losses.ab import ab_loss
from wcord.methods.fitnet import regressor
from wcord.methods.maps import MapPair, spatial_pairs
from wcord.methods.setting import Setting
from wcord.methods.term import Needs, Preparation, Stage, Term
from wcord.numerics import autocast_off, in_precision_of


class ABTerm(Term):
    """Σ_i 2^(i-n+1) AB(connector_i(s_i), t_i) over the n stages before their ReLU, in a stage before the main one.

    Student and connectors train on it alone for 30 epochs, as in the CRD benchmark; in the main stage the term is 0 and
    its weight is of no effect. The authors' code then distills logits, which is `ab+kd` here. A connector is a
    convolution and BN, as in the benchmark (see `fitnet.regressor`), and the identity if the shapes agree. Options are
    those of `losses.ab_loss`.
    """

    needs = Needs(whole_batch=True)
    loss_signature = ab_loss
    preparation = Preparation(epochs=30, student=True)

    def __init__(self, name: str, setting: Setting, **options: object) -> None:
        super().__init__()
        self.pairs = spatial_pairs(name, setting, "stages")
        self.student_map_names = tuple(preactivation(pair.student) for pair in self.pairs)
        self.teacher_map_names = tuple(preactivation(pair.teacher) for pair in self.pairs)
        self.connectors = nn.ModuleList(_connector(name, pair) for pair in self.pairs)
        self.compute: Callable[..., Tensor] = partial(ab_loss, **options)  # pyright: ignore[reportArgumentType]  # names checked in build

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return 0: the other terms train the student in the main stage."""
        return student.logits.new_zeros(())

    def prepare(self, student: Features | None, teacher: Features, batch: Batch) -> Tensor:
        """Return the weighted sum over the stages; the last one weighs 1."""
        assert student is not None
        total = student.logits.new_zeros(())
        last = len(self.pairs) - 1
        names = zip(self.connectors, self.student_map_names, self.teacher_map_names, strict=True)
        for number, (connector, student_name, teacher_name) in enumerate(names):
            student_map = student.maps[student_name]
            with autocast_off(student_map):
                connected = connector(in_precision_of(connector, student_map))
            total = total + self.compute(connected, teacher.maps[teacher_name]) / 2 ** (last - number)
        return total

    def stage_parameters(self, stage: Stage) -> Iterable[nn.Parameter]:
        """Return the connectors' parameters in the preparation, and none after it."""
        return self.parameters() if stage == "preparation" else ()


def _connector(name: str, pair: MapPair) -> nn.Module:
    """Return the module that brings the student's map to the teacher's shape; the identity if it has that shape."""
    if pair.student_shape == pair.teacher_shape:
        return nn.Identity()
    # The regressor ends in a ReLU, but responses are compared before their ReLU here.
    return regressor(name, pair.student_shape, pair.teacher_shape)[:-1]
